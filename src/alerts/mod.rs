//! What the bank tells: spend, refund, repayment, bills, progress, security.
//!
//! An item is durable before the bank hears 202. The owner of its partition then plans it (a pure decision that keeps
//! its reason), hands what is to be sent to `outbound`, and looks at it again whenever one of its messages was settled
//! or reported on, until nothing can change any more. What the bank must know (a verdict, or that it should fall back
//! to SMS) leaves as events in the same commits.

mod consent;
mod digest;
mod fields;
mod history;
mod intake;
mod kinds;
mod merchant;
mod misfit;
mod plan;
mod planner;
mod purchases;
mod remarks;
mod state;
#[cfg(test)]
mod tests;
mod told;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

pub use consent::Consent;
pub use history::{PAST_MAX, PastNotice};
pub use intake::{Intake, Rejected, Taken};
pub use kinds::{Kind, Kinds};
pub use misfit::{Misfit, misfits, sample};
pub use remarks::Surroundings;
pub use state::{HistoryEntry, StateView};

use arc_swap::ArcSwap;

use crate::clock::SharedClock;
use crate::config::Config;
use crate::content::{Content, Fault};
use crate::domain::class::Class;
use crate::domain::ids::AccountId;
use crate::hints::Hints;
use crate::identity::Identity;
use crate::occasions::Kindnesses;
use crate::outbound::Outbound;
use crate::store::{Family, Lane, Store, StoreError, Write};

/// The backlog is counted this often; in between, what was taken in is added.
const COUNT_EVERY_MS: i64 = 1_000;

/// Takes in what the bank wants told, plans it, and knows what became of it.
pub struct Alerts {
    config: Arc<Config>,
    store: Store,
    outbound: Arc<Outbound>,
    kinds: ArcSwap<Kinds>,
    kindnesses: ArcSwap<Kindnesses>,
    clock: SharedClock,
    backlog: Backlog,
    /// Makes the links of alerts; without it they lead nowhere.
    pages: Option<Arc<Identity>>,
    wake: tokio::sync::Notify,
    others: Arc<Hints>,
}

/// A bound with what is free above it for security.
fn with_security(bound: i64) -> i64 {
    bound.saturating_add(bound / 4)
}

/// How many notices are pending, as last counted.
#[derive(Default)]
struct Backlog {
    pending: AtomicI64,
    counted_ms: AtomicI64,
}

impl Alerts {
    /// Reads the kinds of notices from the content.
    ///
    /// # Errors
    /// Every fault of `templates/notices/`.
    pub fn new(
        config: Arc<Config>,
        store: Store,
        outbound: Arc<Outbound>,
        content: &Content,
        clock: SharedClock,
    ) -> Result<Self, Vec<Fault>> {
        let kinds = ArcSwap::from_pointee(Kinds::load(content)?);
        let kindnesses = ArcSwap::from_pointee(Kindnesses::load(content)?);
        let wake = tokio::sync::Notify::new();
        let backlog = Backlog::default();
        Ok(Self {
            config,
            store,
            outbound,
            kinds,
            kindnesses,
            clock,
            backlog,
            pages: None,
            wake,
            others: Arc::default(),
        })
    }

    /// The same with alerts that lead to the page of their transaction.
    #[must_use]
    pub fn leading_to(mut self, pages: Arc<Identity>) -> Self {
        self.pages = Some(pages);
        self
    }

    /// The same, telling other instances at once what is theirs to plan.
    #[must_use]
    pub fn hinting(mut self, others: Arc<Hints>) -> Self {
        self.others = others;
        self
    }

    /// From now on these rules hold. What is planned already keeps its times.
    pub fn set_kinds(&self, kinds: Kinds) {
        self.kinds.store(Arc::new(kinds));
    }

