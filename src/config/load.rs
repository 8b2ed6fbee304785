//! Turns the file and the environment into a checked [`Config`], or tells every fault at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;

use url::Url;

use super::section::Section;
use super::source::{self, Fault, Faults};
use super::{
    Account, AccountKind, Alerts, Api, Asr, Band, Config, Content, Core, Database, DeskKind, Encryption,
    Events, Hints, KeysConfig, Network, NoticeTemplate, NoticeWay, Oidc, Retention, Sandbox, SecondFactorBy,
    Server, Staff, Telemetry, Tls, form,
};
use crate::domain::secret::Secret;

/// Kinds of notice that an account may have a template for.
pub const NOTICE_KINDS: [&str; 13] = [
    "spend",
    "repayment",
    "refund",
    "declined",
    "security",
    "bill_issued",
    "bill_due",
    "application",
    "limit_result",
    "instalment_result",
    "card_mailed",
    "case_update",
    "digest",
];

/// A core call may not outlive every answer it could serve.
const CORE_TIMEOUT_MS_MAX: u64 = 60_000;
/// Days of the log: not fewer than a push, a case or a window looks back; not more than ten years.
const MESSAGE_DAYS: RangeInclusive<u64> = 14..=3_660;
/// Messages a second that anybody would configure.
const RATE_MAX: u64 = 100_000;

/// The process's variables that concern us. The one place where the environment is read.
#[must_use]
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .filter(|(name, _)| name.starts_with(source::PREFIX))
        .collect()
}

impl Config {
    /// Reads the file at `path` with `environment` laid over it (see [`environment`]).
    ///
    /// # Errors
    /// Every fault that could be found, each with its place.
    pub fn load(
        path: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Fault>> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&file, &text, environment),
            Err(error) => Err(vec![Fault { place: file, message: format!("cannot be read: {error}") }]),
        }
    }

    /// Like [`Config::load`] for a text in memory; `file` is for the messages only.
    ///
    /// # Errors
    /// Every fault that could be found, each with its place.
    pub fn parse(
        file: &str,
        text: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Vec<Fault>> {
        let faults = Faults::new(file);
        let mut entries = source::parse(text, &faults);
        if !faults.none() {
            return Err(faults.into_vec());
        }
        source::overlay(&mut entries, environment, &faults);
        let config = root(Section::root(entries, &faults));
        match (config, faults.none()) {
            (Some(config), true) => Ok(config),
            _ => Err(faults.into_vec()),
        }
    }
}

/// Every section is read before the first `?`, so that one fault does not hide another.
fn root(mut top: Section<'_>) -> Option<Config> {
    let mut section = top.table("server");
    let proxy = section.secret("wechat_proxy", form::proxy);
    let server = server(section);
    let database = database(top.table("database"));
    let accounts = accounts(&mut top).map(|accounts| through(accounts, proxy.as_ref()));
    let core = core(top.table("core"));
    let api = api(top.table("api"));
    let events = top.has("events").then(|| events(top.table("events")));
    let asr = top.has("asr").then(|| asr(top.table("asr")));
    let keys = top.has("keys").then(|| keys(top.table("keys")));
    let content = content(top.table("content"));
    let public_url = server.as_ref().map(|server| server.public_url.clone());
    let staff = staff(top.table("staff"), public_url);
    let alerts = alerts(top.table("alerts"));
    let retention = retention(top.table("retention"));
    let hints = top.has("hints").then(|| hints(top.table("hints")));
    let telemetry = telemetry(top.table("telemetry"));
    let sandbox = sandbox(top.table("sandbox"));
    top.know(&["events", "hints", "asr", "keys"]);
    top.close();
    Some(Config {
        server: server?,
        database: database?,
        accounts: accounts?,
        core: core?,
        api: api?,
        events: match events {
            Some(events) => Some(events?),
            None => None,
        },
        asr: match asr {
            Some(asr) => Some(asr?),
            None => None,
        },
        keys: match keys {
            Some(keys) => Some(keys?),
            None => None,
        },
        content: content?,
        staff: staff?,
        alerts: alerts?,
        retention: retention?,
        hints: match hints {
            Some(hints) => Some(hints?),
            None => None,
        },
        telemetry: telemetry?,
        sandbox: sandbox?,
    })
}

