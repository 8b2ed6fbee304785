//! Temporary media, in memory.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::json;

use super::super::platform::Platform;
use super::{Answer, Answered, Call, Refused};
use crate::domain::time::UnixMs;

/// Path of the upload, which may be larger than other calls.
pub(crate) const UPLOAD: &str = "/cgi-bin/media/upload";
const LIFE: Duration = Duration::from_secs(3 * 24 * 3600);
const LIBRARY_BYTES_MAX: usize = 64 * 1024 * 1024;
const FILES_MAX: usize = 20_000;

/// A grey pixel: what a follower's picture is without a file.
const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mO89x8AAqMB0Zw3+5oAAAAASUVORK5CYII=";

/// One file.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// image, voice, video or thumb.
    pub(crate) kind: String,
    /// `Content-Type`.
    pub(crate) content_type: &'static str,
    /// Its bytes.
    pub(crate) bytes: Bytes,
    until: UnixMs,
}

/// The files of one account; beyond its bounds the oldest go.
#[derive(Default)]
pub(crate) struct Library {
    files: HashMap<String, File>,
    order: VecDeque<String>,
    bytes: usize,
}

impl Library {
    /// Whether a media id is known.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.files.contains_key(id)
    }

    /// A file that is not over.
    pub(crate) fn get(&self, id: &str, now: UnixMs) -> Option<&File> {
        self.files.get(id).filter(|file| now < file.until)
    }

    /// Keeps what a follower sent. `None` when it is no base64 or too large.
    pub(crate) fn receive(
        &mut self,
        platform: &Platform,
        kind: &str,
        data: Option<String>,
    ) -> Option<String> {
        let bytes = match (data, kind) {
            (Some(data), _) => STANDARD.decode(data).ok()?,
            (None, "image" | "thumb") => STANDARD.decode(PIXEL).ok()?,
            (None, "voice") => b"#!AMR\n".to_vec(),
            (None, _) => Vec::new(),
        };
        (bytes.len() <= bytes_max(kind)?).then(|| self.keep(platform, kind, bytes.into()))
    }

    fn keep(&mut self, platform: &Platform, kind: &str, bytes: Bytes) -> String {
        let id = platform.random_text::<36>();
        self.bytes += bytes.len();
        let content_type = content_type(kind, &bytes);
        let file = File { kind: kind.to_owned(), content_type, bytes, until: platform.now() + LIFE };
        self.files.insert(id.clone(), file);
        self.order.push_back(id.clone());
        while self.bytes > LIBRARY_BYTES_MAX || self.order.len() > FILES_MAX {
            let Some(file) = self.order.pop_front().and_then(|oldest| self.files.remove(&oldest)) else {
                break;
            };
            self.bytes -= file.bytes.len();
        }
        id
    }
}

fn bytes_max(kind: &str) -> Option<usize> {
    match kind {
        "image" | "video" => Some(10 * 1024 * 1024),
        "voice" => Some(2 * 1024 * 1024),
        "thumb" => Some(64 * 1024),
        _ => None,
    }
}

fn content_type(kind: &str, bytes: &[u8]) -> &'static str {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        _ => match kind {
            "voice" => "audio/amr",
            "video" => "video/mp4",
            _ => "application/octet-stream",
        },
    }
}

/// `POST /cgi-bin/media/upload?type=`
pub(crate) fn upload(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    if call.method != "POST" {
        return Err(Refused::new(43002, "require POST method"));
    }
    let kind = call.query("type");
    let bytes_max = bytes_max(kind).ok_or_else(|| Refused::new(40004, "invalid media type"))?;
    let bytes = media_part(call).ok_or_else(|| Refused::new(41005, "media data missing"))?;
    if bytes.is_empty() {
        return Err(Refused::new(44001, "empty media data"));
    }
    if bytes.len() > bytes_max {
        return Err(Refused::new(45001, "media size out of limit"));
    }
    if matches!(kind, "image" | "thumb") && !content_type(kind, &bytes).starts_with("image/") {
        return Err(Refused::new(40005, "invalid file type"));
    }
    let created_at = platform.true_now().seconds();
    let id = platform.state().accounts[account].media.keep(platform, kind, bytes);
    Ok(Answer::Json(json!({ "type": kind, "media_id": id, "created_at": created_at })))
}

/// The part named `media`, with a file name, of a multipart body.
fn media_part(call: &Call) -> Option<Bytes> {
    let boundary =
        call.content_type.split(';').map(str::trim).find_map(|part| part.strip_prefix("boundary="))?;
    let delimiter = format!("--{}", boundary.trim_matches('"'));
    let mut from = 0;
    while let Some(start) = find(&call.body, delimiter.as_bytes(), from) {
        let head = start + delimiter.len() + 2;
        let body = find(&call.body, b"\r\n\r\n", head)? + 4;
        let end = find(&call.body, format!("\r\n{delimiter}").as_bytes(), body)?;
        let headers = String::from_utf8_lossy(call.body.get(head..body)?).to_ascii_lowercase();
        if headers.contains("name=\"media\"") && headers.contains("filename=") {
            return Some(call.body.slice(body..end));
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
    call.require_get()?;
    let id = call.query("media_id");
    let state = platform.state();
    let file = state.accounts[account].media.get(id, platform.now());
    let file = file.ok_or_else(|| Refused::new(40007, "invalid media_id"))?;
    if file.kind == "video" {
        return Ok(Answer::Json(json!({ "video_url": format!("{}sim/media/{id}", platform.own_url()) })));
    }
    let name = id.chars().take(12).collect();
    Ok(Answer::File { content_type: file.content_type.to_owned(), name, bytes: file.bytes.clone() })
}
