//! What the platform's error codes mean for the caller (WeChat docs, 通用错误码, and the pages of each call).
//!
//! They arrive as `errcode` inside HTTP 200. One code has one class; what to do with a class is decided once.

/// What to do about an error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Done.
    Ok,
    /// It was done before: counts as done.
    AlreadyDone,
    /// What was asked for does not exist.
    Absent,
    /// Of no consequence: nobody needs to know.
    Ignorable,
    /// The token is no longer good: fetch one, try once more.
    RefreshToken,
    /// The visitor's code or authorisation is no longer good: send him through the authorise page again.
    RestartOauth,
    /// The platform is busy: up to three quick tries, then on the caller's own schedule.
    RetryLater,
    /// The day's quota is used: nothing more of this call before 00:00 in Beijing.
    QuotaDay,
    /// Too many in this minute: wait for the next and go slower.
    QuotaMinute,
    /// No window is open to this follower: another kind of message, or none.
    WindowClosed,
    /// The window's allowance is used: hold until the follower acts again.
    AllowanceUsed,
    /// This follower cannot be reached through this account: fall back, do not retry.
    Unreachable,
    /// The content or the template is not allowed: stop it, tell compliance.
    Restricted,
    /// What we sent is wrong: a fault of ours, no retry.
    Malformed,
    /// The account lacks a permission, or the platform took it away: tell operations.
    Permission,
    /// The account's settings are wrong: tell operations.
    Configuration,
    /// Not in our table.
    Unknown,
}

impl Class {
    /// How often to try at once in all, the first time included.
    #[must_use]
    pub fn tries_max(self) -> u8 {
        match self {
            Self::RetryLater | Self::Unknown => 3,
            Self::RefreshToken => 2,
            _ => 1,
        }
    }

    /// What to do next, for an error message.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Ok | Self::AlreadyDone | Self::Ignorable => "nothing to do",
            Self::Absent => "treat it as not there",
            Self::RefreshToken => {
                "a fresh token was not accepted either; check that app_id and app_secret belong together"
            }
            Self::RestartOauth => "send the visitor through the authorise page again",
            Self::RetryLater => "try again later",
            Self::QuotaDay => "no more of this call before 00:00 Beijing time",
            Self::QuotaMinute => "wait for the next minute and go slower",
            Self::WindowClosed => "send no customer-service message until the follower acts again",
            Self::AllowanceUsed => "hold it until the follower acts again",
            Self::Unreachable => "reach the customer another way; do not retry",
            Self::Restricted => "stop this text or template and tell compliance",
            Self::Malformed => "correct what is sent; do not retry",
            Self::Permission => {
                "check the account's permissions, verification and IP whitelist in its console"
            }
            Self::Configuration => "correct the account's settings",
            Self::Unknown => "look the code up in WeChat's list; at most three tries",
        }
    }

    /// A short label for metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::AlreadyDone => "already_done",
            Self::Absent => "absent",
            Self::Ignorable => "ignorable",
            Self::RefreshToken => "refresh_token",
            Self::RestartOauth => "restart_oauth",
            Self::RetryLater => "retry_later",
            Self::QuotaDay => "quota_day",
            Self::QuotaMinute => "quota_minute",
            Self::WindowClosed => "window_closed",
            Self::AllowanceUsed => "allowance_used",
            Self::Unreachable => "unreachable",
            Self::Restricted => "restricted",
            Self::Malformed => "malformed",
            Self::Permission => "permission",
            Self::Configuration => "configuration",
            Self::Unknown => "unknown",
        }
    }
}

/// The class of a code that a business call gave.
#[must_use]
pub fn class(code: i64) -> Class {
    let after = TABLE.partition_point(|(_, last, _, _)| *last < code);
    match TABLE.get(after) {
        Some((first, _, class, _)) if *first <= code => *class,
        _ => Class::Unknown,
    }
}

/// The class of a code that a call with the AppSecret gave: 40001 then means that the secret is wrong, and a new
/// token would not help.
#[must_use]
pub fn class_of_secret_call(code: i64) -> Class {
    match class(code) {
        Class::RefreshToken => Class::Configuration,
        other => other,
    }
}

/// What the code says, in a few words; empty for a code that is not in our table.
#[must_use]
pub fn meaning(code: i64) -> &'static str {
    TABLE.iter().find(|(first, last, _, _)| (*first..=*last).contains(&code)).map_or("", |entry| entry.3)
}

use Class::{
    Absent, AllowanceUsed, AlreadyDone, Configuration, Ignorable, Malformed, Ok, Permission, QuotaDay,
    QuotaMinute, RefreshToken, RestartOauth, Restricted, RetryLater, Unreachable, WindowClosed,
};

