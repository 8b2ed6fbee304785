//! Network zones: each route answers on the listeners of its zone and on no other.

use std::collections::BTreeMap;
use std::path::Path;

use reqwest::Method;

use crate::world::{Engine, Ports, World};

/// A listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Zone {
    Public,
    Api,
    Staff,
    Metrics,
}

use Zone::{Api, Metrics, Public, Staff};

/// Every route: how it is asked for, how the sources write it, where it answers.
const ROUTES: &[(&str, &str, &str, &[Zone])] = &[
    ("GET", "/wechat/card", "/wechat/{account}", &[Public]),
    ("POST", "/wechat/card", "/wechat/{account}", &[Public]),
    ("GET", "/h5/assets/h5.css", "/assets/{file}", &[Public]),
    ("GET", "/h5/card/callback", "/{account}/callback", &[Public]),
    ("GET", "/h5/card/bind", "/{account}/bind", &[Public]),
    ("POST", "/h5/card/bind/start", "/{account}/bind/{step}", &[Public]),
    ("GET", "/h5/card/apply", "/{account}/apply", &[Public]),
    ("POST", "/h5/card/apply/start", "/{account}/apply/{step}", &[Public]),
    ("GET", "/h5/card/progress", "/{account}/progress", &[Public]),
    ("GET", "/h5/card/purchase", "/{account}/purchase", &[Public]),
    ("POST", "/h5/card/purchase/deny", "/{account}/purchase/{step}", &[Public]),
    ("GET", "/h5/card/step-up", "/{account}/step-up", &[Public]),
    ("GET", "/h5/card/step-up/return", "/{account}/step-up/return", &[Public]),
    ("POST", "/h5/card/step-up/send", "/{account}/step-up/{step}", &[Public]),
    ("GET", "/h5/card/spending", "/{account}/spending", &[Public]),
    ("GET", "/h5/card/alerts", "/{account}/alerts", &[Public]),
    ("POST", "/h5/card/alerts/card", "/{account}/alerts/{step}", &[Public]),
    ("GET", "/h5/nothing", "/h5", &[Public]),
    ("GET", "/MP_verify_zones.txt", "/{name:MP_verify_[0-9A-Za-z]{1,64}\\\\.txt}", &[Public]),
    ("POST", "/api/v1/transactions", "/api/v1/transactions", &[Api]),
    ("GET", "/api/v1/transactions/T1", "/api/v1/transactions/{transaction_id}", &[Api]),
    ("POST", "/api/v1/notices", "/api/v1/notices", &[Api]),
    ("GET", "/api/v1/notices/N1", "/api/v1/notices/{notice_id}", &[Api]),
    ("POST", "/api/v1/bindings", "/api/v1/bindings", &[Api]),
    ("DELETE", "/api/v1/bindings/card/o1", "/api/v1/bindings/{account}/{openid}", &[Api]),
    ("GET", "/api/v1/desk/card/cases", "/api/v1/desk/{account}/cases", &[Api]),
    ("GET", "/api/v1/desk/card/cases/c1", "/api/v1/desk/{account}/cases/{case_id}", &[Api]),
    (
        "GET",
        "/api/v1/desk/card/cases/c1/media/1",
        "/api/v1/desk/{account}/cases/{case_id}/media/{seq}",
        &[Api],
    ),
    ("POST", "/api/v1/desk/card/cases/c1/take", "/api/v1/desk/{account}/cases/{case_id}/take", &[Api]),
    (
        "POST",
        "/api/v1/desk/card/cases/c1/messages",
        "/api/v1/desk/{account}/cases/{case_id}/messages",
        &[Api],
    ),
    (
        "POST",
        "/api/v1/desk/card/cases/c1/transfer",
        "/api/v1/desk/{account}/cases/{case_id}/transfer",
        &[Api],
    ),
    ("POST", "/api/v1/desk/card/cases/c1/close", "/api/v1/desk/{account}/cases/{case_id}/close", &[Api]),
    ("POST", "/api/v1/desk/card/cases/c1/return", "/api/v1/desk/{account}/cases/{case_id}/return", &[Api]),
    ("GET", "/openapi.json", "/openapi.json", &[Api]),
    ("GET", "/desk", "/desk", &[Staff]),
    ("GET", "/desk/sign-in", "/sign-in", &[Staff]),
    ("POST", "/desk/sign-in", "/sign-in", &[Staff]),
    ("GET", "/desk/second-step", "/second-step", &[Staff]),
    ("POST", "/desk/second-step", "/second-step", &[Staff]),
    ("GET", "/desk/oidc", "/oidc", &[Staff]),
    ("GET", "/desk/oidc/callback", "/oidc/callback", &[Staff]),
    ("GET", "/desk/reveal", "/reveal", &[Staff]),
    ("POST", "/desk/reveal", "/reveal", &[Staff]),
    ("GET", "/desk/audit", "/audit", &[Staff]),
    ("GET", "/desk/audit.csv", "/audit.csv", &[Staff]),
    ("POST", "/desk/sign-out", "/sign-out", &[Staff]),
    ("GET", "/desk/live", "/live", &[Staff]),
    ("GET", "/desk/assets/desk.js", "/assets/{file}", &[Staff]),
    ("GET", "/desk/api/queue", "/queue", &[Staff]),
    ("GET", "/desk/api/mine", "/mine", &[Staff]),
    ("GET", "/desk/api/cases/c1", "/cases/{case_id}", &[Staff]),
    ("GET", "/desk/api/cases/c1/about", "/cases/{case_id}/about", &[Staff]),
    ("POST", "/desk/api/cases/c1/whisper", "/cases/{case_id}/whisper", &[Staff]),
    ("POST", "/desk/api/cases/c1/quality", "/cases/{case_id}/quality", &[Staff]),
    ("GET", "/desk/api/samples", "/samples", &[Staff]),
    ("POST", "/desk/api/cases/c1/claim", "/cases/{case_id}/claim", &[Staff]),
    ("POST", "/desk/api/cases/c1/answer", "/cases/{case_id}/answer", &[Staff]),
    ("POST", "/desk/api/cases/c1/close", "/cases/{case_id}/close", &[Staff]),
    ("POST", "/desk/api/cases/c1/return", "/cases/{case_id}/return", &[Staff]),
    ("POST", "/desk/api/cases/c1/transfer", "/cases/{case_id}/transfer", &[Staff]),
    ("GET", "/desk/api/me", "/me", &[Staff]),
    ("GET", "/desk/api/colleagues", "/colleagues", &[Staff]),
    ("POST", "/desk/api/next", "/next", &[Staff]),
    ("POST", "/desk/api/ready", "/ready", &[Staff]),
    ("POST", "/desk/api/cases/c1/leave", "/cases/{case_id}/leave", &[Staff]),
    ("POST", "/desk/api/cases/c1/note", "/cases/{case_id}/note", &[Staff]),
    ("POST", "/desk/api/cases/c1/hand-over", "/cases/{case_id}/hand-over", &[Staff]),
    ("POST", "/desk/api/cases/c1/complaint", "/cases/{case_id}/complaint", &[Staff]),
    ("POST", "/desk/api/cases/c1/complaint-settled", "/cases/{case_id}/complaint-settled", &[Staff]),
    ("GET", "/desk/wall", "/wall", &[Staff]),
    ("GET", "/desk/report", "/report", &[Staff]),
    ("GET", "/desk/report.csv", "/report.csv", &[Staff]),
    ("POST", "/desk/api/move", "/move", &[Staff]),
    ("POST", "/desk/api/agents/a1", "/agents/{name}", &[Staff]),
    ("POST", "/desk/api/cases/c1/take-over", "/cases/{case_id}/take-over", &[Staff]),
    ("POST", "/desk/api/cases/c1/priority", "/cases/{case_id}/priority", &[Staff]),
    ("POST", "/desk/api/cases/c1/typing", "/cases/{case_id}/typing", &[Staff]),
    ("POST", "/desk/api/cases/c1/picture?answer_id=k", "/cases/{case_id}/picture", &[Staff]),
    ("GET", "/desk/api/cases/c1/media/1", "/cases/{case_id}/media/{seq}", &[Staff]),
    ("POST", "/desk/api/cases/c1/seen", "/cases/{case_id}/seen", &[Staff]),
    ("GET", "/desk/api/queue", "/api", &[Staff]),
    ("GET", "/healthz", "/healthz", &[Public, Metrics]),
    ("GET", "/readyz", "/readyz", &[Public, Metrics]),
    ("GET", "/metrics", "/metrics", &[Metrics]),
    ("GET", "/deliveries", "/deliveries", &[Metrics]),
];

