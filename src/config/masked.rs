//! The settings in effect, as an operator may read and paste them: secrets never show.

use std::fmt::{Display, Write as _};
use std::path::Path;

use super::{Account, AccountKind, Band, Config, DeskKind, Encryption, SecondFactorBy, Staff, Tls};

const MASK: &str = "•••";

impl Config {
    /// Every setting in effect, defaults included, in the file's own form; secrets show as `•••`.
    #[must_use]
    pub fn masked(&self) -> String {
        let mut page = Page::default();
        page.server(self);
        page.section("database");
        page.text("url", masked_address(self.database.url.reveal()));
        for account in &self.accounts {
            page.account(account);
        }
        page.section("core");
        page.text("base_url", &self.core.base_url);
        page.text("secret", MASK);
        page.bare("timeout_ms", self.core.timeout_ms);
        page.tls(&self.core.tls);
        page.section("api");
        page.list("secrets", self.api.secrets.iter().map(|_| MASK));
        page.bare("backlog_max", self.api.backlog_max);
        if let Some(events) = &self.events {
            page.section("events");
            page.text("url", &events.url);
            page.text("secret", MASK);
            page.tls(&events.tls);
        }
        if let Some(asr) = &self.asr {
            page.section("asr");
            page.text("url", &asr.url);
            if asr.secret.is_some() {
                page.text("secret", MASK);
            }
            page.bare("timeout_ms", asr.timeout_ms);
            let band = match asr.band {
                Band::Narrow => "narrow",
                Band::Wide => "wide",
            };
            page.text("band", band);
            page.tls(&asr.tls);
        }
        if let Some(keys) = &self.keys {
            page.section("keys");
            match keys.master {
                Some(_) => page.text("master", MASK),
                None => page.path("master_file", Some(&keys.master_file)),
            }
            page.list("previous_files", keys.previous_files.iter().map(|file| file.display()));
        }
        if self.content.dir.is_some() {
            page.section("content");
            page.path("dir", self.content.dir.as_deref());
        }
        page.staff(&self.staff);
        page.section("alerts");
        page.text("silence_ceiling", self.alerts.silence_ceiling.decimal());
        page.section("retention");
        if let Some(days) = self.retention.message_days {
            page.bare("message_days", days);
        }
        page.text("drop", if self.retention.only_archived { "archived" } else { "all" });
        if let Some(hints) = &self.hints {
            page.section("hints");
            page.text("redis_url", masked_address(hints.redis_url.reveal()));
            page.tls(&hints.tls);
        }
        if let Some(url) = &self.telemetry.otlp_url {
            page.section("telemetry");
            page.text("otlp_url", url);
        }
        if let Some(url) = &self.sandbox.server_url {
            page.section("sandbox");
            page.text("server_url", url);
        }
        page.0
    }
}

/// Keeps the scheme and what is behind the last `@`: the user and the password stand before it.
fn masked_address(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{MASK}@{host}"),
        _ => url.to_owned(),
    }
}

/// The text as it grows. Writing to a `String` cannot fail, so results are dropped.
#[derive(Default)]
struct Page(String);

impl Page {
    fn server(&mut self, config: &Config) {
        let server = &config.server;
        self.section("server");
        self.text("listen", server.listen);
        self.text("public_url", &server.public_url);
        self.text("api_listen", server.api_listen.unwrap_or(server.listen));
        self.text("staff_listen", server.staff_listen.unwrap_or(server.listen));
        if let Some(listen) = server.metrics_listen {
            self.text("metrics_listen", listen);
        }
        self.list("trusted_proxies", server.trusted_proxies.iter());
        if let Some(proxy) = config.accounts.first().and_then(|account| account.proxy.as_ref()) {
            self.text("wechat_proxy", masked_address(proxy.reveal()));
        }
        self.list("h5_frame_ancestors", server.h5_frame_ancestors.iter());
    }

    fn account(&mut self, account: &Account) {
        self.section_of_list("accounts");
        self.text("id", &account.id);
        self.text("name", &account.name);
        self.text("original_id", &account.original_id);
        self.text("app_id", &account.app_id);
        self.text("app_secret", MASK);
        self.text("token", MASK);
        if account.encoding_aes_key.is_some() {
            self.text("encoding_aes_key", MASK);
        }
        if account.previous_encoding_aes_key.is_some() {
            self.text("previous_encoding_aes_key", MASK);
        }
        self.text(
            "encryption",
            match account.encryption {
                Encryption::Plain => "plain",
                Encryption::Compat => "compat",
                Encryption::Safe => "safe",
            },
        );
        self.text(
            "kind",
            match account.kind {
                AccountKind::Service => "service",
                AccountKind::Subscription => "subscription",
            },
        );
        self.text(
            "desk",
            match account.desk {
                DeskKind::Own => "own",
                DeskKind::External => "external",
            },
        );
        self.list("api_base_url", account.api_base_urls.iter());
        self.text("oauth_base_url", &account.oauth_base_url);
        for (key, rate) in [
            ("template_per_second", account.template_per_second),
            ("customer_service_per_second", account.customer_service_per_second),
        ] {
            self.bare(key, rate.unwrap_or(0));
        }
        self.list("domain_files", account.domain_files.iter().map(|file| file.path.display()));
        for (kind, template) in &account.notices {
            self.section(&format!("accounts.notices.{kind}"));
            self.text("template_id", &template.template_id);
            self.text("way", template.way.name());
            let fields: Vec<String> =
                template.fields.iter().map(|(name, keyword)| format!("{name} = {keyword:?}")).collect();
            self.bare("fields", format!("{{ {} }}", fields.join(", ")));
        }
    }

    fn staff(&mut self, staff: &Staff) {
        self.section("staff");
        self.list("second_factor", staff.second_factor.iter());
        let Some(oidc) = &staff.oidc else { return };
        self.section("staff.oidc");
        self.text("issuer", &oidc.issuer);
        self.text("client_id", &oidc.client_id);
        if oidc.client_secret.is_some() {
            self.text("client_secret", MASK);
        }
        self.text("redirect_url", &oidc.redirect_url);
        self.text("name_claim", &oidc.name_claim);
        self.text("label", &oidc.label);
        let by = match oidc.second_factor {
            SecondFactorBy::Here => "here",
            SecondFactorBy::Provider => "provider",
        };
        self.text("second_factor", by);
        self.tls(&oidc.tls);
    }

    fn tls(&mut self, tls: &Tls) {
        self.path("ca_file", tls.ca.as_ref().map(|file| file.path.as_path()));
        self.path("client_cert_file", tls.client.as_ref().map(|(file, _)| file.path.as_path()));
        self.path("client_key_file", tls.client.as_ref().map(|(_, file)| file.path.as_path()));
    }

    fn section(&mut self, name: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.0, "{gap}[{name}]");
    }

    fn section_of_list(&mut self, name: &str) {
        let _ = writeln!(self.0, "\n[[{name}]]");
    }

    fn text(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "{key} = {:?}", value.to_string());
    }

    fn bare(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn path(&mut self, key: &str, value: Option<&Path>) {
        if let Some(path) = value {
            self.text(key, path.display());
        }
    }

    fn list(&mut self, key: &str, values: impl Iterator<Item = impl Display>) {
        let items: Vec<String> = values.map(|value| format!("{:?}", value.to_string())).collect();
        self.bare(key, format!("[{}]", items.join(", ")));
    }
}