/// All accounts reach WeChat by the same way.
fn through(accounts: Vec<Account>, proxy: Option<&Secret>) -> Vec<Account> {
    accounts.into_iter().map(|account| Account { proxy: proxy.cloned(), ..account }).collect()
}

fn staff(mut section: Section<'_>, public_url: Option<Url>) -> Option<Staff> {
    let second_factor = if section.has("second_factor") {
        section.list("second_factor", form::staff_role)
    } else {
        Some(Staff::default().second_factor)
    };
    let oidc = section.has("oidc").then(|| oidc(section.table("oidc"), public_url));
    section.know(&["second_factor", "oidc"]);
    section.close();
    Some(Staff {
        second_factor: second_factor?,
        oidc: match oidc {
            Some(oidc) => Some(oidc?),
            None => None,
        },
    })
}

fn oidc(mut section: Section<'_>, public_url: Option<Url>) -> Option<Oidc> {
    let issuer = section.required("issuer", form::issuer);
    let client_id = section.required("client_id", form::text);
    let client_secret = section.secret("client_secret", form::secret);
    let redirect_url = section.optional("redirect_url", form::base_url);
    let name_claim = section.or("name_claim", form::text, "preferred_username".to_owned());
    let label = section.or("label", form::text, "统一身份认证".to_owned());
    let second_factor = section.or("second_factor", form::second_factor_by, SecondFactorBy::Here);
    let tls = Tls::read(&mut section);
    section.close();
    let below_public_url = || {
        let base = public_url?;
        Url::parse(&format!("{}/desk/oidc/callback", base.as_str().trim_end_matches('/'))).ok()
    };
    Some(Oidc {
        issuer: issuer?,
        client_id: client_id?,
        client_secret,
        redirect_url: redirect_url.or_else(below_public_url)?,
        name_claim: name_claim?,
        label: label?,
        second_factor: second_factor?,
        tls: tls?,
    })
}

fn alerts(mut section: Section<'_>) -> Option<Alerts> {
    let silence_ceiling = section.or("silence_ceiling", form::yuan, Alerts::SILENCE_CEILING);
    section.close();
    Some(Alerts { silence_ceiling: silence_ceiling? })
}

fn retention(mut section: Section<'_>) -> Option<Retention> {
    let days = section.has("message_days").then(|| section.number("message_days", MESSAGE_DAYS, 0));
    let only_archived = section.or("drop", form::drop, false);
    section.know(&["message_days"]);
    section.close();
    let message_days = match days {
        Some(days) => u32::try_from(days?).ok(),
        None => None,
    };
    Some(Retention { message_days, only_archived: only_archived? })
}

fn hints(mut section: Section<'_>) -> Option<Hints> {
    let redis_url = section.required_secret("redis_url", form::redis_url);
    let tls = Tls::read(&mut section);
    section.close();
    Some(Hints { redis_url: redis_url?, tls: tls? })
}

fn telemetry(mut section: Section<'_>) -> Option<Telemetry> {
    let otlp_url = section.optional("otlp_url", form::base_url);
    section.close();
    Some(Telemetry { otlp_url })
}

