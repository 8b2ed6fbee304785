//! Faults are all told, each with its place; the environment wins over the file; secrets never print.

use std::collections::BTreeMap;

use super::{AccountKind, Config, DeskKind, Encryption, SecondFactorBy};

const WHOLE: &str = r#"
[server]
public_url = "https://wx.bank.example/weikefu/"
trusted_proxies = ["10.0.0.1"]

[database]
url = "postgres://clerk:open-sesame@db.example/weikefu"

[[accounts]]
id = "card"
name = "示例银行信用卡"
original_id = "anything at all"
app_id = "not-of-the-usual-form"
app_secret = "canary-app-secret"
token = "canary-token"
encoding_aes_key = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"

[accounts.notices.spend]
template_id = "T1"
fields = { card = "character_string1", amount = "amount2" }

[core]
base_url = "http://127.0.0.1:8090"
secret = "whsec_Y2FuYXJ5LWNvcmU="

[api]
secrets = ["whsec_Y2FuYXJ5LWFwaQ=="]
"#;

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse("w.toml", text, environment)
        .map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

#[test]
fn a_short_file_gets_the_documented_defaults() {
    let config = parse(WHOLE, &[]).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.metrics_listen.unwrap().to_string(), "127.0.0.1:9464");
    assert_eq!(config.server.public_url.as_str(), "https://wx.bank.example/weikefu");
    assert_eq!((config.core.timeout_ms, config.api.backlog_max), (3000, 2_000_000));
    let account = config.account("card").unwrap();
    assert_eq!(account.encryption, Encryption::Safe);
    assert_eq!((account.kind, account.desk), (AccountKind::Service, DeskKind::Own));
    assert_eq!(account.api_base_urls[0].as_str(), "https://api.weixin.qq.com/");
    assert_eq!(account.oauth_base_url.as_str(), "https://open.weixin.qq.com/");
    assert_eq!(account.notices["spend"].fields["amount"], "amount2");
    assert!(config.events.is_none() && config.keys.is_none() && config.content.dir.is_none());
}

#[test]
fn every_fault_is_told_at_once_with_its_line() {
    let faulty = WHOLE
        .replace("[server]", "[server]\nlisten = \"nowhere\"\nlissten = \"127.0.0.1:1\"")
        .replace("token = \"canary-token\"", "tokn = \"x\"")
        .replace("ABCDEFG\"", "\"")
        .replace("whsec_Y2FuYXJ5LWNvcmU=", "canary-core")
        .replace("[api]", "[api]\nbacklog_max = -1")
        .replace("[accounts.notices.spend]", "[accounts.notices.spent]");
    assert_eq!(
        parse(&faulty, &[]).unwrap_err(),
        [
            "w.toml:3: `server.listen` must be an address and a port like 127.0.0.1:8080, not `nowhere`",
            "w.toml:4: unknown key `lissten` in server; the nearest known key is `listen`",
            "w.toml:11: missing key `accounts[0].token`",
            "w.toml:17: unknown key `tokn` in accounts[0]; the nearest known key is `token`",
            "w.toml:18: `accounts[0].encoding_aes_key` must have 43 characters; it has 36",
            "w.toml:20: unknown key `spent` in accounts[0].notices; the nearest known key is `spend`",
            "w.toml:26: `core.secret` must be whsec_ followed by the key in base64",
            "w.toml:29: `api.backlog_max` must be a whole number from 0 to 4294967295",
        ]
    );
}

