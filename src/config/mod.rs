//! Every setting: its unit, its default, its source. One TOML file; any scalar can be overridden from the
//! environment as `WEIKEFU_SECTION__KEY` (`WEIKEFU_ACCOUNTS__0__TOKEN` in lists of tables); a secret `x` can be
//! given as `x_file`. Unknown keys are errors, and every fault is told at once with its place.

mod changed;
mod form;
mod load;
mod masked;
mod network;
mod section;
mod source;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

pub use load::{NOTICE_KINDS, environment};
pub use network::Network;
pub use source::{Fault, line_of};
pub use tls::{PemFile, Tls};

use crate::domain::ids::AccountId;
use crate::domain::money::Money;
use crate::domain::secret::Secret;

/// The whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the server listens.
    pub server: Server,
    /// Where data lives.
    pub database: Database,
    /// The official accounts; ids are unique, at least one.
    pub accounts: Vec<Account>,
    /// The bank's own systems.
    pub core: Core,
    /// Calls that the bank makes to us.
    pub api: Api,
    /// Our calls to the bank's event receiver; `None`: none are sent.
    pub events: Option<Events>,
    /// The bank's own recogniser of speech; `None`: who sends a voice message is asked to type.
    pub asr: Option<Asr>,
    /// Sealing of personal data; `None`: see [`crate::keys`].
    pub keys: Option<KeysConfig>,
    /// The bank's own content laid over the built-in one.
    pub content: Content,
    /// How staff sign in.
    pub staff: Staff,
    /// What holds for every customer's alerts.
    pub alerts: Alerts,
    /// How long what was said is kept.
    pub retention: Retention,
    /// Hints between instances; `None`: each looks by itself only.
    pub hints: Option<Hints>,
    /// What is told of the server's work besides logs and metrics.
    pub telemetry: Telemetry,
    /// For the sandbox core and the simulator only.
    pub sandbox: Sandbox,
}

impl Config {
    /// The account with this id.
    #[must_use]
    pub fn account(&self, id: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.id.as_str() == id)
    }
}

/// `[server]`
#[derive(Clone, Debug)]
pub struct Server {
    /// Webhook, H5 and OAuth; everything else too unless it has a zone of its own.
    pub listen: SocketAddr,
    /// Base of links, OAuth redirects and QR codes; no trailing slash in its path.
    pub public_url: Url,
    /// The bank's calls; defaults to `listen`.
    pub api_listen: Option<SocketAddr>,
    /// Desk and console; defaults to `listen`.
    pub staff_listen: Option<SocketAddr>,
    /// `/metrics`, `/healthz`, `/readyz`.
    pub metrics_listen: Option<SocketAddr>,
    /// Whose `X-Forwarded-For` counts: addresses and networks.
    pub trusted_proxies: Vec<Network>,
    /// Origins that may show H5 pages in a frame (the demo's phone); none by default.
    pub h5_frame_ancestors: Vec<String>,
}

/// `[database]`
#[derive(Clone, Debug)]
pub struct Database {
    /// `sqlite://path` or `postgres://user:password@host/database`. PostgreSQL may have several hosts with commas between
    /// (`a:5432,b:5432`), of which the one that takes writes is used, and `?pooler=transaction` where PgBouncer stands
    /// before it in transaction mode. Holds a password: never printed whole.
    pub url: Secret,
}

/// How pushes of an account are encrypted. Pinned: a push in another mode is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// 明文模式
    Plain,
    /// 兼容模式
    Compat,
    /// 安全模式
    Safe,
}

impl std::fmt::Display for Encryption {
    /// As the configuration writes it, and as the console at WeChat does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain (明文模式)",
            Self::Compat => "compat (兼容模式)",
            Self::Safe => "safe (安全模式)",
        })
    }
}

/// What the platform calls the account; gates what it does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountKind {
    /// 服务号
    Service,
    /// 订阅号 (now 公众号)
    Subscription,
}

/// Who answers when a person is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeskKind {
    /// The desk inside this binary.
    Own,
    /// The bank's own agent system, by the desk API.
    External,
}