fn server(mut section: Section<'_>) -> Option<Server> {
    let listen = section.or("listen", form::listen, SocketAddr::from(([127, 0, 0, 1], 8080)));
    let public_url = section.optional("public_url", form::base_url);
    let api_listen = section.optional("api_listen", form::listen);
    let staff_listen = section.optional("staff_listen", form::listen);
    let metrics_listen = section.or("metrics_listen", form::listen, SocketAddr::from(([127, 0, 0, 1], 9464)));
    let trusted_proxies = section.list("trusted_proxies", Network::parse);
    let h5_frame_ancestors = section.list("h5_frame_ancestors", form::origin);
    section.close();
    let listen = listen?;
    Some(Server {
        listen,
        public_url: public_url.or_else(|| Url::parse(&format!("http://{listen}")).ok())?,
        api_listen,
        staff_listen,
        metrics_listen: Some(metrics_listen?),
        trusted_proxies: trusted_proxies?,
        h5_frame_ancestors: h5_frame_ancestors?,
    })
}

fn database(mut section: Section<'_>) -> Option<Database> {
    if !section.has_secret("url") {
        section.fault_here("missing key `database.url`, for example \"sqlite://data/weikefu.db\"");
    }
    let url = section.secret("url", form::database_url);
    section.close();
    Some(Database { url: url? })
}

fn accounts(top: &mut Section<'_>) -> Option<Vec<Account>> {
    let sections = top.tables("accounts");
    if sections.is_empty() {
        top.fault_here("no [[accounts]]: there is nobody to answer for");
        return None;
    }
    let mut seen = BTreeSet::new();
    let read: Vec<Option<Account>> =
        sections.into_iter().map(|section| account(section, &mut seen)).collect();
    read.into_iter().collect()
}

fn account(mut section: Section<'_>, seen: &mut BTreeSet<String>) -> Option<Account> {
    let id = section.required("id", form::account_id);
    if let Some(id) = &id
        && !seen.insert(id.as_str().to_owned())
    {
        section.fault_here(&format!("the account id `{id}` is taken by an earlier account"));
    }
    let name = section.required("name", form::text);
    let original_id = section.required("original_id", form::text);
    let app_id = section.required("app_id", form::text);
    let app_secret = section.required_secret("app_secret", form::secret);
    let token = section.required_secret("token", form::secret);
    let encryption = section.or("encryption", form::encryption, Encryption::Safe);
    let keyed = encryption.is_none_or(|mode| mode != Encryption::Plain);
    let encoding_aes_key = if keyed {
        section.required_secret("encoding_aes_key", form::aes_key).map(Some)
    } else {
        let given = section
            .secret("encoding_aes_key", |text| Ok(crate::domain::secret::Secret::new(text.to_owned())));
        Some(given.filter(|key| form::aes_key(key.reveal()).is_ok()))
    };
    let previous_encoding_aes_key = section.secret("previous_encoding_aes_key", form::aes_key);
    let kind = section.or("kind", form::account_kind, AccountKind::Service);
    let desk = section.or("desk", form::desk, DeskKind::Own);
    let api_base_urls = section.list("api_base_url", form::base_url);
    let oauth_base_url = section.optional("oauth_base_url", form::base_url);
    let notices = notices(section.table("notices"));
    let domain_files = section.list("domain_files", form::domain_file);
    let mut rate = |key| section.number(key, 0..=RATE_MAX, 0);
    let (template_rate, customer_service_rate) =
        (rate("template_per_second"), rate("customer_service_per_second"));
    section.close();
    Some(Account {
        id: id?,
        name: name?,
        original_id: original_id?,
        app_id: app_id?,
        app_secret: app_secret?,
        token: token?,
        encoding_aes_key: encoding_aes_key?,
        previous_encoding_aes_key,
        encryption: encryption?,
        kind: kind?,
        desk: desk?,
        api_base_urls: or_default(api_base_urls?, "https://api.weixin.qq.com"),
        oauth_base_url: oauth_base_url.or_else(|| Url::parse("https://open.weixin.qq.com").ok())?,
        proxy: None,
        notices: notices?,
        template_per_second: rate_of(template_rate?),
        customer_service_per_second: rate_of(customer_service_rate?),
        domain_files: domain_files?,
    })
}

