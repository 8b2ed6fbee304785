//! Temporary and permanent media, in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::json;

use super::super::platform::Platform;
use super::super::samples;
use super::{Answer, Answered, Call, Refused};
use crate::domain::time::UnixMs;

const LIFE: Duration = Duration::from_secs(3 * 24 * 3600);
const LIBRARY_BYTES_MAX: usize = 64 * 1024 * 1024;
const FILES_MAX: usize = 20_000;

/// One file.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// image, voice, video or thumb.
    pub(crate) kind: String,
    /// `Content-Type`.
    pub(crate) content_type: &'static str,
    /// Its bytes.
    pub(crate) bytes: Bytes,
    /// What it was called when it was uploaded.
    pub(crate) name: String,
    /// `title` and `introduction` of a permanent video.
    pub(crate) about: Option<(String, String)>,
    /// When it came.
    pub(crate) created_at: UnixMs,
    /// The platform's time at which it is gone; `None`: permanent.
    pub(crate) until: Option<UnixMs>,
}

/// The files of one account; beyond its bounds the oldest go.
#[derive(Default)]
pub(crate) struct Library {
    files: HashMap<String, File>,
    order: VecDeque<String>,
    bytes: usize,
}

/// What is to be kept.
pub(super) struct Incoming<'a> {
    pub(super) kind: &'a str,
    pub(super) bytes: Bytes,
    pub(super) name: String,
    pub(super) about: Option<(String, String)>,
    pub(super) is_permanent: bool,
}

impl Library {
    /// A file that is not over.
    pub(crate) fn get(&self, id: &str, now: UnixMs) -> Option<&File> {
        self.files.get(id).filter(|file| file.until.is_none_or(|until| now < until))
    }

    /// Whether a message of this kind may carry this id: known, not over, and of that kind.
    pub(crate) fn fits(&self, id: &str, kind: &str, now: UnixMs) -> bool {
        self.get(id, now).is_some_and(|file| file.kind == kind || (kind == "thumb" && file.kind == "image"))
    }

    /// Keeps what a follower sent. `None` when it is no base64, too large, or no such file.
    pub(crate) fn receive(
        &mut self,
        platform: &Platform,
        kind: &str,
        data: Option<String>,
    ) -> Option<String> {
        let bytes: Bytes = match (data, kind) {
            (Some(data), _) => STANDARD.decode(data).ok()?.into(),
            (None, "image") => samples::picture(),
            (None, "thumb") => samples::thumb(),
            (None, "voice") => samples::voice(),
            (None, "video") => samples::film(),
            (None, _) => return None,
        };
        let fits = bytes.len() <= bytes_max(kind)? && is_of(kind, &bytes, false);
        fits.then(|| self.keep(platform, temporary(kind, bytes)))
    }

    /// Keeps the wide-band twin of a voice message.
    pub(crate) fn receive_wide_voice(&mut self, platform: &Platform, recording: Option<Bytes>) -> String {
        self.keep(platform, temporary("voice", recording.unwrap_or_else(samples::wide_voice)))
    }

    /// Keeps a file; gives its id.
    pub(super) fn keep(&mut self, platform: &Platform, incoming: Incoming<'_>) -> String {
        let Incoming { kind, bytes, name, about, is_permanent } = incoming;
        let id = platform.random_text::<36>();
        self.bytes += bytes.len();
        let file = File {
            kind: kind.to_owned(),
            content_type: content_type(kind, &bytes),
            bytes,
            name,
            about,
            created_at: platform.true_now(),
            until: (!is_permanent).then(|| platform.now() + LIFE),
        };
        self.files.insert(id.clone(), file);
        self.order.push_back(id.clone());
        while self.bytes > LIBRARY_BYTES_MAX || self.order.len() > FILES_MAX {
            let Some(oldest) = self.order.front().cloned() else { break };
            self.remove(&oldest);
        }
        id
    }

    /// Removes a file; `false` when there was none.
    pub(super) fn remove(&mut self, id: &str) -> bool {
        let Some(file) = self.files.remove(id) else { return false };
        self.bytes -= file.bytes.len();
        self.order.retain(|kept| kept != id);
        true
    }

    /// Permanent files of a kind, newest first.
    pub(super) fn permanent(&self, kind: &str) -> Vec<(&String, &File)> {
        let file = |id| self.files.get(id).map(|file| (id, file));
        let wanted = |(_, file): &(&String, &File)| file.until.is_none() && file.kind == kind;
        self.order.iter().rev().filter_map(file).filter(wanted).collect()
    }
}

fn temporary(kind: &str, bytes: Bytes) -> Incoming<'_> {
    Incoming { kind, bytes, name: kind.to_owned(), about: None, is_permanent: false }
}

/// Bounds of the upload pages; the image bound is their larger one.
pub(super) fn bytes_max(kind: &str) -> Option<usize> {
    match kind {
        "image" | "video" => Some(10 * 1024 * 1024),
        "voice" => Some(2 * 1024 * 1024),
        "thumb" => Some(64 * 1024),
        _ => None,
    }
}

