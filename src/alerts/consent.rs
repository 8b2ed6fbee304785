//! Consent to subscription notices: what a follower chose, and what WeChat reports on a notice.

use super::Alerts;
use crate::config::{Account, NoticeTemplate, NoticeWay};
use crate::domain::ids::FollowerKey;
use crate::store::{SubscriptionConsent, Write};
use crate::wechat::push::{SubscriptionChoice, SubscriptionResult};

/// Choices, or results, of one push that are looked at; WeChat offers five templates at a time.
const TEMPLATES_MAX: usize = 20;

impl Alerts {
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