/// Each section, and each place below one, names the nearest key of its own.
#[test]
fn a_misspelt_key_is_told_in_every_section() {
    let whole = format!(
        "{WHOLE}\n[events]\nurl = \"http://127.0.0.1:1/e\"\nsecret = \"whsec_bmV3\"\n[asr]\nurl = \"http://127.0.0.1:1/asr\"\n\
         timeout_ms = 900\nband = \"wide\"\n[keys]\nmaster_file = \"k\"\n\
         [content]\ndir = \"t\"\n[sandbox]\nserver_url = \"http://127.0.0.1:1\"\n"
    );
    assert!(parse(&whole, &[]).is_ok());
    for (key, misspelt, place) in [
        ("public_url", "publik_url", "in server"),
        ("url = \"postgres", "ulr = \"postgres", "in database"),
        ("original_id", "orignal_id", "in accounts[0]"),
        ("template_id", "template", "in accounts[0].notices.spend"),
        ("base_url", "bass_url", "in core"),
        ("secrets", "secret", "in api"),
        ("url = \"http://127.0.0.1:1/e\"", "uri = \"http://127.0.0.1:1/e\"", "in events"),
        ("master_file", "masterfile", "in keys"),
        ("dir =", "dri =", "in content"),
        ("server_url", "serverurl", "in sandbox"),
        ("[core]", "[cor]", "at the top level"),
    ] {
        let text = whole.replacen(key, misspelt, 1);
        let line = text.lines().zip(whole.lines()).position(|(a, b)| a != b).unwrap() + 1;
        let word = |key: &str| key.split(' ').next().unwrap().trim_matches(['[', ']']).to_owned();
        let fault = format!(
            "w.toml:{line}: unknown key `{}` {place}; the nearest known key is `{}`",
            word(misspelt),
            word(key)
        );
        let faults = parse(&text, &[]).unwrap_err();
        assert!(faults.contains(&fault), "{fault} is not among {faults:#?}");
    }
    for (variable, fault) in [
        ("WEIKEFU_ACCOUNTS__0__TOKN", "unknown key `tokn` in accounts[0]; the nearest known key is `token`"),
        (
            "WEIKEFU_ACCOUNTS__0__NOTICES__SPENT__TEMPLATE_ID",
            "unknown key `spent` in accounts[0].notices; the nearest known key is `spend`",
        ),
        ("WEIKEFU_CORRE__SECRET", "unknown key `corre` at the top level; the nearest known key is `core`"),
    ] {
        assert_eq!(parse(WHOLE, &[(variable, "x")]).unwrap_err(), [format!("{variable}: {fault}")]);
    }
}

#[test]
fn the_line_of_a_setting_is_found_again() {
    let line = |path: &[&str]| super::line_of(WHOLE, path);
    let merchant = ["accounts", "0", "notices", "spend", "fields", "amount"];
    assert_eq!(line(&merchant), Some(1 + WHOLE.lines().position(|line| line.starts_with("fields")).unwrap()));
    assert_eq!(line(&["server", "public_url"]), Some(3));
    assert_eq!(line(&["accounts", "1", "name"]), None);
}

#[test]
fn domain_files_are_read_and_only_wechats_names_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let with = |paths: &[String]| {
        let line = format!("domain_files = {paths:?}\ntoken =");
        parse(&WHOLE.replace("token =", &line), &[])
    };
    std::fs::write(path("MP_verify_abC1.txt"), "abC1").unwrap();
    let config = with(&[path("MP_verify_abC1.txt")]).unwrap();
    let file = &config.accounts[0].domain_files[0];
    assert_eq!((file.name.as_str(), file.text.as_str()), ("MP_verify_abC1.txt", "abC1"));
    for (name, fault) in [
        ("MP_verify_none.txt", "w.toml:15: `accounts[0].domain_files` cannot be read"),
        (
            "robots.txt",
            "must name files called MP_verify_….txt as WeChat's console gives them, not `robots.txt`",
        ),
        ("MP_verify_a-b.txt", "not `MP_verify_a-b.txt`"),
    ] {
        let faults = with(&[path(name)]).unwrap_err();
        assert!(faults[0].contains(fault), "{faults:?}");
    }
    std::fs::write(path("MP_verify_big.txt"), "x".repeat(1025)).unwrap();
    assert!(with(&[path("MP_verify_big.txt")]).unwrap_err()[0].contains("more than 1024 bytes"));
}

#[test]
fn text_that_is_not_toml_is_a_fault_with_its_line() {
    let faults = parse("[server]\nlisten = \n", &[]).unwrap_err();
    assert!(faults[0].starts_with("w.toml:2: not TOML: "), "{faults:?}");
}

