//! The form of each kind of setting. An error completes the sentence "`key` …" and never repeats a secret.

use std::net::SocketAddr;
use std::path::PathBuf;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use url::Url;

use super::{AccountKind, Band, DeskKind, DomainFile, Encryption, NoticeWay, SecondFactorBy};
use crate::domain::ids::AccountId;
use crate::domain::money::Money;
use crate::domain::secret::Secret;

/// Key generators differ in padding, and WeChat's 43 characters leave two bits over.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Opaque text that must say something.
pub(super) fn text(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// An amount of renminbi.
pub(super) fn yuan(text: &str) -> Result<Money, String> {
    let amount = Money::parse(text, "CNY").ok().filter(|amount| amount.minor() >= 0);
    amount.ok_or_else(|| "must be an amount in yuan, such as \"500\" or \"500.00\"".to_owned())
}

/// Which days of the log go when they are old enough; true: only archived ones.
pub(super) fn drop(text: &str) -> Result<bool, String> {
    match text {
        "all" => Ok(false),
        "archived" => Ok(true),
        _ => Err("must be \"all\" or \"archived\"".to_owned()),
    }
}

/// Opaque secret text.
pub(super) fn secret(value: &str) -> Result<Secret, String> {
    text(value).map(Secret::new)
}

/// A signing secret of Standard Webhooks.
pub(super) fn signing_secret(value: &str) -> Result<Secret, String> {
    let well = value
        .strip_prefix("whsec_")
        .and_then(|encoded| LENIENT.decode(encoded).ok())
        .is_some_and(|key| !key.is_empty());
    if well {
        Ok(Secret::new(value.to_owned()))
    } else {
        Err("must be whsec_ followed by the key in base64".to_owned())
    }
}

/// WeChat's EncodingAESKey.
pub(super) fn aes_key(value: &str) -> Result<Secret, String> {
    let count = value.chars().count();
    if count != 43 {
        return Err(format!("must have 43 characters; it has {count}"));
    }
    match LENIENT.decode(value) {
        Ok(key) if key.len() == 32 => Ok(Secret::new(value.to_owned())),
        _ => Err("must have 43 characters of base64: letters, digits, + and /".to_owned()),
    }
}

/// 32 bytes in base64.
pub(super) fn master_key(value: &str) -> Result<Secret, String> {
    match STANDARD.decode(value.trim()) {
        Ok(key) if key.len() == 32 => Ok(Secret::new(value.trim().to_owned())),
        _ => Err("must be 32 bytes in base64".to_owned()),
    }
}

/// An account's id: part of addresses.
pub(super) fn account_id(value: &str) -> Result<AccountId, String> {
    let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-');
    if (1..=32).contains(&value.len()) && value.chars().all(allowed) {
        Ok(AccountId::new(value))
    } else {
        Err("must have 1 to 32 characters of a-z, 0-9, _ and -".to_owned())
    }
}

/// Where to listen.
pub(super) fn listen(value: &str) -> Result<SocketAddr, String> {
    value.parse().map_err(|_| format!("must be an address and a port like 127.0.0.1:8080, not `{value}`"))
}

/// A base address; slashes at its end are dropped, so that paths are joined in one way.
pub(super) fn base_url(value: &str) -> Result<Url, String> {
    let refused =
        || "must be an address like https://host or https://host/path, nothing behind it".to_owned();
    let url = Url::parse(value.trim_end_matches('/')).map_err(|_| refused())?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let fits = plain && matches!(url.scheme(), "http" | "https") && url.has_host();
    if fits { Ok(url) } else { Err(refused()) }
}

/// An OpenID issuer: kept letter for letter, because tokens name it so.
pub(super) fn issuer(value: &str) -> Result<String, String> {
    base_url(value).map(|_| value.to_owned())
}

/// The name of a role of staff.
pub(super) fn staff_role(value: &str) -> Result<String, String> {
    match value {
        "agent" | "supervisor" | "admin" => Ok(value.to_owned()),
        _ => Err("must be a list of agent, supervisor and admin".to_owned()),
    }
}

/// Who sees to the second factor.
pub(super) fn second_factor_by(value: &str) -> Result<SecondFactorBy, String> {
    match value {
        "here" => Ok(SecondFactorBy::Here),
        "provider" => Ok(SecondFactorBy::Provider),
        _ => Err("must be here or provider".to_owned()),
    }
}

/// A proxy's address. It may hold a password, so the fault does not repeat it.
pub(super) fn proxy(value: &str) -> Result<Secret, String> {
    Url::parse(value)
        .ok()
        .filter(|url| url.scheme() == "http" && url.has_host() && matches!(url.path(), "" | "/"))
        .map(|_| Secret::new(value.to_owned()))
        .ok_or_else(|| {
            "must be an address like http://proxy:3128 or http://user:password@proxy:3128".to_owned()
        })
}

/// An address that is called as it stands.
pub(super) fn address(value: &str) -> Result<Url, String> {
    Url::parse(value)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| "must be an http or https address".to_owned())
}

