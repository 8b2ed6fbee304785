//! The ways out: a private CA and a client certificate towards the bank, a proxy towards WeChat, and no obedience to
//! proxy variables. TLS and proxies are real; certificates are made here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use weikefu::bank::{Call, Context, Core, CoreError};
use weikefu::clock::{SystemClock, SystemRandom};
use weikefu::config::Config;
use weikefu::wechat::api::Api;
use weikefu::wechat::token::MemoryShelf;

use crate::processes::{run, run_under, told};
use crate::world::{Engine, World, until};

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

/// A certificate and its key, as PEM text.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

pub(crate) fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issued(by: &Authority, name: &str, usage: ExtendedKeyUsagePurpose, years: (i32, i32)) -> Pair {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.extended_key_usages = vec![usage];
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, by).unwrap();
    Pair { certificate: certificate.pem(), key: key.serialize_pem() }
}

pub(crate) const NOW: (i32, i32) = (2020, 2090);
const LONG_AGO: (i32, i32) = (2001, 2002);

pub(crate) fn server_pair(by: &Authority, name: &str, years: (i32, i32)) -> Pair {
    issued(by, name, ExtendedKeyUsagePurpose::ServerAuth, years)
}

fn client_pair(by: &Authority) -> Pair {
    issued(by, "weikefu.bank.example", ExtendedKeyUsagePurpose::ClientAuth, NOW)
}

/// TLS in front of a plain server, as a bank's gateway ends it: who shows no certificate of `clients` is refused.
async fn tls_front(own: &Pair, clients: &Authority, behind: SocketAddr) -> SocketAddr {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(clients.pem().as_bytes()).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
    let config =
        ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut near = match acceptor.accept(stream).into_fallible().await {
                    Ok(near) => near,
                    // Closed with bytes unread, the connection would be reset, and the alert lost on its way.
                    Err((_, mut refused)) => {
                        let _ = refused.shutdown().await;
                        let _ = tokio::io::copy(&mut refused, &mut tokio::io::sink()).await;
                        return;
                    }
                };
                // With nobody behind it, it hangs up.
                let Ok(mut far) = TcpStream::connect(behind).await else { return };
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    address
}

