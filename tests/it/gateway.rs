//! The gateway as `docker/nginx.conf` sets it up: a real nginx in front of a real server, its zones, bounds and headers.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use futures::StreamExt as _;
use reqwest::Certificate;

use crate::pages::Browser;
use crate::processes::{run_with, signal, told};
use crate::tls::{NOW, authority, server_pair};
use crate::wechat::{Wechat, text};
use crate::world::{Engine, Ports, WAIT_MAX, World, until};

/// Debian's, outside the path of people without rights. `.ci/test` installs it.
const NGINX: &str = "/usr/sbin/nginx";
const PASSWORD: &str = "correct horse battery";

/// A running nginx. Stopped when the test lets go of it.
pub(crate) struct Nginx(Child);

impl Nginx {
    /// Starts it with this configuration, which it has found to be good.
    pub(crate) fn start(file: &Path) -> Self {
        assert!(Path::new(NGINX).exists(), "{NGINX} is missing: .ci/test packages installs it");
        let file = file.display().to_string();
        let tested = Command::new(NGINX).args(["-t", "-c", &file]).output().unwrap();
        assert!(tested.status.success(), "nginx -t: {}", told(&tested));
        let arguments = ["-c", &file, "-g", "daemon off; user root;"];
        Self(Command::new(NGINX).args(arguments).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Reads its configuration again; requests under way end with the one before.
    pub(crate) fn reload(&self) {
        signal("HUP", self.0.id());
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its master ends its workers; killed, it would leave them behind.
        signal("TERM", self.0.id());
        let _ = self.0.wait();
    }
}

struct Gateway {
    world: World,
    /// Trusts the gateway's CA; keeps its connections.
    http: reqwest::Client,
    public: String,
    api: String,
    staff: String,
    _nginx: Nginx,
}

/// `docker/nginx.conf` with the ports, files and two servers of this test in place of those of the compose file: for
/// each server the ports of its three zones.
pub(crate) fn configuration(folder: &Path, gate: &Ports, servers: [[u16; 3]; 2]) -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/nginx.conf");
    let mut text = std::fs::read_to_string(file).unwrap();
    let inside = folder.display();
    for (server, ports) in (1..).zip(servers) {
        for (zone, port) in (8080..).zip(ports) {
            let from = format!("server-{server}:{zone}");
            assert!(text.contains(&from), "docker/nginx.conf has {from}");
            text = text.replace(&from, &format!("127.0.0.1:{port}"));
        }
    }
    let replacements = [
        ("/tmp/".to_owned(), format!("{inside}/nginx-")),
        ("listen 443 ssl".to_owned(), format!("listen 127.0.0.1:{} ssl", gate.server)),
        ("listen 8443 ssl".to_owned(), format!("listen 127.0.0.1:{} ssl", gate.simulator)),
        ("listen 9443 ssl".to_owned(), format!("listen 127.0.0.1:{} ssl", gate.core)),
        ("wx.bank.example".to_owned(), "localhost".to_owned()),
        ("/etc/nginx/tls/".to_owned(), format!("{inside}/")),
        ("/dev/stdout".to_owned(), format!("{inside}/nginx-access.log")),
    ];
    for (from, to) in replacements {
        assert!(text.contains(&from), "docker/nginx.conf has {from}");
        text = text.replace(&from, &to);
    }
    let path = folder.join("nginx.conf");
    std::fs::write(&path, text).unwrap();
    path
}

/// Makes the gateway's certificate in this folder, and a client that trusts its CA and nobody else.
pub(crate) fn trusting_client(folder: &Path) -> reqwest::Client {
    let authority = authority("gateway");
    let pair = server_pair(&authority, "localhost", NOW);
    std::fs::write(folder.join("gateway.pem"), &pair.certificate).unwrap();
    std::fs::write(folder.join("gateway.key"), &pair.key).unwrap();
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([Certificate::from_pem(authority.pem().as_bytes()).unwrap()])
        .redirect(reqwest::redirect::Policy::none())
        .timeout(WAIT_MAX)
        .build()
        .unwrap()
}

impl Gateway {
    async fn start() -> Self {
        let (gate, behind) = (Ports::reserve(), Ports::reserve());
        let public = format!("https://localhost:{}", gate.server);
        let mut world = World::prepared(Engine::Sqlite, |text, _| {
            let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
            let zones = format!(
                "public_url = \"{public}\"\napi_listen = \"127.0.0.1:{}\"\nstaff_listen = \"127.0.0.1:{}\"\n\
                 trusted_proxies = [\"127.0.0.0/8\"]",
                behind.simulator, behind.core
            );
            text.replacen(&line("public_url"), &zones, 1)
        })
        .await;
        world.start_server().await;
        let folder = world.folder.path().to_owned();
        let http = trusting_client(&folder);
        // One server in both places: where it does not matter which of two answers.
        let server = [world.zones().listen.port(), behind.simulator, behind.core];
        let nginx = Nginx::start(&configuration(&folder, &gate, [server, server]));
        let gateway = Self {
            world,
            http,
            public,
            api: format!("https://localhost:{}", gate.simulator),
            staff: format!("https://localhost:{}", gate.core),
            _nginx: nginx,
        };
        until("nginx", async || gateway.status(&format!("{}/", gateway.public)).await).await;
        gateway
    }

