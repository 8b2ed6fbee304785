//! Customers' voices as browsers play them. WeChat records AMR, which none of them knows; what leaves here is the same
//! as plain samples in a WAV file.

use codec_core::codecs::amr::{AmrCodec, AmrFrameType, AmrPayloadFrame, AmrStorageReader, AmrVariant};
use codec_core::types::{CodecConfig, CodedFrame, FrameKind, VariableRateCodec as _};

/// A frame holds 20 ms and a voice of WeChat's a minute; of a longer one the beginning is played.
const FRAMES_MAX: usize = 61 * 50;
/// Bytes of one sample.
const SAMPLE_BYTES: u32 = 2;
/// Bytes of the file's head behind its own length.
const HEAD_BYTES: u32 = 36;

/// The voice in a WAV file; `None` where it is no AMR. What was cut short plays as far as it goes.
#[must_use]
pub fn playable(voice: &[u8]) -> Option<Vec<u8>> {
    let mut frames = AmrStorageReader::new(voice).ok()?;
    let (config, hertz, frame_samples) = match frames.variant() {
        AmrVariant::NarrowBand => (CodecConfig::amr_nb(), 8_000, 160),
        AmrVariant::WideBand => (CodecConfig::amr_wb(), 16_000, 320),
    };
    let mut decoder = AmrCodec::new(&config).ok()?;
    let mut samples: Vec<i16> = Vec::new();
    let mut mode = 0;
    for _ in 0..FRAMES_MAX {
        let Ok(Some(frame)) = frames.next_frame() else { break };
        if let AmrFrameType::Speech(spoken) = frame.frame_type {
            mode = spoken.index();
        }
        let heard = decoder.decode_frame(&coded(frame, mode));
        // One frame that does not fit is a moment of silence.
        samples.extend(heard.unwrap_or_else(|_| vec![0; frame_samples]));
    }
    if samples.is_empty() { None } else { wav(&samples, hertz) }
}

/// A frame as the decoder takes it; a gap goes on in the mode that was spoken last.
fn coded(frame: AmrPayloadFrame, mode: u8) -> CodedFrame {
    let kind = match frame.frame_type {
        AmrFrameType::Speech(_) => FrameKind::Speech,
        AmrFrameType::Sid(_) => FrameKind::ComfortNoise,
        AmrFrameType::NoData => FrameKind::NoData,
        AmrFrameType::SpeechLost => FrameKind::Lost,
    };
    CodedFrame { kind, mode, quality_ok: frame.quality_ok, data: frame.data }
}

