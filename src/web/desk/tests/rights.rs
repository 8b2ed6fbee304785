//! Whoever asks, from wherever, for whatever is not his: each route, each kind of stranger. A route without a row here
//! fails.

use std::path::Path;

use super::*;
use crate::staff::Session;

/// What only the owner of the case, and supervisors of its account, may ever read.
const CANARY: &str = "只有接待的坐席能看到的话";

/// What a route is about.
#[derive(Clone, Copy, PartialEq)]
enum About {
    /// The way in, and files that say nothing of anybody.
    Door,
    /// A page or list of the reader's own: it may show nothing of a stranger's.
    Own,
    /// One case.
    Case,
}

use About::{Case, Door, Own};

/// Every route: its method, as the sources write it, and what it is about.
const ROUTES: &[(&str, &str, About)] = &[
    ("GET", "", Own),
    ("GET", "/sign-in", Door),
    ("POST", "/sign-in", Door),
    ("GET", "/second-step", Door),
    ("POST", "/second-step", Door),
    ("GET", "/oidc", Door),
    ("GET", "/oidc/callback", Door),
    ("POST", "/sign-out", Door),
    ("GET", "/assets/{file}", Door),
    ("GET", "/live", Door),
    ("GET", "/reveal", Own),
    ("POST", "/reveal", Own),
    ("GET", "/audit", Own),
    ("GET", "/audit.csv", Own),
    ("GET", "/wall", Own),
    ("GET", "/report", Own),
    ("GET", "/report.csv", Own),
    ("GET", "/api/queue", Own),
    ("GET", "/api/mine", Own),
    ("GET", "/api/me", Own),
    ("GET", "/api/colleagues", Own),
    ("GET", "/api/samples", Own),
    ("GET", "/api/wall", Own),
    ("POST", "/api/next", Own),
    ("POST", "/api/ready", Own),
    ("POST", "/api/move", Own),
    ("POST", "/api/agents/{name}", Own),
    ("GET", "/api/cases/{case_id}", Case),
    ("GET", "/api/cases/{case_id}/about", Case),
    ("GET", "/api/cases/{case_id}/media/{seq}", Case),
    ("POST", "/api/cases/{case_id}/claim", Case),
    ("POST", "/api/cases/{case_id}/answer", Case),
    ("POST", "/api/cases/{case_id}/leave", Case),
    ("POST", "/api/cases/{case_id}/note", Case),
    ("POST", "/api/cases/{case_id}/close", Case),
    ("POST", "/api/cases/{case_id}/return", Case),
    ("POST", "/api/cases/{case_id}/transfer", Case),
    ("POST", "/api/cases/{case_id}/hand-over", Case),
    ("POST", "/api/cases/{case_id}/complaint", Case),
    ("POST", "/api/cases/{case_id}/complaint-settled", Case),
    ("POST", "/api/cases/{case_id}/seen", Case),
    ("POST", "/api/cases/{case_id}/typing", Case),
    ("POST", "/api/cases/{case_id}/picture", Case),
    ("POST", "/api/cases/{case_id}/whisper", Case),
    ("POST", "/api/cases/{case_id}/quality", Case),
    ("POST", "/api/cases/{case_id}/take-over", Case),
    ("POST", "/api/cases/{case_id}/priority", Case),
];

/// A body that has everything that any of them asks for.
fn body() -> Value {
    json!({
        "answer_id": "k", "text": "t", "skill": "fraud", "to": "agent01", "reason": "solved", "typing": true,
        "ready": false, "account": "card", "from": "card", "level": 3, "points": 3, "note": "n", "skills": [],
        "capacity": 3,
    })
}

fn path_of(route: &str, case_id: &str) -> String {
    let path = route.replace("{case_id}", case_id).replace("{seq}", "1").replace("{name}", "agent01");
    let key = if route.ends_with("/picture") { "?answer_id=k" } else { "" };
    format!("/desk{}{key}", path.replace("{file}", "desk.js"))
}

/// Somebody who serves another account only.
async fn stranger(test: &TestStore, rooms: &Rooms, name: &str, role: &str) -> Browser {
    let token = Secret::new(format!("token of {name}"));
    let hash: [u8; 32] =
        sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new_with_prefix(token.reveal())).into();
    let commit = Commit::new(0)
        .with(test.store.insert_staff(name, role, "loan", "-"))
        .with(test.store.insert_staff_session(hash, name));
    test.store.commit(commit).await.unwrap();
    let session = rooms.staff.session(&token, Activity::Page).await.unwrap().unwrap();
    let cookie = Cookie::new(SESSION_COOKIE, token.reveal().to_owned());
    Browser { cookie, csrf: session.csrf.reveal().to_owned() }
}

/// A conversation of `agent01` in which the canary was said.
async fn owned_case(test: &TestStore, rooms: &Rooms) -> (String, Session) {
    let case_id = waiting(test, &rooms.desk, &["转人工", CANARY]).await;
    let browser = Browser::new(rooms, "agent01").await;
    let token = Secret::new(browser.cookie.value().to_owned());
    let owner = rooms.staff.session(&token, Activity::Page).await.unwrap().unwrap();
    rooms.desk.claim(&owner, &case_id).await.unwrap();
    (case_id, owner)
}

