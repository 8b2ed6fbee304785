//! The bank's own sign-in, in front of the whole server: a small OpenID provider, and a browser that goes there and
//! comes back. The provider checks what a provider checks, and lies on request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use actix_web::web::{Data, Form, Query};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;
use weikefu::app::open_store;
use weikefu::clock::{Clock as _, SystemClock, SystemRandom};
use weikefu::staff::{Reach, Role, Staff};

use crate::world::{Engine, World};

const CLIENT: &str = "weikefu desk";
const CLIENT_SECRET: &str = "canary: provider secret";

/// What the provider does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Lie {
    #[default]
    None,
    Nonce,
    Audience,
    SecondAudience,
    Issuer,
    Old,
    OfTomorrow,
    ForeignKey,
    Unsigned,
    SignedWithTheSecret,
    NoName,
    Unknown,
}

struct Provider {
    url: String,
    state: Data<State>,
    server: actix_web::dev::ServerHandle,
}

#[derive(Default)]
struct Asked {
    nonce: String,
    challenge: String,
    redirect: String,
}

struct State {
    url: Mutex<String>,
    keys: BTreeMap<&'static str, (Algorithm, EncodingKey)>,
    foreign: EncodingKey,
    kid: Mutex<&'static str>,
    who: Mutex<String>,
    lie: Mutex<Lie>,
    codes: Mutex<BTreeMap<String, Asked>>,
    secret: Option<&'static str>,
}

fn ec_key() -> EncodingKey {
    EncodingKey::from_ec_der(&rcgen::KeyPair::generate().unwrap().serialize_der())
}

fn rsa_key() -> EncodingKey {
    let pair = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    // The key itself stands behind a head of 26 bytes that says what it is.
    EncodingKey::from_rsa_der(&pair.serialize_der()[26..])
}

impl Provider {
    fn start(secret: Option<&'static str>) -> Self {
        let keys = [("ec", (Algorithm::ES256, ec_key())), ("rsa", (Algorithm::RS256, rsa_key()))];
        let state = Data::new(State {
            url: Mutex::default(),
            keys: keys.into(),
            foreign: ec_key(),
            kid: Mutex::new("ec"),
            who: Mutex::new("lin".to_owned()),
            lie: Mutex::default(),
            codes: Mutex::default(),
            secret,
        });
        let shared = state.clone();
        let app = move || {
            App::new()
                .app_data(shared.clone())
                .route("/.well-known/openid-configuration", web::get().to(discovery))
                .route("/keys", web::get().to(keys_of))
                .route("/authorize", web::get().to(authorize))
                .route("/token", web::post().to(token))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(0);
        let server = server.bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        url.clone_into(&mut state.url.lock().unwrap());
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { url, state, server: handle }
    }

    fn settings(&self, more: &str) -> String {
        let secret =
            self.state.secret.map_or_else(String::new, |secret| format!("client_secret = {secret:?}\n"));
        format!("[staff.oidc]\nissuer = \"{}\"\nclient_id = {CLIENT:?}\n{secret}{more}\n", self.url)
    }

    fn sends(&self, who: &str, kid: &'static str, lie: Lie) {
        who.clone_into(&mut self.state.who.lock().unwrap());
        *self.state.kid.lock().unwrap() = kid;
        *self.state.lie.lock().unwrap() = lie;
    }
}

async fn discovery(state: Data<State>) -> HttpResponse {
    let url = state.url.lock().unwrap().clone();
    HttpResponse::Ok().json(json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/keys"),
        "response_types_supported": ["code"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
    }))
}

async fn keys_of(state: Data<State>) -> HttpResponse {
    let keys: Vec<Jwk> = state
        .keys
        .iter()
        .map(|(kid, (algorithm, key))| {
            let mut jwk = Jwk::from_encoding_key(key, *algorithm).unwrap();
            jwk.common.key_id = Some((*kid).to_owned());
            jwk
        })
        .collect();
    HttpResponse::Ok().json(json!({ "keys": keys }))
}

