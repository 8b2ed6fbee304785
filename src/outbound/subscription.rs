//! Subscription notices: sent within the follower's consent, without an idempotency key, and therefore written down
//! before they are sent and never repeated blindly.

use tokio::time::Instant;

use super::policy::{Next, Outcome, Try, UNCLEAR, after_subscription};
use super::worker::{Job, addressed, alarm, attempt, count_outcome};
use super::{Outbound, TemplatePayload};
use crate::domain::verdict::{State, Verdict};
use crate::store::{Attempt, Commit, CommitError, Conflict, OutboxRow, SubscriptionConsent};
use crate::wechat::api::SubscriptionNotice;

/// The reason of a notice that no consent covers.
pub(crate) const NO_CONSENT: &str = "no_consent";
/// WeChat's code for the same.
const REFUSED_OR_USED_UP: i64 = 43101;

impl Outbound {
    pub(super) async fn send_subscription(&self, job: Job) {
        let row = &job.row;
        match self.store.has_intent(&row.outbox_id).await {
            Ok(false) => {}
            // Somebody wrote it down and did not come back: perhaps sent.
            Ok(true) => {
                let lost = Attempt { at: self.clock.now(), duration_ms: 0, outcome: UNCLEAR, errcode: None };
                let next = Next::Settle(Verdict::new(State::Failed, UNCLEAR));
                return self.conclude(&job, next, row.attempts + 1, None, lost).await;
            }
            Err(error) => {
                return tracing::warn!(
                    %error,
                    retry = "later",
                    "the database did not say whether a subscription notice was tried before; it waits"
                );
            }
        }
        let (notice, payload) = match noticed(row) {
            Ok(noticed) => noticed,
            Err(verdict) => return self.settle(&job, &verdict, None, row.attempts, vec![]).await,
        };
        let Some(api) = row.account.as_ref().and_then(|account| self.apis.get(account)) else {
            let verdict = Verdict::new(State::Failed, "account_not_configured");
            return self.settle(&job, &verdict, None, row.attempts, vec![]).await;
        };
        match self.write_down(row, &payload).await {
            Ok(()) => {}
            Err(CommitError::Conflict(Conflict::Stale)) => {
                let verdict = Verdict::new(State::Unreachable, NO_CONSENT);
                return self.settle(&job, &verdict, None, row.attempts, vec![]).await;
            }
            Err(error) => {
                return tracing::info!(%error, retry = "later", "a subscription notice could not be written down; it waits");
            }
        }
        let (began, at) = (Instant::now(), self.clock.now());
        let outcome = Outcome::of(api.subscription_send(&notice).await.map(|()| None));
        let attempt = attempt(at, began, &outcome);
        count_outcome(row, &outcome);
        alarm(row, &outcome);
        if matches!(outcome, Outcome::Refused { code: REFUSED_OR_USED_UP, .. }) {
            self.believe_no_consent(row, &payload.template_id).await;
        }
        let this = Try { number: row.attempts + 1, now: self.clock.now(), jitter: self.jitter() };
        self.conclude(&job, after_subscription(&outcome, this), this.number, None, attempt).await;
    }

    /// Writes the intent alone and counts the notice against the consent, in one commit. A try after a clear failure
    /// was counted before.
    async fn write_down(&self, row: &OutboxRow, payload: &TemplatePayload) -> Result<(), CommitError> {
        let mut commit = Commit::new(row.fence.part);
        commit.push(self.store.add_intent(&row.outbox_id, &row.fence, &[]));
        if let (Some(account), Some(follower), 0) = (&row.account, row.follower, row.attempts) {
            let consent =
                if payload.is_long_term { SubscriptionConsent::LongTerm } else { SubscriptionConsent::Once };
            commit.push(self.store.use_consent(account, follower, &payload.template_id, consent));
        }
        self.store.commit(commit).await
    }

    /// WeChat says that no consent is left: our count says so too, until the follower consents again.
    async fn believe_no_consent(&self, row: &OutboxRow, template_id: &str) {
        let (Some(account), Some(follower)) = (&row.account, row.follower) else { return };
        let commit = Commit::new(row.fence.part).with(self.store.end_consent(account, follower, template_id));
        if let Err(error) = self.store.commit(commit).await {
            tracing::debug!(%error, "WeChat says that no consent is left, and that could not be noted; its next answer says so again");
        }
    }
}

/// Whether a verdict says that no consent is left: such a follower follows all the same.
pub(crate) fn is_about_consent(verdict: &Verdict) -> bool {
    matches!(verdict.reason.as_deref(), Some(NO_CONSENT | "errcode_43101"))
}

/// The notice with its openid, or why it must not leave.
fn noticed(row: &OutboxRow) -> Result<(SubscriptionNotice, TemplatePayload), Verdict> {
    let (to, payload) = addressed(row)?;
    let notice = SubscriptionNotice {
        to,
        template_id: payload.template_id.clone(),
        url: payload.url.clone(),
        data: payload.data.clone(),
    };
    Ok((notice, payload))
}