    /// The status of a GET; nothing where nobody listens.
    async fn status(&self, url: &str) -> Option<u16> {
        self.http.get(url).send().await.ok().map(|response| response.status().as_u16())
    }

    fn wechat(&self) -> Wechat {
        Wechat { http: self.http.clone(), url: format!("{}/wechat/card", self.public), is_safe: true }
    }

    /// Tries to sign in, claiming to come from this address; gives status and cookie.
    async fn sign_in(&self, password: &str, claimed: &str) -> (u16, String) {
        let request = self.http.post(format!("{}/desk/sign-in", self.staff));
        let request = request.header("sec-fetch-site", "same-origin").header("x-forwarded-for", claimed);
        let response = request.form(&[("name", "lin"), ("password", password)]).send().await.unwrap();
        let cookie = response.headers().get("set-cookie").map(|cookie| cookie.to_str().unwrap());
        let cookie = cookie.and_then(|cookie| cookie.split(';').next()).unwrap_or_default().to_owned();
        (response.status().as_u16(), cookie)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_pages_and_desk_work_through_a_real_nginx() {
    let gateway = Gateway::start().await;
    let world = &gateway.world;
    let follower = world.follower("甲").await;
    world.bind_by(&gateway.http, &gateway.api, &follower.openid, "C10001").await;

    // Pushes, one after the other on connections that stay open.
    for id in 1..=50 {
        let answer = gateway.wechat().deliver(&text(&follower.openid, id, "积分")).await;
        assert!(answer.text().contains("可用积分"), "{}", answer.raw());
    }
    let large = gateway.wechat().deliver(&text(&follower.openid, 99, &"大".repeat(40_000))).await;
    assert_eq!(large.status, 413);

    // A page, by way of WeChat's authorisation, and its form.
    let said = follower.say("办卡").await;
    let link = said.split('"').find(|part| part.contains("/h5/card/apply?t=")).unwrap().to_owned();
    assert!(link.starts_with(&gateway.public), "{link}");
    let mut browser =
        Browser::new(gateway.http.clone(), &gateway.public, &world.simulator_url, &follower.openid);
    assert_eq!(browser.open(&link).await, 200, "{}", browser.html);
    assert!(browser.html.contains("申请"), "{}", browser.html);
    let asset = browser.html.split('"').find(|part| part.contains("/h5/assets/h5.css")).unwrap().to_owned();
    assert_eq!(browser.open(&asset).await, 200);

    // The desk, and its hints as they come.
    let command = ["user", "add", "lin", "--role", "agent", "--config", "w.toml"];
    let added = run_with(world.folder.path(), &command, &format!("{PASSWORD}\n"));
    assert!(added.status.success(), "{}", told(&added));
    let (status, cookie) = gateway.sign_in(PASSWORD, "203.0.113.1").await;
    assert_eq!(status, 303);
    let get = |path: &str| gateway.http.get(format!("{}{path}", gateway.staff)).header("cookie", &cookie);
    assert_eq!(get("/desk/api/queue").send().await.unwrap().status(), 200);
    // An agent's picture reaches the desk, which knows no such case here; what no picture is as large as does not.
    for (megabytes, refused) in [(2, 403), (4, 413)] {
        let picture = gateway.http.post(format!("{}/desk/api/cases/1/picture?answer_id=1", gateway.staff));
        let picture = picture.header("cookie", &cookie).body(vec![0; megabytes << 20]);
        assert_eq!(picture.send().await.unwrap().status(), refused, "{megabytes} MB");
    }
    let live = get("/desk/live").header("sec-fetch-site", "same-origin").send().await.unwrap();
    let mut hints = live.bytes_stream();
    let first = hints.next().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: changed"), "{first:?}");
    drop(hints);

    // Who writes another address into the header each time is locked out all the same: it is not believed.
    let mut last = 0;
    for attempt in 0..12 {
        last = gateway.sign_in("not the password", &format!("203.0.113.{attempt}")).await.0;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429, "the lock-out counts the address that nginx saw");
    gateway.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_zone_of_the_gateway_leads_to_its_own_routes_only() {
    let gateway = Gateway::start().await;
    let Gateway { public, api, staff, .. } = &gateway;
    let table = [
        (public, "/wechat/card", 401),
        (public, "/h5/card/bind", 403),
        (public, "/desk/sign-in", 404),
        (public, "/openapi.json", 404),
        (public, "/api/v1/transactions/T1", 404),
        (public, "/metrics", 404),
        (public, "/readyz", 404),
        (api, "/openapi.json", 200),
        (api, "/api/v1/transactions/T1", 401),
        (api, "/wechat/card", 404),
        (api, "/desk/sign-in", 404),
        (api, "/h5/card/bind", 404),
        (staff, "/desk/sign-in", 200),
        (staff, "/wechat/card", 404),
        (staff, "/openapi.json", 404),
        (staff, "/h5/card/bind", 404),
    ];
    for (zone, path, status) in table {
        assert_eq!(gateway.status(&format!("{zone}{path}")).await, Some(status), "{zone}{path}");
    }
    gateway.world.stop().await;
}
