//! Speech to text. What a recording says is what its file is called: `查账单.mp3` is heard as 查账单.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::super::platform::Platform;
use super::{Answer, Answered, Call, Refused, media, ok};
use crate::domain::time::UnixMs;

const VOICE_BYTES_MAX: usize = 1024 * 1024;
/// A result can be asked for this long.
const LIFE: Duration = Duration::from_secs(10);
const VOICES_MAX: usize = 10_000;

/// What was heard lately, by the caller's own id.
#[derive(Default)]
pub(crate) struct Heard(HashMap<String, (String, UnixMs)>);

/// `POST /cgi-bin/media/voice/addvoicetorecofortext`
pub(crate) fn add(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    check(call)?;
    if call.query("format") != "mp3" {
        return Err(Refused::new(40005, "invalid file type"));
    }
    let part = media::part(call, "media").ok_or_else(|| Refused::new(41005, "media data missing"))?;
    if part.bytes.len() > VOICE_BYTES_MAX {
        return Err(Refused::new(40010, "invalid voice size"));
    }
    if !matches!(*part.bytes, [b'I', b'D', b'3', ..] | [0xff, 0xe0..=0xff, ..]) {
        return Err(Refused::new(40005, "invalid file type"));
    }
    let name = part.file_name.unwrap_or_default();
    let words = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem).to_owned();
    let now = platform.now();
    let mut state = platform.state();
    let heard = &mut state.accounts[account].heard.0;
    heard.retain(|_, (_, until)| now < *until);
    if heard.len() >= VOICES_MAX {
        return Err(Refused::new(45009, "reach max api daily quota limit"));
    }
    heard.insert(call.query("voice_id").to_owned(), (words, now + LIFE));
    ok()
}

/// `POST /cgi-bin/media/voice/queryrecoresultfortext`
pub(crate) fn result(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    check(call)?;
    let now = platform.now();
    let state = platform.state();
    let heard = state.accounts[account].heard.0.get(call.query("voice_id"));
    let (words, _) = heard
        .filter(|(_, until)| now < *until)
        .ok_or_else(|| Refused::new(40035, "invalid parameter: voice_id"))?;
    Ok(Answer::Json(json!({ "result": words })))
}

fn check(call: &Call) -> Result<(), Refused> {
    if call.query("voice_id").is_empty() || !matches!(call.query("lang"), "" | "zh_CN" | "en_US") {
        return Err(Refused::new(40035, "invalid parameter: voice_id or lang"));
    }
    Ok(())
}