/// First code, last code, class, meaning; sorted.
static TABLE: &[(i64, i64, Class, &str)] = &[
    (-1, -1, RetryLater, "system busy"),
    (0, 0, Ok, "ok"),
    (40001, 40001, RefreshToken, "token not the latest, or AppSecret wrong"),
    (40002, 40002, Configuration, "grant type"),
    (40003, 40003, Unreachable, "openid of another account, or not following"),
    (40004, 40012, Malformed, "media type, size or id"),
    (40013, 40013, Configuration, "AppID"),
    (40014, 40014, RefreshToken, "token invalid"),
    (40015, 40027, Malformed, "menu definition"),
    (40029, 40029, RestartOauth, "code invalid"),
    (40030, 40030, RestartOauth, "refresh token invalid"),
    (40031, 40032, Malformed, "openid list"),
    (40033, 40033, Malformed, "escaped characters in a menu"),
    (40035, 40035, Malformed, "parameters"),
    (40036, 40037, Configuration, "template id"),
    (40039, 40039, Malformed, "address too long"),
    (40052, 40053, Malformed, "QR action"),
    (40054, 40055, Malformed, "menu address or its domain"),
    (40062, 40062, Malformed, "title"),
    (40092, 40092, Malformed, "remark"),
    (40097, 40097, Malformed, "parameters"),
    (40125, 40125, Configuration, "AppSecret"),
    (40130, 40130, Malformed, "at least two openids"),
    (40152, 40152, Malformed, "tag id"),
    (40163, 40163, RestartOauth, "code used already"),
    (40164, 40164, Permission, "caller's IP not in the whitelist"),
    (40200, 40200, Configuration, "account type"),
    (40201, 40203, Malformed, "callback check"),
    (40243, 40243, Permission, "AppSecret frozen"),
    (40246, 40247, Configuration, "template library"),
    (40249, 40249, Restricted, "marketing content"),
    (41001, 41001, Malformed, "token missing"),
    (41002, 41004, Configuration, "AppID or AppSecret missing"),
    (41005, 41006, Malformed, "media missing"),
    (41011, 41011, Malformed, "parameters missing"),
    (41030, 41030, Malformed, "page"),
    (42001, 42001, RefreshToken, "token expired"),
    (42002, 42002, RestartOauth, "refresh token expired"),
    (42003, 42003, RestartOauth, "code expired"),
    (42007, 42007, RestartOauth, "authorisation void"),
    (42010, 42010, QuotaMinute, "mass sends too fast"),
    (43001, 43003, Malformed, "method or HTTPS"),
    (43004, 43004, Unreachable, "not following"),
    (43019, 43019, Unreachable, "on the black list"),
    (43101, 43101, Unreachable, "subscription refused or used up"),
    (43107, 43107, Permission, "subscription banned"),
    (43108, 43108, RetryLater, "concurrent sends to one follower"),
    (43116, 43116, Restricted, "template restricted"),
    (44002, 44004, Malformed, "empty content"),
    (45001, 45008, Malformed, "content too large"),
    (45009, 45009, QuotaDay, "day's quota used"),
    (45010, 45010, Malformed, "too many menus"),
    (45011, 45011, QuotaMinute, "too many in this minute"),
    (45015, 45015, WindowClosed, "no window open"),
    (45028, 45028, QuotaDay, "mass quota used"),
    (45047, 45047, AllowanceUsed, "window's allowance used"),
    (45056, 45059, Malformed, "tags"),
    (45062, 45062, Malformed, "mass send"),
    (45064, 45064, Configuration, "mini-program not linked"),
    (45065, 45065, AlreadyDone, "sent before under this id"),
    (45066, 45067, Malformed, "mass send"),
    (45072, 45072, Ignorable, "typing command"),
    (45080, 45081, Ignorable, "typing not needed"),
    (45109, 45109, Permission, "call withdrawn"),
    (45113, 45113, Permission, "message type withdrawn"),
    (45157, 45159, Malformed, "tags"),
    (45162, 45162, Malformed, "mass send"),
    (45168, 45168, Restricted, "sensitive words"),
    (46001, 46002, Malformed, "media or menu version"),
    (46003, 46003, Absent, "no menu"),
    (46004, 46004, Malformed, "user not found"),
    (47001, 47001, Malformed, "not JSON"),
    (47003, 47003, Malformed, "value of a template field"),
    (48001, 48001, Permission, "call not permitted"),
    (48002, 48002, Unreachable, "refuses messages"),
    (48003, 48004, Permission, "call banned"),
    (48005, 48006, Permission, "media in use, or no clearing left"),
    (48008, 48008, Permission, "message type not permitted"),
    (48017, 48017, RetryLater, "retired address of the platform"),
    (48021, 48022, Permission, "mass send"),
    (49003, 49003, Malformed, "openid of another account"),
    (50001, 50002, Permission, "call or account restricted"),
    (50004, 50004, Permission, "token call forbidden"),
    (50005, 50005, Unreachable, "not following"),
    (50007, 50007, Permission, "account frozen"),
    (53600, 53600, Malformed, "article id"),
    (61004, 61004, Permission, "caller's IP not registered"),
    (61007, 61007, Permission, "not authorised to the platform"),
    (61023, 61023, RestartOauth, "refresh token invalid"),
    (61450, 61450, RetryLater, "customer-service system error"),
    (61451, 61457, Malformed, "customer-service account"),
    (61500, 61501, Malformed, "dates"),
    (62751, 62751, Unreachable, "on the black list"),
    (65320, 65320, Malformed, "menu rule"),
    (65400, 65400, Permission, "customer service not enabled"),
    (65401, 65417, Malformed, "agent or session"),
    (70000, 70000, Restricted, "protection of minors"),
    (76001, 76004, Malformed, "request id"),
    (76021, 76022, Malformed, "path of a quota call"),
    (89501, 89501, Permission, "administrator's confirmation pending"),
    (89503, 89507, Permission, "administrator's confirmation required or refused"),
    (101000, 101002, Malformed, "picture"),
    (101003, 101003, QuotaDay, "recognition quota used"),
    (200001, 200022, Malformed, "subscription templates"),
    (200100, 200100, Malformed, "subscription templates"),
    (9410010, 9410012, Malformed, "short key"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_it_can_be_searched() {
        assert!(TABLE.iter().all(|(first, last, _, _)| first <= last));
        assert!(TABLE.windows(2).all(|pair| pair[0].1 < pair[1].0));
    }

    /// Every code and range of the platform's general table and of the calls that we make.
    #[test]
    fn every_documented_code_has_a_class() {
        let singles = [
            -1, 0, 40001, 40002, 40003, 40013, 40014, 40029, 40030, 40031, 40032, 40033, 40035, 40036, 40037,
            40039, 40052, 40053, 40054, 40055, 40092, 40097, 40125, 40130, 40152, 40163, 40164, 40200, 40201,
            40202, 40203, 40243, 40246, 40247, 40249, 41001, 41002, 41004, 41005, 41006, 41011, 42001, 42002,
            42003, 42007, 42010, 43004, 43019, 43101, 43107, 43108, 43116, 44002, 44004, 45009, 45010, 45011,
            45015, 45028, 45047, 45062, 45064, 45065, 45072, 45080, 45081, 45109, 45113, 45168, 47001, 47003,
            48001, 48002, 48003, 48004, 48005, 48006, 48008, 48017, 48021, 48022, 49003, 50001, 50002, 50004,
            50005, 50007, 53600, 61004, 61007, 61023, 61500, 61501, 62751, 65320, 70000, 76021, 76022, 89501,
            89503, 89504, 89505, 89506, 89507, 200100,
        ];
        let ranges = [
            40004..=40012,
            40015..=40027,
            43001..=43003,
            45001..=45008,
            45056..=45059,
            45066..=45067,
            45157..=45159,
            46001..=46004,
            61450..=61457,
            65400..=65417,
            76001..=76004,
            101_000..=101_003,
            200_001..=200_022,
            9_410_010..=9_410_012,
        ];
        for code in singles.into_iter().chain(ranges.into_iter().flatten()) {
            assert_ne!(class(code), Class::Unknown, "{code}");
            assert!(!meaning(code).is_empty(), "{code}");
        }
        for code in [-2, 1, 40000, 40028, 99999, i64::MAX, i64::MIN] {
            assert_eq!(class(code), Class::Unknown, "{code}");
        }
    }

    #[test]
    fn the_codes_that_steer_sending_have_their_own_classes() {
        let table = [
            (-1, Class::RetryLater),
            (40001, Class::RefreshToken),
            (40014, Class::RefreshToken),
            (42001, Class::RefreshToken),
            (45009, Class::QuotaDay),
            (45011, Class::QuotaMinute),
            (45015, Class::WindowClosed),
            (45047, Class::AllowanceUsed),
            (40003, Class::Unreachable),
            (43004, Class::Unreachable),
            (50005, Class::Unreachable),
            (48002, Class::Unreachable),
            (43019, Class::Unreachable),
            (62751, Class::Unreachable),
            (47003, Class::Malformed),
            (40164, Class::Permission),
            (40013, Class::Configuration),
            (46003, Class::Absent),
            (45065, Class::AlreadyDone),
        ];
        for (code, expected) in table {
            assert_eq!(class(code), expected, "{code}");
        }
        assert_eq!(class_of_secret_call(40001), Class::Configuration);
        assert_eq!(class_of_secret_call(-1), Class::RetryLater);
        assert_eq!(class(123_456).tries_max(), 3);
        assert_eq!(Class::Malformed.tries_max(), 1);
    }
}
