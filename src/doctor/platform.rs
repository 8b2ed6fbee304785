//! WeChat's side, through the account's API hosts: are they there, do they know us, what do they allow?

use std::net::IpAddr;
use std::time::Duration;

use super::{Patient, Report, menu, templates};
use crate::config::AccountKind;
use crate::domain::time::UnixMs;
use crate::wechat::api::{Api, ApiError, Fault, NotAClient};

/// Beyond this a clock is told of.
const CLOCK_WARN: Duration = Duration::from_secs(60);
/// Beyond this deliveries are refused.
const CLOCK_FAIL: Duration = Duration::from_secs(300);
/// Of WeChat's addresses, how many are told.
const ADDRESSES_SHOWN_MAX: usize = 3;
/// The calls that alerts and answers need, and who may make them.
const CALLS: [(&str, &str); 2] = [
    ("/cgi-bin/message/template/send", "模板消息 (template messages)"),
    ("/cgi-bin/message/custom/send", "客服消息 (customer-service messages)"),
];

/// How far this machine's clock is ahead of WeChat's.
#[derive(Clone, Copy, Default)]
pub(super) struct Ahead {
    ms: i64,
}

impl Ahead {
    /// What WeChat's clock says when ours says `now`.
    pub(super) fn true_time(self, now: UnixMs) -> UnixMs {
        UnixMs(now.0.saturating_sub(self.ms))
    }
}

/// Looks at every API host, in order of preference, and compares its clock with ours.
pub(super) async fn hosts(patient: &Patient<'_>, report: &mut Report) -> Result<Ahead, NotAClient> {
    const CHECK: &str = "api_host";
    let bases = &patient.account.api_base_urls;
    let (mut ahead, mut silent) = (None, Vec::new());
    for (index, base) in bases.iter().enumerate() {
        let mut account = patient.account.clone();
        account.api_base_urls = vec![base.clone()];
        match patient.api(&account)?.greet().await {
            Ok(date) => {
                let here = patient.clock.now();
                // A Date header counts whole seconds: on the average it is half a second old.
                let off = |date: UnixMs| here.0.saturating_sub(date.0).saturating_sub(500);
                ahead = ahead.or(date.map(off));
                report.ok(CHECK, format!("{base} answers; choice {} of {}", index + 1, bases.len()));
            }
            Err(error) => silent.push(format!("{base} does not answer as WeChat does: {}", how(&error))),
        }
    }
    let next = "open the firewall or proxy to this host, or correct accounts.api_base_url";
    for found in silent.iter().cloned() {
        if silent.len() == bases.len() {
            report.fail(CHECK, found, next);
        } else {
            report.warn(CHECK, format!("{found}; another host is used"), next);
        }
    }
    clock(ahead, report);
    Ok(Ahead { ms: ahead.unwrap_or_default() })
}

fn how(error: &ApiError) -> String {
    match error.fault() {
        Fault::NotConnected => "no connection".to_owned(),
        Fault::TimedOut => "no answer in time".to_owned(),
        Fault::Broken(what) => (*what).to_owned(),
        Fault::Refused { .. } => error.to_string(),
    }
}

fn clock(ahead_ms: Option<i64>, report: &mut Report) {
    const CHECK: &str = "clock";
    let Some(ahead_ms) = ahead_ms else {
        report.warn(CHECK, "not compared: no API host told its time", "");
        return;
    };
    let off = Duration::from_millis(ahead_ms.unsigned_abs());
    let side = if ahead_ms > 0 { "ahead of" } else { "behind" };
    let found = format!("this machine's clock is {} s {side} WeChat's", off.as_secs());
    if off > CLOCK_FAIL {
        report.fail(
            CHECK,
            format!("{found}; deliveries are refused beyond 300 s"),
            "let NTP set this machine's clock",
        );
    } else if off > CLOCK_WARN {
        report.warn(CHECK, found, "let NTP set this machine's clock");
    } else {
        report.ok(CHECK, "this machine's clock agrees with WeChat's");
    }
}

/// Makes every check that needs the API.
pub(super) async fn look(patient: &Patient<'_>, report: &mut Report) -> Result<(), NotAClient> {
    let api = patient.api(patient.account)?;
    if report.has_failed("api_host") {
        for check in ["token", "egress", "callback", "permission", "notice", "menu"] {
            report.warn(check, "not looked at: no API host answers", "");
        }
        return Ok(());
    }
    if !token(patient, &api, report).await {
        for check in ["callback", "permission", "notice", "menu"] {
            report.warn(check, "not looked at: WeChat gives no access token", "");
        }
        return Ok(());
    }
    callback(patient, &api, report).await;
    permissions(&api, report).await;
    templates::look(patient, &api, report).await;
    menu::look(patient, &api, report).await;
    Ok(())
}

