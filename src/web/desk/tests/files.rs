//! Files at the desk: what they are called reaches nothing, and voices come as browsers play them.

use super::*;
use crate::clock::{Random as _, SeededRandom, SystemRandom};
use crate::store::WantedMedia;

const NAMES: usize = 100_000;
/// What names are put together from that want out of their folder.
const PIECES: [&str; 24] = [
    "..",
    "../",
    "..\\",
    "/",
    "\\",
    "%2e%2e",
    "%2f",
    "%5c",
    "%252e%252e%252f",
    "%00",
    "\u{0}",
    "\u{202e}",
    "．．／",
    "~",
    "C:",
    "etc/passwd",
    "Cargo.toml",
    "master.key",
    "weikefu.db",
    "desk.js",
    "desk.css",
    "nul",
    ";",
    "a",
];

/// A name of some of the pieces, as it stands in an address.
fn name(random: &SeededRandom) -> String {
    let mut bytes = [0_u8; 8];
    random.fill(&mut bytes);
    let (count, pieces) = bytes.split_first().unwrap();
    let pieces =
        pieces.iter().take(usize::from(count % 7) + 1).map(|at| PIECES[usize::from(*at) % PIECES.len()]);
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"./%-_~;".contains(byte);
    let encode =
        |byte: u8| if is_plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") };
    pieces.flat_map(str::bytes).map(encode).collect()
}

#[actix_web::test]
async fn of_a_hundred_thousand_names_none_leads_out_of_the_folder() {
    let test = stores().await.remove(0);
    let rooms = rooms(&test).await;
    let server = server!(&rooms);
    let mut fresh = [0_u8; 8];
    SystemRandom.fill(&mut fresh);
    let seed = u64::from_le_bytes(fresh);
    let random = SeededRandom::new(seed);
    let mut found = 0;
    for number in 0..NAMES {
        let path = format!("/desk/assets/{}", name(&random));
        let response = call_service(&server, TestRequest::get().uri(&path).to_request()).await;
        let status = response.status();
        if status == 200 {
            let text = read_body(response).await;
            assert!(ASSETS.iter().any(|(_, _, asset)| asset.as_bytes() == &text[..]), "seed {seed}: {path}");
            found += 1;
        }
        assert!(
            status == 200 || status.is_client_error() || status.is_redirection(),
            "seed {seed}: {path}: {status}"
        );
        // The same names as somebody's case and entry, and as the key of a picture: they reach a database, no folder.
        if number % 1_000 == 0 {
            let browser = Browser::new(&rooms, "agent01").await;
            let case = name(&random).replace('/', "%2f");
            for (path, is_picture) in [
                (format!("/desk/api/cases/{case}/media/1"), false),
                (format!("/desk/api/cases/c/media/{case}"), false),
                (format!("/desk/api/cases/{case}/picture?answer_id={case}"), true),
            ] {
                let request = if is_picture { browser.post(&path, json!({})) } else { browser.get(&path) };
                let status = call_service(&server, request.to_request()).await.status();
                assert!(status.is_client_error(), "seed {seed}: {path}: {status}");
            }
        }
    }
    println!("{NAMES} names, seed {seed}: {found} are our own files, none led anywhere else");
}

#[actix_web::test]
async fn a_voice_comes_as_browsers_play_it_and_as_it_was_sent_to_who_saves_it() {
    let test = stores().await.remove(0);
    let rooms = rooms(&test).await;
    let server = server!(&rooms);
    let case_id = waiting(&test, &rooms.desk, &["转人工"]).await;
    // Half a second of nothing said.
    let voice = [b"#!AMR\n".to_vec(), vec![0x7C; 25]].concat();
    for (seq, bytes, kind) in [
        (1, &voice[..], "audio/amr"),
        (2, b"#!AMR\nno frames", "audio/amr"),
        (3, b"speex", "application/octet-stream"),
    ] {
        let wanted = WantedMedia {
            account: AccountId::new("card"),
            follower: who(),
            seq,
            media_id: format!("m{seq}"),
            due: test.store.clock().now(),
            tries: 0,
        };
        let put = test.store.put_media(&wanted, kind, bytes).unwrap();
        test.store.commit(Commit::new(0).with(put)).await.unwrap();
    }
    let browser = Browser::new(&rooms, "agent01").await;
    for (seq, form, kind) in [
        (1, "", "audio/wav"),
        (1, "?as_sent=true", "audio/amr"),
        (2, "", "audio/amr"),
        (3, "", "application/octet-stream"),
    ] {
        let path = format!("/desk/api/cases/{case_id}/media/{seq}{form}");
        let response = call_service(&server, browser.get(&path).to_request()).await;
        let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!((response.status().as_u16(), header("content-type").as_str()), (200, kind));
        assert_eq!(header("x-content-type-options"), "nosniff");
        let bytes = read_body(response).await;
        match kind {
            "audio/wav" => assert_eq!((&bytes[..4], bytes.len()), (&b"RIFF"[..], 44 + 25 * 160 * 2)),
            "audio/amr" if seq == 1 => assert_eq!(bytes, voice),
            _ => {}
        }
    }
}