/// 0 leaves the rate to WeChat.
fn rate_of(per_second: u64) -> Option<u32> {
    u32::try_from(per_second).ok().filter(|per_second| *per_second > 0)
}

fn or_default(urls: Vec<Url>, default: &str) -> Vec<Url> {
    if urls.is_empty() { Url::parse(default).into_iter().collect() } else { urls }
}

fn notices(mut section: Section<'_>) -> Option<BTreeMap<String, NoticeTemplate>> {
    let mut templates = BTreeMap::new();
    let mut whole = true;
    for kind in NOTICE_KINDS {
        if !section.has(kind) {
            continue;
        }
        let mut table = section.table(kind);
        let template_id = table.required("template_id", form::text);
        let way = table.or("way", form::notice_way, NoticeWay::Template);
        let mut names = table.table("fields");
        let mut fields = BTreeMap::new();
        for field in names.keys() {
            match names.optional(&field, form::text) {
                Some(keyword) => drop(fields.insert(field, keyword)),
                None => whole = false,
            }
        }
        table.close();
        match template_id.zip(way) {
            Some((template_id, way)) => {
                drop(templates.insert(kind.to_owned(), NoticeTemplate { template_id, fields, way }))
            }
            None => whole = false,
        }
    }
    section.know(&NOTICE_KINDS);
    section.close();
    whole.then_some(templates)
}

fn core(mut section: Section<'_>) -> Option<Core> {
    let base_url = section.required("base_url", form::base_url);
    let secret = section.required_secret("secret", form::signing_secret);
    let timeout_ms = section.number("timeout_ms", 1..=CORE_TIMEOUT_MS_MAX, 3000);
    let tls = Tls::read(&mut section);
    section.close();
    Some(Core { base_url: base_url?, secret: secret?, timeout_ms: timeout_ms?, tls: tls? })
}

fn api(mut section: Section<'_>) -> Option<Api> {
    let secrets = section.secrets("secrets", form::signing_secret);
    let backlog_max = section.number("backlog_max", 0..=u64::from(u32::MAX), 2_000_000);
    section.close();
    Some(Api { secrets: secrets?, backlog_max: backlog_max? })
}

fn events(mut section: Section<'_>) -> Option<Events> {
    let url = section.required("url", form::address);
    let secret = section.required_secret("secret", form::signing_secret);
    let tls = Tls::read(&mut section);
    section.close();
    Some(Events { url: url?, secret: secret?, tls: tls? })
}

fn asr(mut section: Section<'_>) -> Option<Asr> {
    let url = section.required("url", form::address);
    let secret = section.secret("secret", form::signing_secret);
    let timeout_ms = section.number("timeout_ms", 1..=CORE_TIMEOUT_MS_MAX, 3000);
    let band = section.or("band", form::band, Band::Narrow);
    let tls = Tls::read(&mut section);
    section.close();
    Some(Asr { url: url?, secret, timeout_ms: timeout_ms?, band: band?, tls: tls? })
}

fn keys(mut section: Section<'_>) -> Option<KeysConfig> {
    let master = section.optional("master", form::master_key);
    let master_file = match &master {
        Some(_) => section.optional("master_file", form::path),
        None => section.required("master_file", form::path),
    };
    if master.is_some() && master_file.is_some() {
        section.fault_here("`keys.master` is given besides `keys.master_file`; give one of them");
    }
    let previous_files = section.list("previous_files", form::path);
    section.close();
    if master.is_none() && master_file.is_none() {
        return None;
    }
    Some(KeysConfig { master, master_file: master_file.unwrap_or_default(), previous_files: previous_files? })
}

fn content(mut section: Section<'_>) -> Option<Content> {
    let dir = section.optional("dir", form::path);
    section.close();
    Some(Content { dir })
}

fn sandbox(mut section: Section<'_>) -> Option<Sandbox> {
    let server_url = section.optional("server_url", form::base_url);
    section.close();
    Some(Sandbox { server_url })
}