/// Whether the bytes begin as a file of this kind does; permanent media know more formats.
pub(super) fn is_of(kind: &str, bytes: &[u8], is_permanent: bool) -> bool {
    match (kind, bytes) {
        ("image", [0x89, b'P', b'N', b'G', ..] | [0xff, 0xd8, 0xff, ..] | [b'G', b'I', b'F', b'8', ..])
        | ("thumb", [0xff, 0xd8, 0xff, ..])
        | ("voice", [b'#', b'!', b'A', b'M', b'R', ..] | [b'I', b'D', b'3', ..] | [0xff, 0xe0..=0xff, ..])
        | ("video", [_, _, _, _, b'f', b't', b'y', b'p', ..]) => true,
        ("image", [b'B', b'M', ..])
        | ("voice", [b'R', b'I', b'F', b'F', ..] | [0x30, 0x26, 0xb2, 0x75, ..]) => is_permanent,
        _ => false,
    }
}

fn content_type(kind: &str, bytes: &[u8]) -> &'static str {
    match (kind, bytes) {
        (_, [0x89, b'P', b'N', b'G', ..]) => "image/png",
        (_, [0xff, 0xd8, 0xff, ..]) => "image/jpeg",
        (_, [b'G', b'I', b'F', b'8', ..]) => "image/gif",
        ("image", _) => "image/bmp",
        ("voice", [b'#', ..]) => "audio/amr",
        ("voice", [b'R', ..]) => "audio/wav",
        ("voice", [0x30, ..]) => "audio/x-ms-wma",
        ("voice", _) => "audio/mp3",
        ("video", _) => "video/mp4",
        _ => "application/octet-stream",
    }
}

/// Reads and checks the file of an upload.
pub(super) fn uploaded<'a>(call: &Call, kind: &'a str, is_permanent: bool) -> Result<Incoming<'a>, Refused> {
    let bytes_max = bytes_max(kind).ok_or_else(|| Refused::new(40004, "invalid media type"))?;
    let part = part(call, "media").filter(|part| part.file_name.is_some());
    let part = part.ok_or_else(|| Refused::new(41005, "media data missing"))?;
    if part.bytes.is_empty() {
        return Err(Refused::new(44001, "empty media data"));
    }
    if part.bytes.len() > bytes_max {
        return Err(Refused::new(45001, "media size out of limit"));
    }
    if !is_of(kind, &part.bytes, is_permanent) {
        return Err(Refused::new(40005, "invalid file type"));
    }
    let name = part.file_name.unwrap_or_default();
    Ok(Incoming { kind, bytes: part.bytes, name, about: None, is_permanent })
}

/// `POST /cgi-bin/media/upload?type=`
pub(crate) fn upload(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let kind = call.query("type");
    let incoming = uploaded(call, kind, false)?;
    let created_at = platform.true_now().seconds();
    let id = platform.state().accounts[account].media.keep(platform, incoming);
    Ok(Answer::Json(json!({ "type": kind, "media_id": id, "created_at": created_at })))
}

/// One part of a multipart body.
pub(super) struct Part {
    pub(super) bytes: Bytes,
    pub(super) file_name: Option<String>,
}

/// The part with this name.
pub(super) fn part(call: &Call, name: &str) -> Option<Part> {
    let boundary =
        call.content_type.split(';').map(str::trim).find_map(|part| part.strip_prefix("boundary="))?;
    let delimiter = format!("--{}", boundary.trim_matches('"'));
    let mut from = 0;
    while let Some(start) = find(&call.body, delimiter.as_bytes(), from) {
        let head = start + delimiter.len() + 2;
        let body = find(&call.body, b"\r\n\r\n", head)? + 4;
        let end = find(&call.body, format!("\r\n{delimiter}").as_bytes(), body)?;
        let headers = String::from_utf8_lossy(call.body.get(head..body)?).into_owned();
        let value = |key: &str| {
            let quoted = headers.split_once(&format!(" {key}=\""))?.1;
            Some(quoted.split_once('"')?.0.to_owned())
        };
        if value("name").as_deref() == Some(name) {
            return Some(Part { bytes: call.body.slice(body..end), file_name: value("filename") });
        }
        from = end + 2;
    }
    None
}

fn find(bytes: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let at = bytes.get(from..)?.windows(wanted.len()).position(|window| window == wanted)?;
    Some(from + at)
}

/// `GET /cgi-bin/media/get`
pub(crate) fn get(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let id = call.query("media_id");
    let state = platform.state();
    let file = state.accounts[account].media.get(id, platform.now());
    let file = file.filter(|file| file.until.is_some()).ok_or_else(Refused::media)?;
    if file.kind == "video" {
        return Ok(Answer::Json(json!({ "video_url": format!("{}sim/media/{id}", platform.own_url()) })));
    }
    Ok(as_file(id, file))
}

/// A file as it is fetched.
pub(super) fn as_file(id: &str, file: &File) -> Answer {
    let name = id.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    Answer::File { content_type: file.content_type.to_owned(), name, bytes: file.bytes.clone() }
}

/// `GET /cgi-bin/media/get/jssdk`: voice that a page recorded, as speex at 16 kHz.
pub(crate) fn get_wide(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let id = call.query("media_id");
    let state = platform.state();
    let file = state.accounts[account].media.get(id, platform.now());
    let voice = file.filter(|file| file.kind == "voice" && file.until.is_some());
    voice.ok_or_else(Refused::media)?;
    let content_type = "voice/speex".to_owned();
    Ok(Answer::File { content_type, name: "voice.speex".to_owned(), bytes: samples::speex() })
}