#[actix_web::test]
async fn no_role_reads_or_changes_what_is_anothers_by_any_route() {
    for test in stores().await {
        let rooms = rooms(&test).await;
        let server = server!(&rooms);
        let (case_id, owner) = owned_case(&test, &rooms).await;
        let before = test.store.case(&case_id).await.unwrap().unwrap();
        let strangers = [
            ("another agent", Browser::new(&rooms, "agent02").await),
            ("an agent of another account", stranger(&test, &rooms, "loan01", "agent").await),
            ("a supervisor of another account", stranger(&test, &rooms, "loan02", "supervisor").await),
            ("an administrator of another account", stranger(&test, &rooms, "loan03", "admin").await),
        ];
        for (method, route, about) in ROUTES.iter().filter(|(_, _, about)| *about != Door) {
            let path = path_of(route, &case_id);
            for (who, browser) in &strangers {
                let request = match *method {
                    "GET" => browser.get(&path),
                    _ => browser.post(&path, body()),
                };
                let response = call_service(&server, request.to_request()).await;
                let status = response.status();
                let told = String::from_utf8_lossy(&read_body(response).await).into_owned();
                assert!(!told.contains(CANARY), "{}: {who}, {method} {path}: {told}", test.name);
                assert!(!told.contains(&case_id), "{}: {who}, {method} {path}: {told}", test.name);
                let refused = status.is_client_error();
                assert!(*about != Case || refused, "{}: {who}, {method} {path}: {status}", test.name);
                assert!(!status.is_server_error(), "{}: {who}, {method} {path}: {status}", test.name);
            }
        }
        let after = test.store.case(&case_id).await.unwrap().unwrap();
        assert_eq!(after, before, "{}: nothing of it changed", test.name);
        assert!(rooms.desk.open(&owner, &case_id).await.unwrap().mine);
    }
}

#[actix_web::test]
async fn every_route_that_changes_anything_wants_our_page_and_the_sessions_token() {
    let test = stores().await.remove(0);
    let rooms = rooms(&test).await;
    let server = server!(&rooms);
    let (case_id, _) = owned_case(&test, &rooms).await;
    let before = test.store.case(&case_id).await.unwrap().unwrap();
    let browser = Browser::new(&rooms, "agent01").await;
    for (_, route, _) in
        ROUTES.iter().filter(|(method, route, _)| *method == "POST" && route.starts_with("/api/"))
    {
        let path = path_of(route, &case_id);
        let whole = || browser.post(&path, body());
        let bare = || TestRequest::post().uri(&path).cookie(browser.cookie.clone()).set_json(body());
        let forged = [
            whole().insert_header(("sec-fetch-site", "cross-site")),
            whole().insert_header(("x-csrf-token", "0".repeat(64))),
            bare().insert_header(("sec-fetch-site", "same-origin")),
            bare().insert_header(("x-csrf-token", browser.csrf.clone())),
        ];
        for (number, request) in forged.into_iter().enumerate() {
            let status = call_service(&server, request.to_request()).await.status();
            assert_eq!(status, 403, "{path} {number}");
        }
        let nobody = TestRequest::post().uri(&path).insert_header(("sec-fetch-site", "same-origin"));
        let status = call_service(&server, nobody.set_json(body()).to_request()).await.status();
        assert_eq!(status, 401, "{path}");
    }
    assert_eq!(test.store.case(&case_id).await.unwrap().unwrap(), before);
}

#[actix_web::test]
async fn the_door_does_not_tell_whether_a_name_exists() {
    let test = stores().await.remove(0);
    let rooms = rooms(&test).await;
    let server = server!(&rooms);
    let mut told = Vec::new();
    for name in ["agent01", "agent99"] {
        let form = sign_in_form("wrong").set_form([("name", name), ("password", "a wrong password")]);
        let response = call_service(&server, form.to_request()).await;
        let mut headers: Vec<String> = response.headers().iter().map(|(name, _)| name.to_string()).collect();
        headers.sort();
        let status = response.status();
        let page = String::from_utf8(read_body(response).await.to_vec()).unwrap();
        told.push((status, headers, page.replace(name, "NAME")));
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0].0, 401);
}

#[test]
fn every_route_of_the_desk_has_a_row() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/desk");
    let mut found = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_source = path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs");
        if !is_source {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for after in text.split(".route(").skip(1) {
            let Some(literal) = after.trim_start().strip_prefix('"') else { continue };
            let route = literal.split('"').next().unwrap_or_default();
            let known = |(_, written, _): &&(&str, &str, About)| {
                *written == route || *written == format!("/api{route}")
            };
            assert!(ROUTES.iter().any(|row| known(&row)), "{}: {route} has no row", path.display());
            found += 1;
        }
    }
    assert!(found >= 40, "the sources are read: {found}");
}