/// One `[[accounts]]` entry.
#[derive(Clone, Debug)]
pub struct Account {
    /// Webhook path: `/wechat/{id}`.
    pub id: AccountId,
    /// What customers call it.
    pub name: String,
    /// `gh_…`; opaque.
    pub original_id: String,
    /// AppID; opaque.
    pub app_id: String,
    /// AppSecret.
    pub app_secret: Secret,
    /// Token of the webhook signature; opaque.
    pub token: Secret,
    /// EncodingAESKey, 43 characters; needed unless `encryption = "plain"`.
    pub encoding_aes_key: Option<Secret>,
    /// The key before, while one is rotated.
    pub previous_encoding_aes_key: Option<Secret>,
    /// Pinned mode.
    pub encryption: Encryption,
    /// Service or subscription account.
    pub kind: AccountKind,
    /// Own desk or external.
    pub desk: DeskKind,
    /// API hosts in order of preference; never empty.
    pub api_base_urls: Vec<Url>,
    /// Where OAuth pages live, and the JS-SDK of pages where that is not WeChat's own host.
    pub oauth_base_url: Url,
    /// The proxy that calls to WeChat go through (`server.wechat_proxy`), with its user and password if it wants any.
    pub proxy: Option<Secret>,
    /// Notice kind (`spend`, `refund`, …) → this account's template.
    pub notices: BTreeMap<String, NoticeTemplate>,
    /// Template messages a second that all instances send together at most; `None`: as WeChat says.
    pub template_per_second: Option<u32>,
    /// The same for customer-service messages.
    pub customer_service_per_second: Option<u32>,
    /// Files by which WeChat checks who owns the host of `public_url`; served at its root.
    pub domain_files: Vec<DomainFile>,
}

/// One `MP_verify_….txt`, as the account's console gives it (WeChat docs, 网页授权域名).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainFile {
    /// Where it lies here.
    pub path: PathBuf,
    /// Under which name WeChat asks for it: `MP_verify_` and up to 64 letters and digits and `.txt`.
    pub name: String,
    /// What WeChat must find, byte for byte. At most 1 KiB.
    pub text: String,
}

/// `[accounts.notices.KIND]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeTemplate {
    /// The template's id in this account.
    pub template_id: String,
    /// Our field name (card, amount, time, merchant, …) → the template's keyword (`amount2`, `thing4`, …).
    pub fields: BTreeMap<String, String>,
    /// Which of the platform's messages the template is for.
    #[serde(default)]
    pub way: NoticeWay,
}

/// `way` of `[accounts.notices.KIND]`: a template message, or a subscription notice, which needs the follower's consent
/// (WeChat docs, 订阅通知).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeWay {
    /// 模板消息.
    #[default]
    Template,
    /// 一次性订阅: one consent lets one notice leave.
    Subscribe,
    /// 长期订阅: a consent holds until it is taken back.
    SubscribeLongTerm,
}

impl NoticeWay {
    /// The word in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::Subscribe => "subscribe",
            Self::SubscribeLongTerm => "subscribe_long_term",
        }
    }

    /// Whether a follower must have consented.
    #[must_use]
    pub fn needs_consent(self) -> bool {
        self != Self::Template
    }
}

/// `[core]`
#[derive(Clone, Debug)]
pub struct Core {
    /// Base address; operations are posted to `{base_url}/v1/operations/{operation}`.
    pub base_url: Url,
    /// `whsec_…`, signs our calls.
    pub secret: Secret,
    /// Deadline of one call; default 3000.
    pub timeout_ms: u64,
    /// Private CA and client certificate.
    pub tls: Tls,
}

/// `[api]`
#[derive(Clone, Debug)]
pub struct Api {
    /// `whsec_…`; more than one while a key is rotated. Empty: every call is refused.
    pub secrets: Vec<Secret>,
    /// Unsettled items; beyond it 429. Default 2,000,000.
    pub backlog_max: u64,
}

/// `[events]`
#[derive(Clone, Debug)]
pub struct Events {
    /// The bank's receiver.
    pub url: Url,
    /// `whsec_…`, signs our calls.
    pub secret: Secret,
    /// Private CA and client certificate.
    pub tls: Tls,
}

/// Of the two recordings that WeChat has of a voice message, the one that the recogniser takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Band {
    /// AMR at 8 kHz.
    Narrow,
    /// AMR-WB at 16 kHz, which is heard better, where there is one (`MediaId16K`, WeChat docs, 接收普通消息).
    Wide,
}