async fn authorize(state: Data<State>, asked: Query<BTreeMap<String, String>>) -> HttpResponse {
    assert_eq!((asked["response_type"].as_str(), asked["client_id"].as_str()), ("code", CLIENT));
    assert_eq!(asked["code_challenge_method"], "S256");
    assert!(asked["scope"].split(' ').any(|scope| scope == "openid"));
    let code = weikefu::clock::new_token(&SystemRandom);
    let redirect = asked["redirect_uri"].clone();
    let mut back = Url::parse(&redirect).unwrap();
    back.query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("state", &asked["state"])
        .append_pair("iss", &state.url.lock().unwrap());
    let kept = Asked { nonce: asked["nonce"].clone(), challenge: asked["code_challenge"].clone(), redirect };
    state.codes.lock().unwrap().insert(code, kept);
    HttpResponse::Found().insert_header(("location", back.as_str())).finish()
}

async fn token(
    state: Data<State>,
    request: HttpRequest,
    form: Form<BTreeMap<String, String>>,
) -> HttpResponse {
    if let Some(secret) = state.secret {
        let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let right = STANDARD.encode(format!("{}:{}", encoded(CLIENT), encoded(secret)));
        let given = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if given != Some(format!("Basic {right}").as_str()) {
            return HttpResponse::Unauthorized().json(json!({ "error": "invalid_client" }));
        }
    }
    let refused = || HttpResponse::BadRequest().json(json!({ "error": "invalid_grant" }));
    let Some(asked) = state.codes.lock().unwrap().remove(&form["code"]) else { return refused() };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes()));
    if challenge != asked.challenge || form["redirect_uri"] != asked.redirect {
        return refused();
    }
    HttpResponse::Ok()
        .json(json!({ "token_type": "Bearer", "access_token": "a", "id_token": state.id_token(asked) }))
}

impl State {
    fn id_token(&self, asked: Asked) -> String {
        let lie = *self.lie.lock().unwrap();
        let now = SystemClock.now().0 / 1000;
        let mut claims = json!({
            "iss": *self.url.lock().unwrap(),
            "sub": "1001",
            "aud": CLIENT,
            "exp": now + 300,
            "iat": now,
            "nonce": asked.nonce,
            "preferred_username": *self.who.lock().unwrap(),
        });
        match lie {
            Lie::Nonce => claims["nonce"] = json!("of another sign-in"),
            Lie::Audience => claims["aud"] = json!("another program"),
            Lie::SecondAudience => claims["aud"] = json!([CLIENT, "another program"]),
            Lie::Issuer => claims["iss"] = json!("https://elsewhere.example"),
            Lie::Old => claims["exp"] = json!(now - 61),
            Lie::OfTomorrow => claims["iat"] = json!(now + 86_400),
            Lie::NoName => claims["preferred_username"] = Value::Null,
            _ => {}
        }
        let kid = *self.kid.lock().unwrap();
        let (algorithm, key) = &self.keys[kid];
        let mut header = Header::new(*algorithm);
        header.kid = Some(if lie == Lie::Unknown { "rotated" } else { kid }.to_owned());
        match lie {
            Lie::ForeignKey => {
                header.alg = Algorithm::ES256;
                jsonwebtoken::encode(&header, &claims, &self.foreign).unwrap()
            }
            Lie::SignedWithTheSecret => {
                header.alg = Algorithm::HS256;
                let key = EncodingKey::from_secret(CLIENT_SECRET.as_bytes());
                jsonwebtoken::encode(&header, &claims, &key).unwrap()
            }
            Lie::Unsigned => {
                let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
                format!("{}.{}.", part(&json!({ "alg": "none", "kid": kid })), part(&claims))
            }
            _ => jsonwebtoken::encode(&header, &claims, key).unwrap(),
        }
    }
}

/// Follows no redirect by itself, and keeps cookies.
struct Browser {
    http: reqwest::Client,
    base: String,
    cookies: BTreeMap<String, String>,
}

struct Page {
    status: u16,
    location: String,
    text: String,
}

