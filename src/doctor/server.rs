//! Our own side: is the server where WeChat looks for it, and does it take what WeChat sends?

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use url::Url;

use super::platform::Ahead;
use super::{Level, Patient, Report};
use crate::config::{Account, Encryption};
use crate::domain::time::UnixMs;
use crate::wechat::deliveries::{AccountReport, ServerReport};
use crate::wechat::push::Mismatch;
use crate::wechat::trial::{Page, Trying};

const RESTART: &str = "start the server with this file, or correct the file";
/// Longest part of a stranger's page that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 60;

/// Makes every check of our own side.
pub(super) async fn look(patient: &Patient<'_>, ahead: Ahead, report: &mut Report) {
    let is_there = public_url(patient, report).await;
    let before = deliveries(patient).await;
    if is_there {
        if verification(patient, ahead, report).await {
            delivery(patient, ahead, report).await;
        } else {
            report.warn("delivery", "not tried: the verification above comes first", "");
        }
        domain_files(patient, report).await;
    } else {
        for check in ["verification", "delivery", "domain_file"] {
            report.warn(check, "not looked at: public_url cannot be reached", "");
        }
    }
    from_wechat(patient, before, report);
}

async fn public_url(patient: &Patient<'_>, report: &mut Report) -> bool {
    const CHECK: &str = "public_url";
    let base = &patient.config.server.public_url;
    let next = "check DNS, firewall, certificate and gateway, and that the server runs; WeChat must reach it as well";
    match patient.caller.get(&below(base, "healthz")).await {
        Err(error) => {
            report.fail(CHECK, format!("{base} cannot be reached: {error}"), next);
            return false;
        }
        Ok(page) if page.status != 200 => {
            report.fail(CHECK, format!("{base} answers {} instead of a sign of life", said(&page)), next);
            return false;
        }
        Ok(_) => {}
    }
    let port = base.port_or_known_default().unwrap_or_default();
    let is_near = match base.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback() || address.is_private(),
        Some(url::Host::Domain(name)) => name == "localhost",
        _ => false,
    };
    if is_near || !matches!(port, 80 | 443) {
        let found =
            format!("{base} answers here, but WeChat calls only public addresses on ports 80 and 443");
        report.warn(CHECK, found, "set server.public_url to the address that the gateway shows outside");
    } else {
        report.ok(CHECK, format!("{base} answers"));
    }
    true
}

/// WeChat's own URL verification.
async fn verification(patient: &Patient<'_>, ahead: Ahead, report: &mut Report) -> bool {
    const CHECK: &str = "verification";
    let account = patient.account;
    let webhook = webhook(patient);
    let call = Trying::at(ahead.true_time(patient.clock.now()), patient.random.as_ref());
    let echo = call.nonce().trim_start_matches(|character: char| !character.is_ascii_digit()).to_owned();
    let page = match patient.caller.verify(&webhook, account, &call, &echo).await {
        Ok(page) => page,
        Err(error) => {
            report.fail(CHECK, format!("{webhook} cannot be reached: {error}"), "check the gateway's rules");
            return false;
        }
    };
    let (found, next) = match (page.status, page.text.as_str()) {
        (200, text) if text == echo => {
            report.ok(CHECK, format!("{webhook} answers WeChat's verification; the token is the server's"));
            return true;
        }
        (404, "unknown_account") => {
            (format!("the server at {webhook} has no account `{}`", account.id), RESTART.to_owned())
        }
        (401, _) => {
            ("token: the running server has another one than this file".to_owned(), RESTART.to_owned())
        }
        _ => (
            format!("{webhook} answers {} instead of the echo", said(&page)),
            "let the gateway pass /wechat/ with its query to server.listen, unchanged".to_owned(),
        ),
    };
    report.fail(CHECK, found, next);
    false
}

/// An event as WeChat sends it.
async fn delivery(patient: &Patient<'_>, ahead: Ahead, report: &mut Report) {
    const CHECK: &str = "delivery";
    let account = patient.account;
    let call = Trying::at(ahead.true_time(patient.clock.now()), patient.random.as_ref());
    let page = match patient.caller.push(&webhook(patient), account, &call).await {
        Ok(page) => page,
        Err(error) => {
            report.fail(
                CHECK,
                format!("a POST gets no answer: {error}"),
                "let the gateway pass POST to /wechat/",
            );
            return;
        }
    };
    if (page.status, page.text.as_str()) == (200, "success") {
        let sealed = if account.encryption == Encryption::Plain {
            "token, clock and mode"
        } else {
            "token, \
            EncodingAESKey, AppID, clock and mode"
        };
        report.ok(CHECK, format!("an event as WeChat sends it is taken: {sealed} are the server's"));
        return;
    }
    let told = deliveries(patient).await.ok();
    let trial = told.as_ref().and_then(|told| told.1.deliveries.last_trial.clone());
    let noted = trial.filter(|trial| trial.nonce == call.nonce()).and_then(|trial| trial.mismatch);
    let server = told.as_ref().map(|told| &told.1);
    let mismatch = noted.or_else(|| by_answer(&page));
    match mismatch {
        Some(Mismatch::Clock { .. }) if report.has_failed("clock") => {
            report.warn(CHECK, "refused as too old or too new: see the clock above", "");
        }
        Some(mismatch) => {
            let (found, next) = against_server(&mismatch, account, server);
            report.fail(CHECK, found, next);
        }
        None if page.text == "envelope" => report.fail(
            CHECK,
            "EncodingAESKey or AppID: the running server has another one than this file",
            RESTART,
        ),
        None => report.fail(
            CHECK,
            format!("a POST is answered {} instead of success", said(&page)),
            "let the gateway pass POST to /wechat/ with query and body unchanged",
        ),
    }
}

