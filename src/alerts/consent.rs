//! Consent to subscription notices: what a follower chose, and what WeChat reports on a notice.

use super::Alerts;
use super::history::title;
use crate::config::{Account, NoticeTemplate, NoticeWay};
use crate::domain::ids::{AccountId, FollowerKey};
use crate::store::{StoreError, SubscriptionConsent, Write};
use crate::wechat::api::PageConfig;
use crate::wechat::push::{SubscriptionChoice, SubscriptionResult};

/// Choices, or results, of one push that are looked at; WeChat offers five templates at a time.
const TEMPLATES_MAX: usize = 20;

/// A subscription notice as a follower may consent to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// What it tells.
    pub title: String,
    /// The account's template.
    pub template_id: String,
    /// Whether one consent is for all to come.
    pub is_long_term: bool,
    /// How many more may leave; any number where it is for long and this is one.
    pub left: i64,
}

impl Alerts {
    /// The account's subscription notices, each with what this follower consented to.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consents(
        &self,
        account: &AccountId,
        follower: FollowerKey,
    ) -> Result<Vec<Consent>, StoreError> {
        let mut consents: Vec<Consent> = Vec::new();
        let configured = self.config.account(account.as_str());
        let notices = configured.into_iter().flat_map(|account| &account.notices);
        for (kind, template) in notices.filter(|(_, template)| template.way.needs_consent()) {
            let shared = consents.iter_mut().find(|consent| consent.template_id == template.template_id);
            if let Some(consent) = shared {
                consent.title = format!("{}、{}", consent.title, title(kind));
                continue;
            }
            consents.push(Consent {
                title: title(kind).to_owned(),
                template_id: template.template_id.clone(),
                is_long_term: consent_of(template) == SubscriptionConsent::LongTerm,
                left: self.store.consent_left(account, follower, &template.template_id).await?,
            });
        }
        Ok(consents)
    }

    /// What the page that offers them needs for WeChat's JS-SDK.
    pub async fn page_config(&self, account: &AccountId, page_url: &str) -> Option<PageConfig> {
        self.outbound.page_config(account, page_url).await
    }

    /// What a follower chose (WeChat docs, 订阅通知的事件推送), for the commit of its push. Accepting gives one notice, or
    /// all to come where the template is for long; a refusal ends only what was for long, except from the settings
    /// (`scene` is absent there), where it ends everything.
    #[must_use]
    pub fn consent_writes(
        &self,
        account: &Account,
        follower: FollowerKey,
        choices: &[SubscriptionChoice],
    ) -> Vec<Write> {
        let write = |choice: &SubscriptionChoice| {
            let template = with_template(account, &choice.template_id)?;
            let consent = consent_of(template);
            let id = &account.id;
            match (choice.accepted, consent) {
                (true, _) => Some(self.store.add_consent(id, follower, &choice.template_id, consent)),
                (false, SubscriptionConsent::Once) if choice.scene.is_some() => None,
                (false, _) => Some(self.store.end_consent(id, follower, &choice.template_id)),
            }
        };
        choices.iter().take(TEMPLATES_MAX).filter_map(write).collect()
    }

    /// What became of subscription notices, for the commit of its push: the report gets to its notice as the receipt of
    /// a template message does.
    #[must_use]
    pub fn result_writes(
        &self,
        account: &Account,
        follower: FollowerKey,
        results: &[SubscriptionResult],
    ) -> Vec<Write> {
        let mut writes = Vec::new();
        let ours = results.iter().filter(|result| with_template(account, &result.template_id).is_some());
        for SubscriptionResult { template_id, message_id, error_code, status } in ours.take(TEMPLATES_MAX) {
            let status = if error_code == "0" { "success".to_owned() } else { format!("failed:{status}") };
            writes.push(self.store.join_subscription_result(&account.id, follower, template_id, message_id));
            writes.extend(self.receipt_writes(&account.id, message_id, &status));
        }
        writes
    }
}

/// The notice that uses a template as one of subscription notices.
fn with_template<'a>(account: &'a Account, template_id: &str) -> Option<&'a NoticeTemplate> {
    let mut notices = account.notices.values().filter(|notice| notice.way.needs_consent());
    notices.find(|notice| notice.template_id == template_id)
}

fn consent_of(template: &NoticeTemplate) -> SubscriptionConsent {
    match template.way {
        NoticeWay::SubscribeLongTerm => SubscriptionConsent::LongTerm,
        NoticeWay::Template | NoticeWay::Subscribe => SubscriptionConsent::Once,
    }
}
