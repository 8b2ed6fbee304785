//! Temporary media: up, and down again. They live three days.

use bytes::Bytes;
use thiserror::Error;

use super::transport::{Answer, Body, Call, MEDIA_BYTES_MAX, json_of};
use super::{Api, ApiError, Fault};
use crate::wechat::reply::MediaId;

/// Kinds of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// PNG, JPEG or GIF, at most 2 MB (the documents contradict themselves; the smaller number holds).
    Image,
    /// AMR or MP3, at most 2 MB and 60 seconds.
    Voice,
    /// MP4, at most 10 MB.
    Video,
    /// JPEG, at most 64 KB.
    Thumb,
}

impl MediaKind {
    /// Largest file of this kind.
    #[must_use]
    pub fn bytes_max(self) -> usize {
        match self {
            Self::Image | Self::Voice => 2 * 1024 * 1024,
            Self::Video => 10 * 1024 * 1024,
            Self::Thumb => 64 * 1024,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Voice => "voice",
            Self::Video => "video",
            Self::Thumb => "thumb",
        }
    }
}

/// A file to upload, known to be small enough.
#[derive(Clone)]
pub struct MediaFile {
    kind: MediaKind,
    name: String,
    content_type: &'static str,
    bytes: Bytes,
}

/// The file cannot be uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotUploadable {
    /// Nothing in it, or too much.
    #[error("the file has {bytes} bytes; 1 to {bytes_max} are allowed")]
    Size {
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        bytes_max: usize,
    },
    /// Its first bytes are of no format that the platform takes for this kind.
    #[error("the file is of no format that WeChat takes for this kind of media")]
    Format,
}

impl MediaFile {
    /// Takes a file for upload. Its format is told by its first bytes, not by what someone called it.
    ///
    /// # Errors
    /// [`NotUploadable`].
    pub fn new(kind: MediaKind, bytes: Bytes) -> Result<Self, NotUploadable> {
        if bytes.is_empty() || bytes.len() > kind.bytes_max() {
            return Err(NotUploadable::Size { bytes: bytes.len(), bytes_max: kind.bytes_max() });
        }
        let (extension, content_type) = format_of(kind, &bytes).ok_or(NotUploadable::Format)?;
        Ok(Self { kind, name: format!("media.{extension}"), content_type, bytes })
    }
}

/// What a picture or a voice is by its first bytes, whatever it is called; `None`: neither, or of a format that the
/// platform does not know.
#[must_use]
pub fn content_type_of(bytes: &[u8]) -> Option<&'static str> {
    let format = format_of(MediaKind::Image, bytes).or_else(|| format_of(MediaKind::Voice, bytes));
    format.map(|(_, content_type)| content_type)
}

fn format_of(kind: MediaKind, bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let is_mp4 = bytes.get(4..8) == Some(b"ftyp");
    let is_mp3 = bytes.starts_with(b"ID3") || matches!(bytes, [0xFF, second, ..] if second & 0xE0 == 0xE0);
    match kind {
        MediaKind::Image | MediaKind::Thumb if bytes.starts_with(b"\xFF\xD8\xFF") => {
            Some(("jpg", "image/jpeg"))
        }
        MediaKind::Image if bytes.starts_with(b"\x89PNG\r\n\x1A\n") => Some(("png", "image/png")),
        MediaKind::Image if bytes.starts_with(b"GIF8") => Some(("gif", "image/gif")),
        MediaKind::Voice if bytes.starts_with(b"#!AMR-WB") => Some(("amr", "audio/amr-wb")),
        MediaKind::Voice if bytes.starts_with(b"#!AMR") => Some(("amr", "audio/amr")),
        MediaKind::Voice if is_mp3 => Some(("mp3", "audio/mpeg")),
        MediaKind::Video if is_mp4 => Some(("mp4", "video/mp4")),
        _ => None,
    }
}

/// What the platform holds under a media id.
#[derive(Clone, PartialEq, Eq)]
pub enum Media {
    /// The file itself.
    File {
        /// As the platform calls it; not to be trusted for showing it.
        content_type: String,
        /// The bytes.
        bytes: Bytes,
    },
    /// A film lies elsewhere.
    VideoAt(String),
}

impl Api {
    /// Uploads a file; its id is good for three days.
    ///
    /// # Errors
    /// As any call.
    pub async fn media_upload(&self, file: &MediaFile) -> Result<MediaId, ApiError> {
        let call = Call {
            query: vec![("type", file.kind.as_str())],
            body: Body::File {
                name: file.name.clone(),
                content_type: file.content_type,
                bytes: file.bytes.clone(),
            },
            ..Call::get("cgi-bin/media/upload", vec![])
        };
        let read = |answer| {
            let json = json_of(&answer)?;
            let id = json.get("media_id").or_else(|| json.get("thumb_media_id"));
            let id = id.and_then(serde_json::Value::as_str).and_then(MediaId::parse);
            id.ok_or(Fault::Broken("the answer lacks the media id"))
        };
        self.call(&call, read).await
    }

    /// Fetches what a follower sent.
    ///
    /// # Errors
    /// Malformed when the id is unknown or older than three days.
    pub async fn media_get(&self, media_id: &str) -> Result<Media, ApiError> {
        let mut call = Call::get("cgi-bin/media/get", vec![("media_id", media_id)]);
        call.answer_bytes_max = MEDIA_BYTES_MAX;
        self.call(&call, media_of).await
    }
}

/// Errors and films come as JSON where a file is expected, under a content type that cannot be relied on.
fn media_of(answer: Answer) -> Result<Media, Fault> {
    let looks_like_json = answer.bytes.starts_with(b"{");
    let says_json = ["json", "text/plain"].iter().any(|kind| answer.content_type.contains(kind));
    if looks_like_json || says_json {
        match json_of(&answer) {
            Ok(json) => {
                let url = json.get("video_url").and_then(serde_json::Value::as_str);
                let url = url.ok_or(Fault::Broken("the answer is neither a file nor a film's address"))?;
                return Ok(Media::VideoAt(url.to_owned()));
            }
            Err(fault @ Fault::Refused { .. }) => return Err(fault),
            Err(fault) if says_json => return Err(fault),
            Err(_) => {}
        }
    }
    Ok(Media::File { content_type: answer.content_type, bytes: answer.bytes })
}
