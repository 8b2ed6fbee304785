//! A configuration of the simulator alone, for those who build another server than ours: one TOML file with
//! `[simulator]` and its accounts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use url::Url;

use super::settings::{AccountSettings, Settings, Template};
use crate::config::{AccountKind, Encryption, NoticeWay};
use crate::domain::secret::Secret;

/// What stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    simulator: Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default = "usual_host")]
    host: String,
    #[serde(default = "usual_port")]
    port: u16,
    #[serde(default = "usual_timeout_ms")]
    delivery_timeout_ms: u64,
    #[serde(default = "usual_receipt_delay_ms")]
    receipt_delay_ms: u64,
    #[serde(default = "one")]
    followers_at_start: usize,
    oauth_redirect_host: Option<String>,
    /// IP白名单; without it anybody may fetch tokens.
    token_callers: Option<Vec<IpAddr>>,
    accounts: Vec<Account>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    id: String,
    name: String,
    original_id: String,
    app_id: String,
    app_secret: String,
    token: String,
    encoding_aes_key: Option<String>,
    #[serde(default = "plain")]
    encryption: Encryption,
    #[serde(default = "service")]
    kind: AccountKind,
    #[serde(default = "yes")]
    verified: bool,
    push_url: Url,
    #[serde(default)]
    templates: Vec<LibraryTemplate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LibraryTemplate {
    id: String,
    title: String,
    /// Keyword to label.
    lines: BTreeMap<String, String>,
}

fn usual_host() -> String {
    "127.0.0.1".to_owned()
}

fn usual_port() -> u16 {
    8081
}

fn usual_timeout_ms() -> u64 {
    Settings::DELIVERY_TIMEOUT_MS
}

fn usual_receipt_delay_ms() -> u64 {
    Settings::RECEIPT_DELAY_MS
}

fn one() -> usize {
    1
}

fn plain() -> Encryption {
    Encryption::Plain
}

fn service() -> AccountKind {
    AccountKind::Service
}

fn yes() -> bool {
    true
}

impl Settings {
    /// Reads a file that has `[simulator]`; `None` for any other, which is a configuration of the server.
    ///
    /// # Errors
    /// What is wrong with such a file, with line and column.
    pub fn from_own_file(text: &str) -> Option<Result<Self, toml::de::Error>> {
        let table: toml::Table = match toml::from_str(text) {
            Ok(table) => table,
            // Who reads it as the server's configuration tells the fault.
            Err(_) => return None,
        };
        table.contains_key("simulator").then(|| Ok(Self::from(toml::from_str::<File>(text)?.simulator)))
    }
}

impl From<Table> for Settings {
    fn from(table: Table) -> Self {
        Self {
            host: table.host,
            port: table.port,
            accounts: table.accounts.into_iter().map(AccountSettings::from).collect(),
            delivery_timeout_ms: table.delivery_timeout_ms,
            receipt_delay_ms: table.receipt_delay_ms,
            followers_at_start: table.followers_at_start,
            oauth_redirect_host: table.oauth_redirect_host,
            token_callers: table.token_callers,
            core_url: None,
            desk_url: None,
        }
    }
}

impl From<Account> for AccountSettings {
    fn from(account: Account) -> Self {
        let template = |template: LibraryTemplate| {
            let lines = template.lines.into_iter().collect();
            Template { id: template.id, title: template.title, lines, way: NoticeWay::Template }.in_order()
        };
        Self {
            id: account.id,
            name: account.name,
            original_id: account.original_id,
            app_id: account.app_id,
            app_secret: Secret::new(account.app_secret),
            token: Secret::new(account.token),
            encoding_aes_key: account.encoding_aes_key.map(Secret::new),
            kind: account.kind,
            is_verified: account.verified,
            encryption: account.encryption,
            push_url: account.push_url,
            templates: account.templates.into_iter().map(template).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        [simulator]
        port = 0
        [[simulator.accounts]]
        id = "bot"
        name = "示例"
        original_id = "gh_0123456789ab"
        app_id = "wx0123456789abcdef"
        app_secret = "s"
        token = "t"
        push_url = "http://127.0.0.1:9000/wx"
        [[simulator.accounts.templates]]
        id = "tplOrder"
        title = "订单通知"
        lines = { thing10 = "商品", amount2 = "金额" }
    "#;

    #[test]
    fn a_small_file_is_enough_and_the_rest_is_usual() {
        let settings = Settings::from_own_file(SMALL).unwrap().unwrap();
        let account = &settings.accounts[0];
        assert_eq!((settings.port, settings.delivery_timeout_ms, settings.followers_at_start), (0, 5_000, 1));
        assert_eq!((account.kind, account.is_verified), (AccountKind::Service, true));
        let keywords: Vec<&str> = account.templates[0].lines.iter().map(|line| line.0.as_str()).collect();
        assert_eq!(keywords, ["amount2", "thing10"]);
    }

    #[test]
    fn a_fault_is_told_with_its_line_and_another_file_is_left_alone() {
        let wrong = SMALL.replace("push_url", "push_uri");
        let told = Settings::from_own_file(&wrong).unwrap().unwrap_err().to_string();
        assert!(told.contains("line 11") && told.contains("push_uri"), "{told}");
        assert!(Settings::from_own_file("[server]\nlisten = \"127.0.0.1:0\"\n").is_none());
        assert!(Settings::from_own_file("[").is_none());
    }
}