/// What the answer alone tells, where the server's record cannot be read.
fn by_answer(page: &Page) -> Option<Mismatch> {
    match page.text.as_str() {
        "signature" => Some(Mismatch::Token),
        "stale" => Some(Mismatch::Clock { ahead_ms: 0 }),
        "not_encrypted" => Some(Mismatch::Mode { encrypted: false }),
        "encrypted_in_plain_mode" => Some(Mismatch::Mode { encrypted: true }),
        "to_another_account" => Some(Mismatch::OriginalId { found: String::new() }),
        _ => None,
    }
}

/// What differs between this file and the running server.
fn against_server(
    mismatch: &Mismatch,
    account: &Account,
    server: Option<&AccountReport>,
) -> (String, String) {
    let has = |named: fn(&AccountReport) -> String| {
        server.map_or_else(|| "another one".to_owned(), |server| format!("`{}`", named(server)))
    };
    let restart = RESTART.to_owned();
    match mismatch {
        Mismatch::Token => ("token: the running server has another one than this file".to_owned(), restart),
        Mismatch::AesKey => {
            ("EncodingAESKey: the running server has another one than this file".to_owned(), restart)
        }
        Mismatch::AppId { .. } => (
            format!(
                "AppID: this file says `{}`, the running server has {}",
                account.app_id,
                has(|s| s.app_id.clone())
            ),
            restart,
        ),
        Mismatch::OriginalId { .. } => (
            format!(
                "original_id: this file says `{}`, the running server has {}",
                account.original_id,
                has(|server| server.original_id.clone())
            ),
            restart,
        ),
        Mismatch::Mode { .. } => {
            let there =
                server.map_or_else(|| "another one".to_owned(), |server| server.encryption.to_string());
            (format!("mode: this file says {}, the running server has {there}", account.encryption), restart)
        }
        Mismatch::Clock { ahead_ms: 0 } => (
            "clock: the server's is more than 5 minutes off".to_owned(),
            "let NTP set the server's clock".to_owned(),
        ),
        Mismatch::Clock { ahead_ms } => (
            format!("clock: the server's is {}", off(*ahead_ms)),
            "let NTP set the server's clock".to_owned(),
        ),
        Mismatch::Body | Mismatch::Unreadable { .. } => (
            "the body does not arrive as it was sent".to_owned(),
            "let the gateway pass bodies to /wechat/ unchanged: no filter, no re-coding".to_owned(),
        ),
    }
}

/// What the running server saw of WeChat itself, before we tried anything.
fn from_wechat(patient: &Patient<'_>, before: Result<(UnixMs, AccountReport), String>, report: &mut Report) {
    const CHECK: &str = "from_wechat";
    let account = patient.account;
    let (now, server) = match before {
        Ok(told) => told,
        Err(error) => {
            let next = "run doctor where the server's metrics_listen can be reached, to learn what WeChat's own calls met";
            report.warn(CHECK, error, next);
            return;
        }
    };
    let met = &server.deliveries;
    let address = webhook(patient);
    let Some(refusal) = &met.last_refusal else {
        match met.last_accepted {
            Some(at) => report
                .ok(CHECK, format!("{} calls taken, none refused; the last {}", met.accepted, ago(now, at))),
            None => report.warn(
                CHECK,
                "WeChat has not called since the server started",
                format!(
                    "set the server URL to {address} in the account's console, and send the account a message"
                ),
            ),
        }
        return;
    };
    let (cause, next) = against_wechat(&refusal.mismatch, account);
    let count = met.refused;
    let found = format!("the last call was refused {} ({count} in all): {cause}", ago(now, refusal.at));
    match met.last_accepted {
        Some(at) if at >= refusal.at => {
            let found =
                format!("the last call was taken {}; before it {count} refused, last: {cause}", ago(now, at));
            report.say(Level::Warn, CHECK, found, "nothing, if it was put right meanwhile");
        }
        _ if matches!(refusal.mismatch, Mismatch::Clock { .. }) && report.has_failed("clock") => {
            report.warn(CHECK, found, "see the clock above");
        }
        _ => report.fail(CHECK, found, next),
    }
}

