//! Which settings differ between two configurations, for settings that need a restart.

use std::collections::BTreeMap;

use super::Config;

impl Config {
    /// The keys whose values differ, as `section.key`; of secrets only the section is named.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let (mine, others) = (self.masked(), other.masked());
        let (mine, others) = (settings(&mine), settings(&others));
        let keys = mine.keys().chain(others.keys().filter(|key| !mine.contains_key(*key)));
        let mut changed: Vec<String> =
            keys.filter(|key| mine.get(*key) != others.get(*key)).map(String::clone).collect();
        if self.secrets() != other.secrets() {
            changed.push("a secret".to_owned());
        }
        changed
    }

    fn secrets(&self) -> Vec<Option<&str>> {
        let mut secrets = vec![Some(self.database.url.reveal()), Some(self.core.secret.reveal())];
        for account in &self.accounts {
            secrets.extend([Some(account.app_secret.reveal()), Some(account.token.reveal())]);
            secrets.push(account.encoding_aes_key.as_ref().map(|key| key.reveal()));
            secrets.push(account.previous_encoding_aes_key.as_ref().map(|key| key.reveal()));
            secrets.push(account.proxy.as_ref().map(|proxy| proxy.reveal()));
        }
        secrets.extend(self.api.secrets.iter().map(|secret| Some(secret.reveal())));
        secrets.push(self.events.as_ref().map(|events| events.secret.reveal()));
        secrets.push(self.hints.as_ref().map(|hints| hints.redis_url.reveal()));
        secrets.push(self.asr.as_ref().and_then(|asr| asr.secret.as_ref()).map(|secret| secret.reveal()));
        let oidc = self.staff.oidc.as_ref();
        secrets.push(oidc.and_then(|oidc| oidc.client_secret.as_ref()).map(|secret| secret.reveal()));
        secrets.push(self.keys.as_ref().and_then(|keys| keys.master.as_ref()).map(|key| key.reveal()));
        secrets
    }
}

/// `section.key` → value, of a masked page. Tables of a list are told apart by their place.
fn settings(page: &str) -> BTreeMap<String, &str> {
    let mut settings = BTreeMap::new();
    let (mut section, mut accounts) = (String::new(), 0);
    for line in page.lines() {
        if line.starts_with("[[") {
            section = format!("accounts[{accounts}]");
            accounts += 1;
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let of_account = name.strip_prefix("accounts.");
            section = match of_account {
                Some(rest) => format!("accounts[{}].{rest}", accounts - 1),
                None => name.to_owned(),
            };
        } else if let Some((key, value)) = line.split_once(" = ") {
            settings.insert(format!("{section}.{key}"), value);
        }
    }
    settings
}