    /// Whether the backlog is at its bound, so that nothing more may be taken in, but what is of security alone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_full(&self) -> Result<bool, StoreError> {
        Ok(self.backlog().await? >= self.backlog_max())
    }

    /// The same for a list of items: where all are of security, a quarter of the bound more is free for them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_full_for(&self, family: Family, items: &[serde_json::Value]) -> Result<bool, StoreError> {
        let (backlog, bound) = (self.backlog().await?, self.backlog_max());
        if backlog < bound {
            return Ok(false);
        }
        let for_security =
            backlog < with_security(bound) && items.iter().all(|item| self.is_security(family, item));
        if !for_security {
            metrics::counter!("weikefu_shed_total", "place" => "intake", "class" => Class::Alert.name())
                .increment(1);
        }
        Ok(!for_security)
    }

    fn is_security(&self, family: Family, item: &serde_json::Value) -> bool {
        let kind = match family {
            Family::Transaction => item.get("type").filter(|kind| *kind == "declined"),
            Family::Notice => item.get("kind"),
        };
        let kind = kind.and_then(serde_json::Value::as_str);
        kind.is_some_and(|kind| self.kinds.load().of(kind).lane == Lane::Security)
    }

    fn backlog_max(&self) -> i64 {
        i64::try_from(self.config.api.backlog_max).unwrap_or(i64::MAX)
    }

    /// How many are pending, as far as it matters.
    async fn backlog(&self) -> Result<i64, StoreError> {
        let bound = with_security(self.backlog_max());
        let now = self.clock.now().0;
        let counted = self.backlog.counted_ms.load(Ordering::Relaxed);
        let is_old = now.abs_diff(counted) >= COUNT_EVERY_MS.unsigned_abs();
        // Of calls at the same moment one counts, and the others go by the count before.
        let order = Ordering::Relaxed;
        if is_old && self.backlog.counted_ms.compare_exchange(counted, now, order, order).is_ok() {
            let pending = self.store.pending_notices(bound).await?;
            self.backlog.pending.store(pending, order);
        }
        Ok(self.backlog.pending.load(Ordering::Relaxed))
    }

    /// After an intake was committed: counts it and wakes the worker.
    pub fn taken_in(&self, family: Family, intake: &Intake) {
        let Taken { accepted, duplicates, rejected } = &intake.taken;
        let rejected = rejected.len();
        for (outcome, count) in [("accepted", *accepted), ("duplicate", *duplicates), ("rejected", rejected)]
        {
            metrics::counter!("weikefu_alerts_taken_total", "family" => family.name(), "outcome" => outcome)
                .increment(u64::try_from(count).unwrap_or(0));
        }
        tracing::info!(
            family = family.name(),
            accepted,
            duplicates,
            rejected,
            "the bank's items were taken in"
        );
        self.backlog
            .pending
            .fetch_add(i64::try_from(intake.taken.accepted).unwrap_or(i64::MAX), Ordering::Relaxed);
        self.wake();
    }

    /// What `TEMPLATESENDJOBFINISH` brings, for the commit of its push. It may come before the send's own answer.
    #[must_use]
    pub fn receipt_writes(&self, account: &AccountId, msgid: &str, status: &str) -> Vec<Write> {
        let status: String = status.chars().filter(|c| !c.is_control()).take(200).collect();
        vec![
            self.store.add_receipt(account, msgid, &status),
            self.store.poke_notice_by_receipt(account, msgid),
            self.store.poke_carried_by_receipt(account, msgid),
        ]
    }

    /// How many items have no verdict yet, counted now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pending(&self) -> Result<i64, StoreError> {
        self.store.pending_notices(i64::try_from(self.config.api.backlog_max).unwrap_or(i64::MAX)).await
    }

    /// A hint after a commit that there are notices to look at, in whosever partitions they are.
    pub fn wake(&self) {
        self.look_now();
        self.others.planning();
    }

    /// The same after another instance's commit.
    pub fn look_now(&self) {
        self.wake.notify_one();
    }
}