/// What differs between WeChat's console and the running server.
fn against_wechat(mismatch: &Mismatch, account: &Account) -> (String, String) {
    let console = "the account's console at WeChat";
    match mismatch {
        Mismatch::Token => (
            "token: it is signed with another one, or WeChat did not send it".to_owned(),
            format!("enter the same Token in {console} and in accounts.token"),
        ),
        Mismatch::AesKey => (
            "EncodingAESKey: it is sealed with another one".to_owned(),
            format!("enter the same EncodingAESKey in {console} and in accounts.encoding_aes_key"),
        ),
        Mismatch::AppId { found } => (
            format!("AppID: the envelope holds `{found}`, the server has `{}`", account.app_id),
            format!(
                "set accounts.app_id to the AppID of the account whose console names this server: `{found}`"
            ),
        ),
        Mismatch::OriginalId { found } => (
            format!("original_id: it is for `{found}`, the server has `{}`", account.original_id),
            format!(
                "set accounts.original_id to `{found}`, or the server URL of that account to its own path"
            ),
        ),
        Mismatch::Mode { encrypted } => {
            let arrived = if *encrypted { "encrypted" } else { "in plain text" };
            (
                format!("mode: it came {arrived}, the server has {}", account.encryption),
                format!(
                    "choose the same mode in {console} and in accounts.encryption; safe (安全模式) is best"
                ),
            )
        }
        Mismatch::Clock { ahead_ms } => (
            format!("clock: the server's is {}", off(*ahead_ms)),
            "let NTP set the server's clock".to_owned(),
        ),
        Mismatch::Body => (
            "the body was changed on its way".to_owned(),
            "let the gateway pass bodies to /wechat/ unchanged".to_owned(),
        ),
        Mismatch::Unreadable { reason } => (
            format!("its message is not readable ({reason})"),
            "report this with the server's log".to_owned(),
        ),
    }
}

async fn domain_files(patient: &Patient<'_>, report: &mut Report) {
    const CHECK: &str = "domain_file";
    let files = &patient.account.domain_files;
    if files.is_empty() {
        report.ok(CHECK, "none configured; WeChat asks for one when a domain is registered");
    }
    for file in files {
        let url = below(&patient.config.server.public_url, &file.name);
        match patient.caller.get(&url).await {
            Ok(page) if page.status == 200 && page.text == file.text => {
                report.ok(CHECK, format!("{url} is served"));
            }
            Ok(page) if page.status == 200 => {
                report.fail(
                    CHECK,
                    format!("{url} is served with another content than {}", file.path.display()),
                    RESTART,
                );
            }
            Ok(page) => report.fail(
                CHECK,
                format!("{url} is answered {}", said(&page)),
                format!("{RESTART}; let the gateway pass /MP_verify_*.txt to server.listen"),
            ),
            Err(error) => report.fail(CHECK, format!("{url}: {error}"), "check the gateway"),
        }
    }
}

/// What the running server tells of this account, and its clock.
async fn deliveries(patient: &Patient<'_>) -> Result<(UnixMs, AccountReport), String> {
    let listen = patient.config.server.metrics_listen.ok_or("the server has no metrics_listen")?;
    let local = if listen.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listen.ip() };
    let address = SocketAddr::new(local, listen.port());
    let url = Url::parse(&format!("http://{address}/deliveries")).map_err(|error| error.to_string())?;
    let page = patient.caller.get(&url).await.map_err(|error| {
        format!("what the server met cannot be read at metrics_listen {address}: {error}")
    })?;
    let told: ServerReport = serde_json::from_str(&page.text)
        .map_err(|_| format!("what answers at metrics_listen {address} is not this version of the server"))?;
    let id = patient.account.id.as_str();
    let found = told.accounts.into_iter().find(|account| account.account == id);
    let found = found.ok_or_else(|| format!("the running server has no account `{id}`"))?;
    Ok((told.now, found))
}

fn webhook(patient: &Patient<'_>) -> Url {
    below(&patient.config.server.public_url, &format!("wechat/{}", patient.account.id))
}

fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// A page in a few words.
fn said(page: &Page) -> String {
    let words: String = page.text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect();
    format!("{} {words:?}", page.status)
}

fn off(ahead_ms: i64) -> String {
    let seconds = ahead_ms.unsigned_abs() / 1000;
    format!("{seconds} s {}", if ahead_ms > 0 { "ahead" } else { "behind" })
}

fn ago(now: UnixMs, at: UnixMs) -> String {
    let since: Duration = now.since(at);
    match since.as_secs() {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7_200 => format!("{} min ago", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}