impl Browser {
    fn new(world: &World) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        Self { http: http.build().unwrap(), base: world.server_url.clone(), cookies: BTreeMap::new() }
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Page {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = request.header("sec-fetch-site", "same-origin").header("cookie", cookies.join("; "));
        let response = request.send().await.unwrap();
        for cookie in response.headers().get_all("set-cookie") {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let location = response.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        Page { status, location: location.unwrap_or_default(), text: response.text().await.unwrap() }
    }

    fn at(&self, place: &str) -> String {
        if place.starts_with("http") { place.to_owned() } else { format!("{}{place}", self.base) }
    }

    async fn get(&mut self, place: &str) -> Page {
        let request = self.http.get(self.at(place));
        self.send(request).await
    }

    async fn post(&mut self, place: &str, form: &[(&str, &str)]) -> Page {
        let request = self.http.post(self.at(place)).form(form);
        self.send(request).await
    }

    /// To the provider and to the door again: where it sends the browser back to.
    async fn visit_provider(&mut self) -> String {
        let away = self.get("/desk/oidc").await;
        assert_eq!(away.status, 303, "{}", away.text);
        // The provider is another site: it gets no cookie of ours.
        let there = self.http.get(&away.location).send().await.unwrap();
        there.headers()["location"].to_str().unwrap().to_owned()
    }

    async fn come_by_provider(&mut self) -> Page {
        let back = self.visit_provider().await;
        self.get(&back).await
    }
}

async fn world(engine: Engine, provider: &Provider, more: &str) -> World {
    let mut world = World::prepared(engine, |text, _| {
        let text = text.replacen("second_factor = []", "second_factor = [\"supervisor\"]", 1);
        format!("{text}\n{}", provider.settings(more))
    })
    .await;
    world.start_server().await;
    let clock = Arc::new(SystemClock);
    let store = open_store(&world.config, clock, Arc::new(SystemRandom)).await.unwrap();
    let staff = Staff::new(store.clone());
    staff.add_account_without_password("lin", Role::Agent, &Reach::Every).await.unwrap();
    staff.add_account_without_password("boss", Role::Supervisor, &Reach::Every).await.unwrap();
    store.close().await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bank_s_own_sign_in_opens_the_desk_on_both_databases() {
    for engine in Engine::at_hand() {
        let provider = Provider::start(Some(CLIENT_SECRET));
        let world = world(engine, &provider, "label = \"行员统一认证\"").await;
        for kid in ["ec", "rsa"] {
            provider.sends("lin", kid, Lie::None);
            let mut browser = Browser::new(&world);
            assert!(browser.get("/desk/sign-in").await.text.contains("使用行员统一认证登录"));
            let back = browser.visit_provider().await;
            let home = browser.get(&back).await;
            assert_eq!((home.status, home.location.as_str()), (303, "/desk"), "{kid}: {}", home.text);
            let desk = browser.get("/desk").await;
            assert!(desk.status == 200 && desk.text.contains("lin"));
            // The way back is good once.
            assert_eq!(browser.get(&back).await.status, 400);
            // It is good in no other browser either.
            let fresh = browser.visit_provider().await;
            assert_eq!(Browser::new(&world).get(&fresh).await.status, 400);
        }
        provider.sends("stranger", "ec", Lie::None);
        let refused = Browser::new(&world).come_by_provider().await;
        assert!(refused.status == 403 && refused.text.contains("请联系管理员"), "{}", refused.text);
        provider.server.stop(false).await;
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lie_of_a_token_opens_the_desk() {
    let provider = Provider::start(Some(CLIENT_SECRET));
    let world = world(Engine::Sqlite, &provider, "").await;
    for lie in [
        Lie::Nonce,
        Lie::Audience,
        Lie::SecondAudience,
        Lie::Issuer,
        Lie::Old,
        Lie::OfTomorrow,
        Lie::ForeignKey,
        Lie::Unsigned,
        Lie::SignedWithTheSecret,
        Lie::NoName,
        Lie::Unknown,
    ] {
        provider.sends("lin", "ec", lie);
        let mut browser = Browser::new(&world);
        let page = browser.come_by_provider().await;
        assert_eq!(page.status, 502, "{lie:?}: {}", page.text);
        assert_eq!(browser.get("/desk").await.location, "/desk/sign-in", "{lie:?}");
    }
    provider.sends("lin", "ec", Lie::None);
    let mut browser = Browser::new(&world);
    let back = browser.visit_provider().await;
    let forged = back.replacen("state=", "state=0", 1);
    assert_eq!(browser.get(&forged).await.status, 400, "another state");
    let back = browser.visit_provider().await;
    let mixed = back.replacen("iss=", "iss=https%3A%2F%2Felsewhere.example%2F", 1);
    assert_eq!(browser.get(&mixed).await.status, 502, "another provider");
    let error = browser.visit_provider().await.replacen("code=", "error=access_denied&kode=", 1);
    assert_eq!(browser.get(&error).await.status, 401, "the person gave up");
    provider.server.stop(false).await;
    let mut late = Browser::new(&world);
    let away = late.get("/desk/oidc").await;
    let code = format!("/desk/oidc/callback?code=c&state={}", query(&away.location, "state"));
    assert_eq!(late.get(&code).await.status, 502, "the provider is down");
    world.stop().await;
}

fn query(url: &str, key: &str) -> String {
    let url = Url::parse(url).unwrap();
    url.query_pairs().find(|(name, _)| name == key).unwrap().1.into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_needs_a_second_factor_gives_it_here_unless_the_provider_sees_to_it() {
    let provider = Provider::start(None);
    provider.sends("boss", "ec", Lie::None);
    let here = world(Engine::Sqlite, &provider, "").await;
    let mut browser = Browser::new(&here);
    let half = browser.come_by_provider().await;
    assert_eq!(half.location, "/desk/second-step");
    assert_eq!(browser.get("/desk").await.location, "/desk/sign-in");
    assert_eq!(browser.get("/desk/sign-in").await.location, "/desk/second-step");
    assert_eq!(browser.get("/desk/api/queue").await.status, 401);
    let page = browser.get("/desk/second-step").await;
    assert!(page.text.contains("<svg") && !page.text.contains("style="), "{}", page.text);
    let between = |from: &str, to: &str| {
        let rest = page.text.split_once(from).unwrap().1;
        rest.split_once(to).unwrap().0.to_owned()
    };
    let (csrf, key) = (between("name=\"csrf\" value=\"", "\""), between("id=\"key\">", "<"));
    let forged = browser.post("/desk/second-step", &[("csrf", "0"), ("code", "123456")]).await;
    assert_eq!(forged.status, 403);
    let secret = totp_rs::Secret::try_from_base32(key.replace(' ', "")).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    let wrong = browser.post("/desk/second-step", &[("csrf", &csrf), ("code", "12345")]).await;
    assert!(wrong.status == 401 && wrong.text.contains("验证码不正确"), "{}", wrong.text);
    let code = totp.generate(u64::try_from(SystemClock.now().0 / 1000).unwrap()).to_string();
    let done = browser.post("/desk/second-step", &[("csrf", &csrf), ("code", &code)]).await;
    assert!(done.status == 200 && done.text.matches("<li>").count() == 10, "{}", done.text);
    assert_eq!(browser.get("/desk").await.status, 200);
    // From now on the code is asked for, and the one that was used opens nothing.
    let mut again = Browser::new(&here);
    assert_eq!(again.come_by_provider().await.location, "/desk/second-step");
    let asks = again.get("/desk/second-step").await;
    assert!(!asks.text.contains("<svg"));
    let csrf = asks.text.split_once("name=\"csrf\" value=\"").unwrap().1.split_once('"').unwrap().0;
    let used = again.post("/desk/second-step", &[("csrf", csrf), ("code", &code)]).await;
    assert!(used.status == 401 && used.text.contains("已使用过"), "{}", used.text);
    here.stop().await;

    let there = world(Engine::Sqlite, &provider, "second_factor = \"provider\"").await;
    let mut browser = Browser::new(&there);
    assert_eq!(browser.come_by_provider().await.location, "/desk");
    provider.server.stop(false).await;
    there.stop().await;
}