/// One channel of 16 bits.
fn wav(samples: &[i16], hertz: u32) -> Option<Vec<u8>> {
    let bytes = u32::try_from(samples.len()).ok()?.checked_mul(SAMPLE_BYTES)?;
    let mut file = Vec::with_capacity(samples.len() * 2 + 44);
    file.extend(b"RIFF");
    file.extend((HEAD_BYTES + bytes).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    // Plain samples, one channel.
    file.extend([1, 0, 1, 0]);
    file.extend(hertz.to_le_bytes());
    file.extend((hertz * SAMPLE_BYTES).to_le_bytes());
    // Bytes and bits of a sample.
    file.extend([2, 0, 16, 0]);
    file.extend(b"data");
    file.extend(bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    Some(file)
}

#[cfg(test)]
mod tests {
    use codec_core::codecs::amr::{AmrMode, storage};
    use proptest::prelude::*;

    use super::*;

    /// How often the tone swings in a second, and how far.
    const TONE_HERTZ: u32 = 500;
    const LOUD: i32 = 8_000;

    /// Two seconds of a tone in one mode, as a phone records them.
    fn tone(variant: AmrVariant, mode: u8) -> Vec<u8> {
        let (config, hertz, frame_samples) = match variant {
            AmrVariant::NarrowBand => (CodecConfig::amr_nb(), 8_000, 160),
            AmrVariant::WideBand => (CodecConfig::amr_wb(), 16_000, 320),
        };
        let mut encoder = AmrCodec::new(&config).unwrap();
        encoder.set_mode(mode).unwrap();
        // Up and down in straight lines.
        let half = i32::try_from(hertz / TONE_HERTZ / 2).unwrap();
        let samples: Vec<i16> = (0..i32::try_from(hertz * 2).unwrap())
            .map(|at| {
                let up = at % half * 2 * LOUD / half - LOUD;
                i16::try_from(if at / half % 2 == 0 { up } else { -up }).unwrap()
            })
            .collect();
        let frames = samples.chunks(frame_samples).map(|chunk| {
            let frame = encoder.encode_frame(chunk).unwrap();
            let kind = AmrFrameType::Speech(AmrMode::new(variant, frame.mode).unwrap());
            AmrPayloadFrame::new(kind, true, frame.data).unwrap()
        });
        storage::write(variant, &frames.collect::<Vec<_>>()).unwrap()
    }

    fn samples(wav: &[u8]) -> Vec<i16> {
        wav[44..].chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn a_tone_is_heard_as_that_tone_in_every_mode() {
        let narrow = (0..8).map(|mode| (AmrVariant::NarrowBand, mode, 8_000_u32));
        let wide = (0..9).map(|mode| (AmrVariant::WideBand, mode, 16_000));
        for (variant, mode, hertz) in narrow.chain(wide) {
            let wav = playable(&tone(variant, mode)).unwrap();
            assert_eq!(&wav[..4], b"RIFF");
            assert_eq!(wav[24..28], hertz.to_le_bytes(), "{variant} {mode}");
            let length = u32::try_from(wav.len()).unwrap();
            assert_eq!(
                (&wav[4..8], &wav[40..44]),
                (&(length - 8).to_le_bytes()[..], &(length - 44).to_le_bytes()[..])
            );
            let heard = samples(&wav);
            assert_eq!(heard.len(), usize::try_from(hertz * 2).unwrap(), "{variant} {mode}");
            // The second second, when the decoder has found its way in.
            let late = &heard[heard.len() / 2..];
            let swings = late.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
            let loud = late.iter().filter(|sample| sample.unsigned_abs() > 1_000).count();
            assert!((400..=600).contains(&swings), "{variant} {mode}: {swings} swings in a second");
            assert!(loud * 2 > late.len(), "{variant} {mode}: {loud} of {} are loud", late.len());
        }
    }

    #[test]
    fn what_is_no_voice_is_left_as_it_is_and_what_is_cut_short_plays() {
        for no_voice in [&b""[..], b"#!AMR", b"#!AMR\n", b"#!AMR_MC1.0\n\0\0\0\x01", b"ID3 music", b"<svg/>"]
        {
            assert_eq!(playable(no_voice), None);
        }
        let whole = tone(AmrVariant::NarrowBand, 7);
        let half = playable(&whole[..whole.len() / 2]).unwrap();
        assert!((7_000..=8_100).contains(&samples(&half).len()));
        let endless = [b"#!AMR\n".to_vec(), vec![0x7C; 1_000_000]].concat();
        assert_eq!(samples(&playable(&endless).unwrap()).len(), FRAMES_MAX * 160, "bounded");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// Also in a build that looks for overflows, as ours is.
        #[test]
        fn no_bytes_of_a_stranger_break_it(wide in any::<bool>(), bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let head: &[u8] = if wide { b"#!AMR-WB\n" } else { b"#!AMR\n" };
            drop(playable(&[head, &bytes].concat()));
        }

        /// Frames that are whole and say anything.
        #[test]
        fn no_frames_of_a_stranger_break_it(
            wide in any::<bool>(),
            frames in prop::collection::vec((0_u8..16, any::<bool>(), prop::collection::vec(any::<u8>(), 61)), 0..40),
        ) {
            let variant = if wide { AmrVariant::WideBand } else { AmrVariant::NarrowBand };
            let mut file = Vec::from(if wide { &b"#!AMR-WB\n"[..] } else { b"#!AMR\n" });
            for (kind, good, bytes) in frames {
                let Ok(kind) = AmrFrameType::from_index(variant, kind) else { continue };
                file.push(kind.frame_type_index() << 3 | u8::from(good) << 2);
                file.extend(&bytes[..kind.octet_aligned_bytes()]);
            }
            drop(playable(&file));
        }
    }
}