#[test]
fn the_environment_overrides_any_scalar_and_its_faults_name_the_variable() {
    let config = parse(
        WHOLE,
        &[
            ("WEIKEFU_SERVER__LISTEN", "0.0.0.0:80"),
            ("WEIKEFU_CORE__TIMEOUT_MS", "250"),
            ("WEIKEFU_ACCOUNTS__0__ENCRYPTION", "compat"),
            ("WEIKEFU_ACCOUNTS__0__API_BASE_URL", "http://127.0.0.1:8081"),
            ("WEIKEFU_API__SECRETS", "whsec_bmV3, whsec_b2xk"),
            ("WEIKEFU_EVENTS__URL", "http://127.0.0.1:8090/sandbox/events"),
            ("WEIKEFU_EVENTS__SECRET", "whsec_bmV3"),
            ("WEIKEFU_TEST_POSTGRES", "not a setting"),
        ],
    )
    .unwrap();
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:80");
    assert_eq!(config.core.timeout_ms, 250);
    assert_eq!(config.accounts[0].encryption, Encryption::Compat);
    assert_eq!(config.accounts[0].api_base_urls[0].port(), Some(8081));
    assert_eq!(config.api.secrets.len(), 2);
    assert!(config.events.is_some());

    let faults = parse(
        WHOLE,
        &[
            ("WEIKEFU_CORE__TIMEOUT_MS", "soon"),
            ("WEIKEFU_ACCOUNTS__3__TOKEN", "x"),
            ("WEIKEFU_SERVER__LISTN", "x"),
        ],
    )
    .unwrap_err();
    assert_eq!(
        faults,
        [
            "WEIKEFU_ACCOUNTS__3__TOKEN: there is no entry 3: the list has 1",
            "WEIKEFU_CORE__TIMEOUT_MS: `core.timeout_ms` must be a whole number from 1 to 60000",
            "WEIKEFU_SERVER__LISTN: unknown key `listn` in server; the nearest known key is `listen`",
        ]
    );
}

#[test]
fn a_secret_may_come_from_a_file_but_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "from the file\n").unwrap();
    let line = format!("token_file = {:?}", path.display().to_string());
    let by_file = WHOLE.replace("token = \"canary-token\"", &line);
    assert_eq!(parse(&by_file, &[]).unwrap().accounts[0].token.reveal(), "from the file");

    let by_variable = parse(&by_file, &[("WEIKEFU_ACCOUNTS__0__TOKEN", "from the environment")]).unwrap();
    assert_eq!(by_variable.accounts[0].token.reveal(), "from the environment");

    let twice = WHOLE.replace("token = \"canary-token\"", &format!("token = \"x\"\n{line}"));
    let fault = "`accounts[0].token_file` is given besides `token`; give one of them";
    assert_eq!(parse(&twice, &[]).unwrap_err(), [format!("w.toml:16: {fault}")]);

    let gone = WHOLE.replace("token = \"canary-token\"", "token_file = \"/nowhere/token\"");
    let faults = parse(&gone, &[]).unwrap_err();
    assert!(faults[0].starts_with("w.toml:15: `accounts[0].token_file` cannot be read"), "{faults:?}");

    std::fs::write(&path, "whsec_bmV3\nwhsec_b2xk\n").unwrap();
    let secrets = format!("secrets_file = {:?}", path.display().to_string());
    let rotated = WHOLE.replace("secrets = [\"whsec_Y2FuYXJ5LWFwaQ==\"]", &secrets);
    assert_eq!(parse(&rotated, &[]).unwrap().api.secrets.len(), 2);
}

#[test]
fn account_ids_are_of_one_form_and_unique_and_plain_needs_no_key() {
    let second = |id: &str| {
        format!(
            "{WHOLE}\n[[accounts]]\nid = \"{id}\"\nname = \"二\"\noriginal_id = \"o\"\napp_id = \"a\"\n\
             app_secret = \"s\"\ntoken = \"t\"\nencryption = \"plain\"\n"
        )
    };
    assert!(parse(&second("debit"), &[]).unwrap().accounts[1].encoding_aes_key.is_none());
    assert_eq!(
        parse(&second("card"), &[]).unwrap_err(),
        ["w.toml:29: the account id `card` is taken by an earlier account"]
    );
    assert_eq!(
        parse(&second("Card 2"), &[]).unwrap_err(),
        ["w.toml:30: `accounts[1].id` must have 1 to 32 characters of a-z, 0-9, _ and -"]
    );
}

#[test]
fn a_file_without_accounts_or_core_is_refused() {
    let faults = parse("[database]\nurl = \"sqlite://x.db\"\n", &[]).unwrap_err();
    assert_eq!(
        faults,
        [
            "w.toml:1: no [[accounts]]: there is nobody to answer for",
            "w.toml:1: missing key `core.base_url`",
            "w.toml:1: missing key `core.secret`",
        ]
    );
}

