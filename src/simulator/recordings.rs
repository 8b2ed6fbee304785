//! Sample recordings: voice messages that a simulated follower sends without recognised words, and that the sandbox
//! core's recogniser knows. Nothing here can speak, so each is silence in AMR, and they are told apart by their length.

use bytes::Bytes;

/// What the samples say, in order; the last says nothing. With the slips that recognisers make: words that sound alike.
const WORDS: [&str; 6] =
    ["查账单", "我的可用饿度还有多少", "帮我茶一下还款日是几号", "转人工", "我的卡号是4111111111111111", ""];
/// One frame of AMR that holds nothing: 20 milliseconds of silence.
const SILENT_FRAME: u8 = 0x7c;
const HEAD: &[u8] = b"#!AMR\n";
const HEAD_WIDE: &[u8] = b"#!AMR-WB\n";
/// Each sample is half a second longer than the one before.
const FRAMES_EACH: usize = 25;

/// The sample of this number, from 1.
pub(super) fn sample(number: usize) -> Option<Bytes> {
    recorded(HEAD, number)
}

/// The same at 16 kHz.
pub(super) fn wide_sample(number: usize) -> Option<Bytes> {
    recorded(HEAD_WIDE, number)
}

fn recorded(head: &[u8], number: usize) -> Option<Bytes> {
    WORDS.get(number.checked_sub(1)?)?;
    let mut file = head.to_vec();
    file.resize(head.len() + number * FRAMES_EACH, SILENT_FRAME);
    Some(file.into())
}

/// What a recording says; `None`: it is none of the samples.
pub(super) fn words(recording: &[u8]) -> Option<&'static str> {
    let is_sample = |(number, _): &(usize, &&str)| {
        [sample(*number), wide_sample(*number)].iter().flatten().any(|sample| sample == recording)
    };
    (1..).zip(&WORDS).find(is_sample).map(|(_, words)| *words)
}
