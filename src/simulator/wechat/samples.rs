//! What a follower sends when the one who drives him has no file at hand: real files that real programs open.

use bytes::Bytes;

/// A drawn landscape, made for this, 480 by 320 pixels.
const PICTURE: &[u8] = include_bytes!("samples/picture.jpg");
/// The same small enough for a thumb.
const THUMB: &[u8] = include_bytes!("samples/thumb.jpg");

/// One frame of AMR, narrow or wide band, that holds nothing: 20 milliseconds of silence.
const SILENT_FRAME: u8 = 0x7c;
const VOICE_FRAMES: usize = 100;

/// A JPEG.
pub(crate) fn picture() -> Bytes {
    Bytes::from_static(PICTURE)
}

/// A JPEG of at most 64 KB.
pub(crate) fn thumb() -> Bytes {
    Bytes::from_static(THUMB)
}

/// Two seconds of silence at 8 kHz.
pub(crate) fn voice() -> Bytes {
    amr(b"#!AMR\n")
}

/// Two seconds of silence at 16 kHz.
pub(crate) fn wide_voice() -> Bytes {
    amr(b"#!AMR-WB\n")
}

/// The same as the JS-SDK's recordings come back: the container alone.
pub(crate) fn speex() -> Bytes {
    Bytes::from_static(b"Speex   1.2\0\0\0\0\0\0\0\0\0\0\0\0\0")
}

fn amr(head: &[u8]) -> Bytes {
    let mut file = head.to_vec();
    file.resize(head.len() + VOICE_FRAMES, SILENT_FRAME);
    file.into()
}

/// An MP4 with its file type and an empty film.
pub(crate) fn film() -> Bytes {
    let file_type = boxed(*b"ftyp", b"isom\0\0\x02\0isomiso2mp41");
    let mut header = [0_u8; 100];
    // Time scale 1000, rate 1.0, volume 1.0, the identity matrix, next track 1.
    for (at, value) in
        [(14, 0x03), (15, 0xe8), (21, 0x01), (24, 0x01), (37, 0x01), (53, 0x01), (68, 0x40), (99, 0x01)]
    {
        header[at] = value;
    }
    let film = boxed(*b"moov", &boxed(*b"mvhd", &header));
    [file_type, film].concat().into()
}

fn boxed(name: [u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 8).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), &name, content].concat()
}