#[test]
fn the_masked_page_and_debug_show_no_secret_and_read_back() {
    let master = ("WEIKEFU_KEYS__MASTER", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=");
    let config = parse(WHOLE, &[master]).unwrap();
    let page = config.masked();
    for secret in ["canary", "sesame", "Y2FuYXJ5", "abcdefghijkl", "MDEyMzQ1"] {
        assert!(!page.contains(secret) && !format!("{config:?}").contains(secret), "{secret} shows");
    }
    let table: BTreeMap<String, toml::Value> = toml::from_str(&page).unwrap();
    assert_eq!(table["core"]["timeout_ms"].as_integer(), Some(3000));
    assert_eq!(table["database"]["url"].as_str(), Some("postgres://•••@db.example/weikefu"));
}

#[test]
fn staff_sign_in_as_the_bank_says_and_the_provider_s_secret_is_never_shown() {
    let config = parse(WHOLE, &[]).unwrap();
    assert_eq!(config.staff.second_factor, ["supervisor", "admin"]);
    assert!(config.staff.oidc.is_none());
    let staff = "[staff]\nsecond_factor = []\n[staff.oidc]\nissuer = \"https://id.bank.example/realm/\"\n\
        client_id = \"desk\"\nclient_secret = \"canary-oidc\"\n";
    let config = parse(&format!("{WHOLE}\n{staff}"), &[]).unwrap();
    assert!(config.staff.second_factor.is_empty());
    let oidc = config.staff.oidc.as_ref().unwrap();
    assert_eq!(oidc.issuer, "https://id.bank.example/realm/", "letter for letter");
    assert_eq!(oidc.redirect_url.as_str(), "https://wx.bank.example/weikefu/desk/oidc/callback");
    assert_eq!((oidc.name_claim.as_str(), oidc.second_factor), ("preferred_username", SecondFactorBy::Here));
    let page = config.masked();
    assert!(page.contains("[staff.oidc]") && !page.contains("canary-oidc"), "{page}");
    let shown = parse(&page.replace("•••@", "u:p@").replace("•••", "whsec_Y2FuYXJ5LWNvcmU="), &[]);
    assert!(!shown.is_err_and(|faults| faults.iter().any(|fault| fault.contains("staff"))));
    let other = parse(&format!("{WHOLE}\n{staff}").replace("canary-oidc", "another"), &[]).unwrap();
    assert_eq!(config.differences(&other), ["a secret"]);
    for (wrong, told) in [
        ("second_factor = [\"king\"]", "must be a list of agent, supervisor and admin"),
        ("[staff.oidc]\nclient_id = \"x\"", "missing key `staff.oidc.issuer`"),
        ("[staff.oidc]\nissuer = \"id\"\nclient_id = \"x\"", "`staff.oidc.issuer` must be an address"),
        (
            "second_facto = []",
            "unknown key `second_facto` in staff; the nearest known key is `second_factor`",
        ),
    ] {
        let faults = parse(&format!("{WHOLE}\n[staff]\n{wrong}\n"), &[]).unwrap_err();
        assert!(faults.iter().any(|fault| fault.contains(told)), "{wrong}: {faults:?}");
    }
}

#[test]
fn hints_need_a_redis_whose_password_is_never_shown() {
    assert!(parse(WHOLE, &[]).unwrap().hints.is_none());
    let with = |url: &str| parse(&format!("{WHOLE}\n[hints]\nredis_url = \"{url}\"\n"), &[]);
    let config = with("rediss://:canary-redis@hints.example:6379").unwrap();
    let page = config.masked();
    assert!(page.contains("redis_url = \"rediss://•••@hints.example:6379\""), "{page}");
    assert!(!format!("{config:?}").contains("canary-redis"));
    let other = with("rediss://:another@hints.example:6379").unwrap();
    assert_eq!(config.differences(&other), ["a secret"]);
    let faults = with("http://canary-redis@hints.example").unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains("`hints.redis_url` must be an address like redis://host:6379"), "{faults:?}");
    assert!(!faults[0].contains("canary"), "{faults:?}");
}

#[test]
fn the_log_is_kept_for_ever_unless_days_are_named() {
    let kept = parse(WHOLE, &[]).unwrap().retention;
    assert_eq!((kept.message_days, kept.only_archived), (None, false));
    let with = |text: &str| parse(&format!("{WHOLE}\n[retention]\n{text}\n"), &[]);
    let config = with("message_days = 180\ndrop = \"archived\"").unwrap();
    assert_eq!((config.retention.message_days, config.retention.only_archived), (Some(180), true));
    let page = config.masked();
    assert!(page.contains("[retention]\nmessage_days = 180\ndrop = \"archived\"\n"), "{page}");
    for (wrong, told) in [
        ("message_days = 13", "`retention.message_days` must be a whole number from 14 to 3660"),
        ("drop = \"some\"", "`retention.drop` must be \"all\" or \"archived\""),
        ("days = 90", "unknown key `days` in retention"),
    ] {
        let faults = with(wrong).unwrap_err();
        assert!(faults.iter().any(|fault| fault.contains(told)), "{wrong}: {faults:?}");
    }
}
