//! What followers consented to be told by subscription notices, counted for each follower and template.

use super::value::statements;
use super::{Conflict, Store, StoreError, Write};
use crate::domain::ids::{AccountId, FollowerKey};

statements! {
    GRANT = "INSERT INTO subscription (account, fkey, template_id, notices_left, changed_ms) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (account, fkey, template_id) DO UPDATE \
        SET notices_left = subscription.notices_left + excluded.notices_left, changed_ms = excluded.changed_ms";
    SET = "INSERT INTO subscription (account, fkey, template_id, notices_left, changed_ms) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (account, fkey, template_id) DO UPDATE \
        SET notices_left = excluded.notices_left, changed_ms = excluded.changed_ms";
    USE = "UPDATE subscription SET notices_left = notices_left - $4 \
        WHERE account = $1 AND fkey = $2 AND template_id = $3 AND notices_left > 0";
    LEFT = "SELECT notices_left FROM subscription WHERE account = $1 AND fkey = $2 AND template_id = $3";
    ERASE = "DELETE FROM subscription WHERE account = $1 AND fkey = $2";
    JOIN_RESULT = "UPDATE outbox SET msgid = $4 WHERE outbox_id = (SELECT o.outbox_id FROM outbox o \
        WHERE o.account = $1 AND o.fkey = $2 AND o.channel = 'subscription' AND o.client_msg_id = $3 \
        AND o.msgid IS NULL AND (o.state = 'sent' \
        OR (o.settled = 0 AND EXISTS (SELECT 1 FROM intent i WHERE i.intent_id = o.outbox_id))) \
        ORDER BY o.order_no LIMIT 1)";
}

/// How much one consent lets be told (WeChat docs, 订阅通知).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionConsent {
    /// 一次性订阅: one notice.
    Once,
    /// 长期订阅: any number, until it is taken back.
    LongTerm,
}

impl Store {
    /// A follower consented to a template's notices.
    #[must_use]
    pub fn add_consent(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        template_id: &str,
        consent: SubscriptionConsent,
    ) -> Write {
        let statement = match consent {
            SubscriptionConsent::Once => GRANT,
            SubscriptionConsent::LongTerm => SET,
        };
        self.consent(statement, account, follower, template_id, 1)
    }

    /// A follower took his consent back, or WeChat says that it is used up.
    #[must_use]
    pub fn end_consent(&self, account: &AccountId, follower: FollowerKey, template_id: &str) -> Write {
        self.consent(SET, account, follower, template_id, 0)
    }

    fn consent(
        &self,
        statement: super::Statement,
        account: &AccountId,
        follower: FollowerKey,
        template_id: &str,
        notices: i64,
    ) -> Write {
        let now = self.clock().now();
        let args =
            vec![account.as_str().into(), follower.into(), template_id.into(), notices.into(), now.into()];
        Write::new(statement, args)
    }

    /// One notice is about to leave; [`Conflict::Stale`] when the follower's consent does not cover it.
    #[must_use]
    pub fn use_consent(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        template_id: &str,
        consent: SubscriptionConsent,
    ) -> Write {
        let used = i64::from(consent == SubscriptionConsent::Once);
        let args = vec![account.as_str().into(), follower.into(), template_id.into(), used.into()];
        Write::one(USE, args, Conflict::Stale)
    }

    /// How many more notices of a template a follower's consent covers; any number where it is for long and this is one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn consent_left(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        template_id: &str,
    ) -> Result<i64, StoreError> {
        let args = vec![account.as_str().into(), follower.into(), template_id.into()];
        let left = self.fetch_one(LEFT, args).await?.map(|row| row.int(0)).transpose()?;
        Ok(left.unwrap_or(0))
    }

    /// Forgets a follower's consents: WeChat ends them when he leaves.
    #[must_use]
    pub fn erase_consents(&self, account: &AccountId, follower: FollowerKey) -> Write {
        Write::new(ERASE, vec![account.as_str().into(), follower.into()])
    }

    /// Gives the id of WeChat's report to the oldest notice of a template that none was reported on: its send's answer
    /// names no id (WeChat docs, 发送订阅通知), and a follower's notices leave one after another. The report may come before
    /// that answer, or instead of it.
    #[must_use]
    pub fn join_subscription_result(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        template_id: &str,
        msgid: &str,
    ) -> Write {
        Write::new(
            JOIN_RESULT,
            vec![account.as_str().into(), follower.into(), template_id.into(), msgid.into()],
        )
    }
}