/// Whether WeChat knows AppID, AppSecret and the address that we call from.
async fn token(patient: &Patient<'_>, api: &Api, report: &mut Report) -> bool {
    const CHECK: &str = "token";
    let Err(error) = api.authorise().await else {
        report.ok(CHECK, "WeChat gives an access token: app_id and app_secret belong together");
        report.ok("egress", "WeChat takes calls from this machine's address");
        return true;
    };
    let app_id = &patient.account.app_id;
    let console = "WeChat's developer console (微信开发者平台 → 我的业务 → 服务号)";
    match (error.code(), error.fault()) {
        (Some(40013 | 41002), _) => {
            report.fail(
                CHECK,
                format!("app_id: WeChat knows no `{app_id}` (40013)"),
                format!("copy AppID from {console}"),
            );
        }
        (Some(code @ (40001 | 40125 | 41004)), _) => report.fail(
            CHECK,
            format!("app_secret: it is not that of `{app_id}` ({code})"),
            format!(
                "reset AppSecret in {console} and enter the new one; WeChat never shows the old one again"
            ),
        ),
        (Some(40243), _) => {
            report.fail(CHECK, "app_secret: it is frozen (40243)", format!("unfreeze it in {console}"));
        }
        (Some(40164 | 61004), Fault::Refused { message, .. }) => {
            report.warn(CHECK, "not judged: the address is refused first", "");
            let address = address_in(message);
            let named =
                address.map_or_else(|| "this machine's address".to_owned(), |address| address.to_string());
            report.fail(
                "egress",
                format!("WeChat refuses calls from {named} (40164)"),
                format!("add {named} to the IP allow list (IP白名单) in {console}"),
            );
            return false;
        }
        (Some(89501 | 89503 | 89506 | 89507), _) => report.fail(
            CHECK,
            format!("the account's administrator must confirm calls from here: {error}"),
            "let the administrator confirm it in WeChat",
        ),
        _ => report.fail(
            CHECK,
            error.to_string(),
            "run doctor again; if it stays, ask WeChat's support with the rid",
        ),
    }
    report.warn("egress", "not judged: WeChat gives no access token", "");
    false
}

/// The first address that the platform names; it writes the same one as IPv4 and as IPv6.
fn address_in(message: &str) -> Option<IpAddr> {
    message.split([' ', ',']).find_map(|word| word.parse().ok())
}

async fn callback(patient: &Patient<'_>, api: &Api, report: &mut Report) {
    const CHECK: &str = "callback";
    let path = format!("{}wechat/{}", slashed(patient), patient.account.id);
    let set_url = format!("set the server URL to {path} in the account's console");
    match api.callback_check().await {
        Ok(check) if check.ping.is_empty() => {
            report.warn(CHECK, "WeChat finds no address for the server URL in its console", set_url);
        }
        Ok(check) => {
            let lost: Vec<&str> = check
                .ping
                .iter()
                .filter(|ping| ping.package_loss != "0%")
                .map(|ping| ping.ip.as_str())
                .collect();
            let found = format!(
                "{} of {} packets from WeChat arrive",
                check.ping.len() - lost.len(),
                check.ping.len()
            );
            if lost.is_empty() {
                report.ok(CHECK, found);
            } else {
                let next =
                    "let WeChat's addresses pass the firewall; a firewall that drops only pings is no fault";
                report.warn(CHECK, format!("{found}; lost to {}", lost.join(", ")), next);
            }
        }
        Err(error) if error.code() == Some(40201) => {
            report.fail(CHECK, "no server URL is set in the account's console (40201)", set_url);
        }
        Err(error) => call_failed(CHECK, "网络检测 (callback check)", &error, report),
    }
    match api.callback_ips().await {
        Ok(addresses) => {
            let count = addresses.len();
            let first =
                addresses.iter().take(ADDRESSES_SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if count > ADDRESSES_SHOWN_MAX { ", …" } else { "" };
            report
                .ok(CHECK, format!("WeChat calls from {count} addresses, for firewall rules: {first}{more}"));
        }
        Err(error) => call_failed(CHECK, "获取微信推送服务器IP (getcallbackip)", &error, report),
    }
}

fn slashed(patient: &Patient<'_>) -> String {
    format!("{}/", patient.config.server.public_url.as_str().trim_end_matches('/'))
}

/// What alerts and answers need.
async fn permissions(api: &Api, report: &mut Report) {
    const CHECK: &str = "permission";
    for (path, name) in CALLS {
        match api.quota(path).await {
            Ok(quota) if quota.remain <= 0 => report.warn(
                CHECK,
                format!("{name}: today's {} calls are used", quota.daily_limit),
                "wait for 00:00 Beijing time; ask WeChat for a higher quota if this happens again",
            ),
            Ok(quota) => report
                .ok(CHECK, format!("{name}: {} of {} calls left today", quota.remain, quota.daily_limit)),
            // The account of this kind has not the call at all.
            Err(error) if error.code() == Some(76022) => not_permitted(CHECK, name, 76022, report),
            Err(error) => call_failed(CHECK, name, &error, report),
        }
    }
}

/// A call that was refused: the permission that it lacks, or what the platform says.
pub(super) fn call_failed(check: &'static str, name: &str, error: &ApiError, report: &mut Report) {
    match error.code() {
        Some(48001) => not_permitted(check, name, 48001, report),
        _ => report.fail(check, error.to_string(), ""),
    }
}

fn not_permitted(check: &'static str, name: &str, code: i64, report: &mut Report) {
    report.fail(
        check,
        format!("the account lacks the permission {name} ({code})"),
        "apply for it in the account's console (接口权限); it needs a verified account, and verification \
         lapses each year",
    );
}

/// What kind of account the file says it is.
pub(super) fn kind(patient: &Patient<'_>, has_templates: bool, report: &mut Report) {
    const CHECK: &str = "kind";
    let account = patient.account;
    match account.kind {
        AccountKind::Subscription if !account.notices.is_empty() => report.fail(
            CHECK,
            "kind = \"subscription\", and only service accounts (服务号) send the notices that are configured",
            "set kind = \"service\" if it is one, else take accounts.notices out",
        ),
        AccountKind::Subscription if has_templates => report.warn(
            CHECK,
            "kind = \"subscription\", but WeChat lets this account use templates",
            "set kind = \"service\" if it is a service account (服务号)",
        ),
        AccountKind::Subscription => report.ok(CHECK, "subscription account: no template messages"),
        AccountKind::Service => report.ok(CHECK, "service account"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_out_of_the_platforms_words() {
        let message = "invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist rid: 6-7";
        assert_eq!(address_in(message), "203.0.113.7".parse().ok());
        assert_eq!(address_in("not in whitelist"), None);
    }
}