/// The settings of a section that name these certificates, written into the folder.
fn settings(folder: &Path, name: &str, ca: Option<&Authority>, client: Option<&Pair>) -> String {
    let write = |kind: &str, text: &str| {
        let path = folder.join(format!("{name}-{kind}.pem"));
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let mut settings = String::new();
    if let Some(ca) = ca {
        settings += &format!("ca_file = {:?}\n", write("ca", &ca.pem()));
    }
    if let Some(pair) = client {
        settings += &format!("client_cert_file = {:?}\n", write("client", &pair.certificate));
        settings += &format!("client_key_file = {:?}\n", write("key", &pair.key));
    }
    settings
}

fn address_of(url: &str) -> SocketAddr {
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// The world's configuration with other settings of the core.
fn with_core(world: &World, base_url: &str, settings: &str) -> Config {
    let text = std::fs::read_to_string(world.folder.path().join("w.toml")).unwrap();
    let own = format!("[core]\nbase_url = \"{}\"", world.core_url);
    assert!(text.contains(&own));
    let text = text.replacen(&own, &format!("[core]\nbase_url = \"{base_url}\"\n{settings}"), 1);
    Config::parse("w.toml", &text, []).unwrap_or_else(|faults| panic!("{faults:?}"))
}

async fn ask(config: &Config) -> Result<serde_json::Value, CoreError> {
    let core = Core::new(&config.core, Arc::new(SystemClock), Arc::new(SystemRandom)).unwrap();
    let customer_id = weikefu::domain::ids::CustomerId::parse("C10001");
    let params = json!({});
    core.call(
        "points_query",
        Call { customer_id, params, idempotency_key: None, context: Context::default() },
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_handshake_with_the_core_says_what_to_do() {
    let world = World::without_server(Engine::Sqlite).await;
    let folder = world.folder.path();
    let core = address_of(&world.core_url);
    let (bank, stranger) = (authority("bank"), authority("stranger"));
    let (ours, foreign) = (client_pair(&bank), client_pair(&stranger));
    let good = tls_front(&server_pair(&bank, "localhost", NOW), &bank, core).await;
    let expired = tls_front(&server_pair(&bank, "localhost", LONG_AGO), &bank, core).await;
    let renamed = tls_front(&server_pair(&bank, "esb.bank.example", NOW), &bank, core).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let ending = tls_front(&server_pair(&bank, "localhost", NOW), &bank, nobody).await;
    let url = |address: SocketAddr| format!("https://localhost:{}", address.port());

    let well = settings(folder, "well", Some(&bank), Some(&ours));
    let result = ask(&with_core(&world, &url(good), &well)).await.unwrap();
    assert!(result["points"].is_number(), "{result}");

    let table = [
        (
            "a wrong CA",
            good,
            settings(folder, "wrong", Some(&stranger), Some(&ours)),
            "give the bank's CA as ca_file",
        ),
        ("no CA", good, settings(folder, "none", None, Some(&ours)), "give the bank's CA as ca_file"),
        ("one that hangs up", ending, well.clone(), "ended without an answer"),
        ("expired", expired, well.clone(), "has expired or is not valid yet"),
        ("another name", renamed, well.clone(), "address it by the name in the certificate"),
        ("no client certificate", good, settings(folder, "bare", Some(&bank), None), "give client_cert_file"),
        (
            "a foreign one",
            good,
            settings(folder, "foreign", Some(&bank), Some(&foreign)),
            "give client_cert_file",
        ),
    ];
    for (what, address, settings, advice) in table {
        let error = ask(&with_core(&world, &url(address), &settings)).await.unwrap_err();
        assert!(error.to_string().contains(advice), "{what}: {error}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn core_and_event_receiver_are_reached_with_a_private_ca_and_a_client_certificate() {
    let mut world = World::without_server(Engine::Sqlite).await;
    let bank = authority("bank");
    let own = server_pair(&bank, "localhost", NOW);
    let front = tls_front(&own, &bank, address_of(&world.core_url)).await;
    let settings = settings(world.folder.path(), "well", Some(&bank), Some(&client_pair(&bank)));
    let file = world.folder.path().join("w.toml");
    let url = format!("https://localhost:{}", front.port());
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text
        .replace(
            &format!("base_url = \"{}\"\nsecret", world.core_url),
            &format!("base_url = \"{url}\"\n{settings}secret"),
        )
        .replace(
            &format!("url = \"{}/sandbox/events\"", world.core_url),
            &format!("url = \"{url}/sandbox/events\"\n{settings}"),
        );
    assert_eq!(text.matches("client_key_file").count(), 2, "{text}");
    world.config = Config::parse("w.toml", &text, []).unwrap_or_else(|faults| panic!("{faults:?}"));
    world.start_server().await;
    let follower = world.follower("甲").await;
    world.bind(&follower.openid, "C10001").await;
    assert!(follower.say("账单").await.contains("本期应还"));
    let events = format!("{}/sandbox/events", world.core_url);
    until("the event by TLS", async || {
        world.get(&events).await.to_string().contains("\"bound\"").then_some(())
    })
    .await;
    world.stop().await;
}

#[test]
fn pem_files_that_do_not_do_are_told_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let (bank, pair) = (authority("bank"), client_pair(&authority("bank")));
    let other = client_pair(&bank);
    let write = |name: &str, text: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let certificate = write("client.pem", pair.certificate.as_bytes());
    let key = write("key.pem", pair.key.as_bytes());
    let other_key = write("other.pem", other.key.as_bytes());
    let empty = write("empty.pem", b"");
    let broken = write("broken.pem", b"-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n");
    let hollow = write("hollow.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let der = write("der.pem", &[0x30, 0x82, 0xff, 0xfe]);
    let sealed = write(
        "sealed.pem",
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let set = |key: &str, path: &Path| format!("{key} = {:?}", path.display().to_string());
    let pair_of = |certificate: &Path, key: &Path| {
        format!("{}\n{}", set("client_cert_file", certificate), set("client_key_file", key))
    };
    let absent = folder.path().join("absent.pem");
    let table = [
        (set("ca_file", &absent), 1, "`core.ca_file` cannot be read: "),
        (set("ca_file", &empty), 1, "`core.ca_file` holds no certificate"),
        (set("ca_file", &broken), 1, "`core.ca_file` is not PEM: "),
        (set("ca_file", &hollow), 1, "`core.ca_file` holds no usable certificate"),
        (set("ca_file", &der), 1, "`core.ca_file` is not PEM: "),
        (set("client_cert_file", &certificate), 0, "given together or not at all"),
        (pair_of(&certificate, &sealed), 2, "`core.client_key_file` is protected by a pass phrase"),
        (pair_of(&certificate, &certificate), 2, "`core.client_key_file` holds no private key"),
        (
            pair_of(&certificate, &other_key),
            2,
            "`core.client_key_file` does not belong to the first certificate",
        ),
        (pair_of(&key, &key), 1, "`core.client_cert_file` holds no certificate"),
    ];
    let database = format!("sqlite://{}/w.db", folder.path().display());
    let ports = crate::world::Ports::reserve();
    let text = crate::world::configuration_text(&folder, &database, &ports);
    let line = text.lines().position(|line| line == "[core]").unwrap() + 1;
    for (settings, offset, fault) in table {
        write("w.toml", text.replacen("[core]", &format!("[core]\n{settings}"), 1).as_bytes());
        let checked = run(folder.path(), &["check", "--config", "w.toml"]);
        assert_eq!(checked.status.code(), Some(1), "{settings}: {}", told(&checked));
        let told = told(&checked);
        assert!(
            told.contains(&format!("w.toml:{}: ", line + offset)) && told.contains(fault),
            "{settings}: {told}"
        );
        assert!(!told.contains("PRIVATE KEY-----\nM"), "no key is told");
    }
}

/// A forward proxy as banks have it: passes requests on by their absolute address, and opens tunnels.
struct Proxy {
    address: SocketAddr,
    /// First lines and `proxy-authorization` of what it was asked.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Tunnels all lead to `tunnel`, whatever host they name.
    async fn start(tunnel: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass_on(stream, tunnel, log.clone()));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Serves one connection: one tunnel, or one request after which it closes.
async fn pass_on(mut near: TcpStream, tunnel: SocketAddr, log: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut buffer = [0; 4096];
        match near.read(&mut buffer).await {
            Ok(count) if count > 0 => head.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let first = text.lines().next().unwrap().to_owned();
    let authorization = text.lines().find(|line| line.to_lowercase().starts_with("proxy-authorization"));
    log.lock().unwrap().push(format!("{first} {}", authorization.unwrap_or_default()));
    if first.starts_with("CONNECT ") {
        let mut far = TcpStream::connect(tunnel).await.unwrap();
        near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
        let _ = copy_bidirectional(&mut near, &mut far).await;
        return;
    }
    let target = first.split(' ').nth(1).unwrap().to_owned();
    let rest = target.strip_prefix("http://").expect("an absolute address").to_owned();
    let (host, path) = rest.split_once('/').unwrap();
    let mut far = TcpStream::connect(host).await.unwrap();
    // Closing after one answer keeps this proxy small.
    let head =
        text.replacen(&target, &format!("/{path}"), 1).replacen("\r\n", "\r\nconnection: close\r\n", 1);
    far.write_all(head.as_bytes()).await.unwrap();
    let _ = copy_bidirectional(&mut near, &mut far).await;
}

fn by_proxy(text: String, proxy: &str) -> String {
    text.replacen("[server]", &format!("[server]\nwechat_proxy = \"{proxy}\""), 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_to_wechat_goes_through_the_proxy_and_none_to_the_bank() {
    let nowhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let proxy = Proxy::start(nowhere).await;
    let address = proxy.address;
    let mut world = World::prepared(Engine::Sqlite, |text, _| {
        by_proxy(text, &format!("http://ming:open-sesame@{address}"))
    })
    .await;
    world.start_server().await;
    let follower = world.follower("甲").await;
    world.bind(&follower.openid, "C10001").await;
    let transaction = json!({
        "transaction_id": "T1", "customer_id": "C10001", "card_last4": "1234", "type": "purchase",
        "amount": { "value": "1.00", "currency": "CNY" }, "merchant": { "name": "便利店" }, "channel": "pos",
        "occurred_at": "2026-11-22T10:00:00+08:00",
    });
    world.bank(reqwest::Method::POST, "/api/v1/transactions", &transaction.to_string()).await;
    follower.wait("the alert", |entry| entry.to_string().contains("便利店")).await;
    assert!(follower.say("账单").await.contains("本期应还"), "the core is asked without it");
    let asked = proxy.asked();
    let to_wechat =
        |path: &str| asked.iter().any(|line| line.contains(&format!("{}{path}", world.simulator_url)));
    assert!(to_wechat("/cgi-bin/stable_token") && to_wechat("/cgi-bin/message/template/send"), "{asked:?}");
    assert!(asked.iter().all(|line| !line.contains(&world.core_url)), "{asked:?}");
    let login = "Basic bWluZzpvcGVuLXNlc2FtZQ==";
    assert!(asked.iter().all(|line| line.contains(login)), "{asked:?}");
    let shown = world.config.masked();
    assert!(shown.contains(&format!("wechat_proxy = \"http://•••@{address}\"")), "{shown}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_goes_through_a_tunnel_that_names_wechats_host() {
    let world = World::without_server(Engine::Sqlite).await;
    let bank = authority("bank");
    let front =
        tls_front(&server_pair(&bank, "localhost", NOW), &bank, address_of(&world.simulator_url)).await;
    let proxy = Proxy::start(front).await;
    let text = std::fs::read_to_string(world.folder.path().join("w.toml")).unwrap();
    let own = format!("api_base_url = \"{}\"", world.simulator_url);
    let text = by_proxy(text, &format!("http://{}", proxy.address))
        .replace(&own, "api_base_url = \"https://api.weixin.example\"");
    let config = Config::parse("w.toml", &text, []).unwrap();
    let shelf = Arc::new(MemoryShelf::default());
    let api = Api::new(&config.accounts[0], shelf, Arc::new(SystemClock), "test").unwrap();
    // The far end is of a CA that nobody trusts: the way is taken, and what is at its end is refused all the same.
    assert!(api.menus().await.is_err());
    assert_eq!(proxy.asked(), ["CONNECT api.weixin.example:443 HTTP/1.1 "]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxy_variables_of_the_environment_are_not_obeyed() {
    let world = World::without_server(Engine::Sqlite).await;
    let folder = world.folder.path().to_owned();
    let core_url = world.core_url.clone();
    // Nobody listens there: whoever obeyed would fail.
    let trap = "http://127.0.0.1:1";
    let done = tokio::task::spawn_blocking(move || {
        let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
        let variables = names.map(|name| (name, trap));
        let menu =
            run_under(&folder, &["menu", "show", "--account", "card", "--config", "w.toml"], &variables);
        let core =
            run_under(&folder, &["core", "check", "--url", &core_url, "--config", "w.toml"], &variables);
        [menu, core]
    });
    for output in done.await.unwrap() {
        assert!(output.status.success(), "{}", told(&output));
    }
    world.stop().await;
}