/// Scheme, host and port, as browsers write an origin.
pub(super) fn origin(value: &str) -> Result<String, String> {
    let parsed = Url::parse(value).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    match parsed.map(|url| url.origin().ascii_serialization()) {
        Some(origin) if origin == value.trim_end_matches('/') => Ok(origin),
        _ => Err("must be an origin like http://127.0.0.1:8081".to_owned()),
    }
}

/// The database's address. Its text may hold a password, so the fault does not repeat it.
pub(super) fn database_url(value: &str) -> Result<Secret, String> {
    if value.starts_with("sqlite://") || value.starts_with("postgres://") {
        Ok(Secret::new(value.to_owned()))
    } else {
        Err("must begin with sqlite:// or postgres://".to_owned())
    }
}

/// A Redis. Its text may hold a password, so the fault does not repeat it.
pub(super) fn redis_url(value: &str) -> Result<Secret, String> {
    Url::parse(value)
        .ok()
        .filter(|url| matches!(url.scheme(), "redis" | "rediss") && url.has_host())
        .map(|_| Secret::new(value.to_owned()))
        .ok_or_else(|| "must be an address like redis://host:6379 or rediss://:password@host:6379".to_owned())
}

/// A path, from the working directory when it is relative.
pub(super) fn path(value: &str) -> Result<PathBuf, String> {
    text(value).map(PathBuf::from)
}

/// Largest file by which WeChat checks a domain, in bytes. Those that it gives have sixteen.
const DOMAIN_FILE_BYTES_MAX: usize = 1024;

/// A file by which WeChat checks a domain: read at once, so that a missing one is told before WeChat asks for it.
pub(super) fn domain_file(value: &str) -> Result<DomainFile, String> {
    let path = path(value)?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let middle = name.strip_prefix("MP_verify_").and_then(|rest| rest.strip_suffix(".txt"));
    let fits = |middle: &str| {
        (1..=64).contains(&middle.len()) && middle.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    if !middle.is_some_and(fits) {
        return Err(format!(
            "must name files called MP_verify_….txt as WeChat's console gives them, not `{name}`"
        ));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| format!("cannot be read: {value}: {error}"))?;
    if text.len() > DOMAIN_FILE_BYTES_MAX {
        return Err(format!("names {value}, which has more than {DOMAIN_FILE_BYTES_MAX} bytes"));
    }
    Ok(DomainFile { path, name, text })
}

/// `plain`, `compat` or `safe`.
pub(super) fn encryption(value: &str) -> Result<Encryption, String> {
    match value {
        "plain" => Ok(Encryption::Plain),
        "compat" => Ok(Encryption::Compat),
        "safe" => Ok(Encryption::Safe),
        other => Err(format!("must be plain, compat or safe, not `{other}`")),
    }
}

/// `template`, `subscribe` or `subscribe_long_term`.
pub(super) fn notice_way(value: &str) -> Result<NoticeWay, String> {
    let ways = [NoticeWay::Template, NoticeWay::Subscribe, NoticeWay::SubscribeLongTerm];
    let found = ways.into_iter().find(|way| way.name() == value);
    found.ok_or_else(|| "must be template, subscribe or subscribe_long_term".to_owned())
}

/// `service` or `subscription`.
pub(super) fn account_kind(value: &str) -> Result<AccountKind, String> {
    match value {
        "service" => Ok(AccountKind::Service),
        "subscription" => Ok(AccountKind::Subscription),
        other => Err(format!("must be service or subscription, not `{other}`")),
    }
}

/// The recording that a recogniser takes.
pub(super) fn band(value: &str) -> Result<Band, String> {
    match value {
        "narrow" => Ok(Band::Narrow),
        "wide" => Ok(Band::Wide),
        _ => Err("must be narrow (8 kHz) or wide (16 kHz)".to_owned()),
    }
}

/// `own` or `external`.
pub(super) fn desk(value: &str) -> Result<DeskKind, String> {
    match value {
        "own" => Ok(DeskKind::Own),
        "external" => Ok(DeskKind::External),
        other => Err(format!("must be own or external, not `{other}`")),
    }
}