/// Whether anything is behind the path. Who has no such route says 404 and not a word; ours always say why.
async fn answers(world: &World, method: &str, url: &str) -> bool {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let response = world.http.request(method, url).send().await.unwrap();
    let status = response.status();
    assert!(!status.is_server_error(), "{url}: {status}");
    // A stream of hints never ends, so only a 404 is read.
    status != 404 || !response.bytes().await.unwrap().is_empty()
}

async fn listeners(world: &World) -> BTreeMap<Zone, String> {
    let zones = world.zones();
    let metrics = zones.metrics.expect("the world has a metrics address");
    [(Public, zones.listen), (Api, zones.api), (Staff, zones.staff), (Metrics, metrics)]
        .map(|(zone, address)| (zone, format!("http://{address}")))
        .into()
}

/// The server's settings with these, and the account with a domain file.
fn apart(text: String, folder: &Path, settings: &str) -> String {
    let file = folder.join("MP_verify_zones.txt");
    std::fs::write(&file, "zones").unwrap();
    let account = format!("id = \"card\"\ndomain_files = [{:?}]", file.display().to_string());
    text.replacen("[server]", &format!("[server]\n{settings}"), 1).replacen("id = \"card\"", &account, 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_route_answers_in_its_own_zone_and_in_no_other() {
    let ports = Ports::reserve();
    let settings = format!(
        "api_listen = \"127.0.0.1:{}\"\nstaff_listen = \"127.0.0.1:{}\"",
        ports.server, ports.simulator
    );
    let mut world = World::prepared(Engine::Sqlite, |text, folder| apart(text, folder, &settings)).await;
    world.start_server().await;
    let listeners = listeners(&world).await;
    let mut wrong = Vec::new();
    for (method, path, _, zones) in ROUTES {
        for (zone, base) in &listeners {
            if answers(&world, method, &format!("{base}{path}")).await != zones.contains(zone) {
                wrong.push(format!("{method} {path} on {zone:?}: belongs to {zones:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_addresses_of_their_own_calls_and_desk_answer_on_listen() {
    let mut world = World::prepared(Engine::Sqlite, |text, folder| apart(text, folder, "")).await;
    world.start_server().await;
    let zones = world.zones();
    assert_eq!((zones.api, zones.staff), (zones.listen, zones.listen));
    let listeners = listeners(&world).await;
    for (method, path, _, zones) in ROUTES {
        let here = *zones != [Metrics];
        assert_eq!(answers(&world, method, &format!("{}{path}", listeners[&Public])).await, here, "{path}");
        let there = zones.contains(&Metrics);
        assert_eq!(answers(&world, method, &format!("{}{path}", listeners[&Metrics])).await, there, "{path}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_and_desk_may_share_an_address() {
    let port = Ports::reserve().server;
    let settings = format!("api_listen = \"127.0.0.1:{port}\"\nstaff_listen = \"127.0.0.1:{port}\"");
    let mut world = World::prepared(Engine::Sqlite, |text, folder| apart(text, folder, &settings)).await;
    world.start_server().await;
    let listeners = listeners(&world).await;
    for (method, path, _, zones) in ROUTES {
        let here = zones.contains(&Api) || zones.contains(&Staff);
        assert_eq!(answers(&world, method, &format!("{}{path}", listeners[&Api])).await, here, "{path}");
    }
    world.stop().await;
}

/// The paths that a source file gives to the router.
fn routes_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for call in [".route(", "resource(", "scope("] {
        for after in text.split(call).skip(1) {
            let Some(literal) = after.trim_start().strip_prefix('"') else { continue };
            found.extend(literal.split('"').next().filter(|path| path.starts_with('/')).map(str::to_owned));
        }
    }
    found
}

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        if path.is_dir() {
            if !name.ends_with("tests") {
                sources(&path, found);
            }
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            found.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn every_route_of_the_sources_has_a_row_in_the_table() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web"), &mut files);
    let routes: Vec<(String, String)> = files
        .iter()
        .flat_map(|(file, text)| routes_in(text).into_iter().map(move |route| (file.clone(), route)))
        .collect();
    assert!(routes.len() >= 30, "the sources are read: {}", routes.len());
    for (file, route) in routes {
        let known = ROUTES.iter().any(|(_, _, written, _)| *written == route);
        assert!(known, "{file}: {route} has no row in the table of zones; say where it belongs");
    }
}