/// `[asr]`
#[derive(Clone, Debug)]
pub struct Asr {
    /// Where recordings are posted to: inside the bank, for a customer's voice goes nowhere else.
    pub url: Url,
    /// `whsec_…`, signs our calls; `None`: they are not signed.
    pub secret: Option<Secret>,
    /// Deadline of one recording; default 3000. What takes longer than the reply budget is answered as an owed answer.
    pub timeout_ms: u64,
    /// Which recording is posted.
    pub band: Band,
    /// Private CA and client certificate.
    pub tls: Tls,
}

/// `[keys]`
#[derive(Clone, Debug)]
pub struct KeysConfig {
    /// The master key itself, 32 bytes in base64, for machines that pass keys by the environment
    /// (`WEIKEFU_KEYS__MASTER`). Given instead of `master_file`, never besides.
    pub master: Option<Secret>,
    /// File with 32 bytes in base64; empty when `master` is given.
    pub master_file: PathBuf,
    /// Older master keys that stay readable.
    pub previous_files: Vec<PathBuf>,
}

/// `[content]`
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// A bank's own `templates` folder; its files go over the built-in ones of the same path.
    pub dir: Option<PathBuf>,
}

/// `[staff]`
#[derive(Clone, Debug)]
pub struct Staff {
    /// Roles that sign in with a second factor only: of `agent`, `supervisor` and `admin`. Default: the last two.
    pub second_factor: Vec<String>,
    /// The bank's own sign-in; `None`: names and passwords only.
    pub oidc: Option<Oidc>,
}

impl Default for Staff {
    fn default() -> Self {
        Self { second_factor: vec!["supervisor".to_owned(), "admin".to_owned()], oidc: None }
    }
}

/// `[staff.oidc]`: an OpenID provider.
#[derive(Clone, Debug)]
pub struct Oidc {
    /// Its issuer, letter for letter as it calls itself; `/.well-known/openid-configuration` is below it.
    pub issuer: String,
    /// What the provider calls us.
    pub client_id: String,
    /// What proves to the provider that it is us; `None`: PKCE alone.
    pub client_secret: Option<Secret>,
    /// Where the provider sends browsers back to. Default: `server.public_url` and `/desk/oidc/callback`.
    pub redirect_url: Url,
    /// The claim of the ID token that is the staff name. Default `preferred_username`.
    pub name_claim: String,
    /// What the button says. Default `统一身份认证`.
    pub label: String,
    /// Who sees to the second factor.
    pub second_factor: SecondFactorBy,
    /// Private CA and client certificate.
    pub tls: Tls,
}

/// Who sees to the second factor of somebody who comes by the bank's own sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondFactorBy {
    /// We, as after a password.
    Here,
    /// The provider did.
    Provider,
}

/// `[alerts]`
#[derive(Clone, Debug)]
pub struct Alerts {
    /// What costs as much or more is silenced only by who has proved himself with a one-time code, and never waits for
    /// the end of quiet hours. Default 500 yuan.
    pub silence_ceiling: Money,
}

impl Alerts {
    /// 500 yuan.
    pub const SILENCE_CEILING: Money = Money::of_fen(50_000);
}

impl Default for Alerts {
    fn default() -> Self {
        Self { silence_ceiling: Self::SILENCE_CEILING }
    }
}

/// `[retention]`
#[derive(Clone, Copy, Debug, Default)]
pub struct Retention {
    /// Whole days that the log of what was said is kept, 14 to 3660: WeChat's windows and repeated pushes look back less.
    /// `None`: for ever.
    pub message_days: Option<u32>,
    /// `drop = "archived"`: a day goes only after `weikefu archive` wrote it to a file. Default: `drop = "all"`.
    pub only_archived: bool,
}

/// `[hints]`
#[derive(Clone, Debug)]
pub struct Hints {
    /// `redis://host:6379` or `rediss://…` for TLS; may hold user and password, so never printed whole.
    pub redis_url: Secret,
    /// Private CA and client certificate.
    pub tls: Tls,
}

/// `[telemetry]`
#[derive(Clone, Debug, Default)]
pub struct Telemetry {
    /// The base address of an OpenTelemetry collector that takes OTLP over HTTP (`http://127.0.0.1:4318`); spans go to
    /// `/v1/traces` below it. `None`: none are made.
    pub otlp_url: Option<Url>,
}

/// `[sandbox]`
#[derive(Clone, Debug, Default)]
pub struct Sandbox {
    /// Where the sandbox core sends swipes and notices, and where the simulator pushes to.
    /// Default: `server.public_url`.
    pub server_url: Option<Url>,
}
