//! The end of quiet hours: what waited for a follower leaves as one message.

use std::collections::BTreeSet;

use super::Alerts;
use super::fields::{self, Values};
use super::kinds::DIGEST;
use super::plan::nobody;
use super::planner::Whom;
use super::told::Told;
use crate::config::NoticeTemplate;
use crate::domain::binding::Binding;
use crate::domain::money::Money;
use crate::domain::verdict::{State, Verdict};
use crate::outbound::{Cause, TemplateOrder};
use crate::store::{Commit, CommitError, HeldFor, NoticeRow, StoreError, Write};
use crate::telemetry::trace;

/// What a digest can fill in.
pub(super) const OF_DIGEST: [&str; 7] = ["count", "amount", "card", "time", "from", "merchant", "result"];
/// Followers whose waiting is ended in one round.
const FOLLOWERS_MAX: usize = 64;
/// Notices that one digest tells; those beyond it make another.
const NOTICES_MAX: usize = 200;
/// Card tails that a digest names.
const TAILS_MAX: usize = 3;

impl Alerts {
    /// Lets leave what waited for the end of somebody's quiet hours. Returns how many followers that were.
    pub(super) async fn release_held(&self) -> usize {
        let (owner, now) = (self.outbound.parts().owner(), self.clock.now());
        let due = match self.store.held_due(owner, now, FOLLOWERS_MAX).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, retry = "later", "the database did not say whose quiet hours are over; their alerts go on waiting");
                return 0;
            }
        };
        let mut released = 0;
        for whom in &due {
            match trace::carry(self.outbound.new_trace(), self.release(whom)).await {
                Ok(()) => released += 1,
                Err(error) => {
                    tracing::warn!(%error, retry = "later", "what waited for the end of quiet hours could not leave; it goes on waiting");
                }
            }
        }
        released
    }

    async fn release(&self, whom: &HeldFor) -> Result<(), CommitError> {
        let Some(_working) = self.outbound.parts().begin(whom.part) else { return Ok(()) };
        let rows = self.store.held_for(whom, self.clock.now(), NOTICES_MAX).await?;
        let binding = self.store.binding(&whom.account, whom.follower).await?;
        let mut waiting = Vec::with_capacity(rows.len());
        let mut commit = Commit::new(whom.part);
        for row in &rows {
            let told = Told::read(row)?;
            if binding.as_ref().is_some_and(|binding| binding.customer == told.customer) {
                waiting.push((row, told));
            } else {
                commit.push(self.store.end_hold(row, &whom.account, whom.follower, &nobody()));
                commit.push(self.store.poke_notice(row.family.name(), &row.notice_id));
            }
        }
        if let Some(binding) = &binding {
            commit.extend(self.together(whom, binding, &waiting).await?);
        }
        match self.store.commit(commit).await {
            Ok(()) => {
                self.outbound.wake(whom.follower.part());
                self.wake.notify_one();
                Ok(())
            }
            // Another instance let it leave, or he left himself: nothing is lost.
            Err(CommitError::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// One notice leaves as itself, several as a digest; each as itself where the account has no template for that.
    async fn together(
        &self,
        whom: &HeldFor,
        binding: &Binding,
        waiting: &[(&NoticeRow, Told)],
    ) -> Result<Vec<Write>, StoreError> {
        let account = self.config.account(whom.account.as_str());
        let digest = account.and_then(|account| account.notices.get(DIGEST));
        if let (Some(template), true) = (digest, waiting.len() > 1) {
            return self.digest(whom, binding, waiting, template);
        }
        let kinds = self.kinds.load_full();
        let mut writes = Vec::new();
        for (row, told) in waiting {
            let of_kind = kinds.of(&row.kind);
            let template = account.and_then(|account| {
                account.notices.get(&row.kind).or_else(|| account.notices.get(&of_kind.notice))
            });
            let one =
                Whom { row, told, kinds: &kinds, account: &whom.account, follower: whom.follower, binding };
            match template {
                Some(template) => {
                    writes.extend(self.order(&one, template).await?);
                    let id = self.message_id(row, &whom.account, whom.follower);
                    writes.push(self.store.release(row, &whom.account, whom.follower, &id));
                }
                None => {
                    let gone = Verdict::new(State::Suppressed, "notice_not_configured");
                    writes.push(self.store.end_hold(row, &whom.account, whom.follower, &gone));
                    writes.push(self.store.poke_notice(row.family.name(), &row.notice_id));
                }
            }
        }
        Ok(writes)
    }

    fn digest(
        &self,
        whom: &HeldFor,
        binding: &Binding,
        waiting: &[(&NoticeRow, Told)],
        template: &NoticeTemplate,
    ) -> Result<Vec<Write>, StoreError> {
        let Some((first, told)) = waiting.first() else { return Ok(vec![]) };
        let kinds = self.kinds.load();
        let kind = kinds.of(DIGEST);
        // Named by its first notice, which leaves once: planned twice by any accident, it is sent once.
        let parts: [&[u8]; 5] = [
            DIGEST.as_bytes(),
            first.family.name().as_bytes(),
            first.notice_id.as_bytes(),
            whom.account.as_str().as_bytes(),
            whom.follower.as_bytes(),
        ];
        let id = hex::encode(self.store.vault().index("client_msg_id", &parts));
        let hides = waiting.iter().any(|(_, told)| binding.alerts_of_tail(told.tail.as_ref()).hide_amounts);
        let now = self.clock.now();
        let order = TemplateOrder {
            id: id.clone(),
            customer: told.customer.clone(),
            lane: kind.lane,
            template_id: template.template_id.clone(),
            way: template.way,
            url: None,
            data: fields::data_of(template, &summary(waiting), &kind.defaults, hides, now),
            expires: now + kind.keep_for,
            cause: Cause::Digest { id: id.clone() },
        };
        let mut writes = self.outbound.template(&whom.account, whom.follower, order)?;
        let released =
            waiting.iter().map(|(row, _)| self.store.release(row, &whom.account, whom.follower, &id));
        writes.extend(released);
        Ok(writes)
    }
}

/// The values of a digest; see [`OF_DIGEST`].
fn summary(waiting: &[(&NoticeRow, Told)]) -> Values {
    let moment = |(row, told): &(&NoticeRow, Told)| told.happened.unwrap_or(row.accepted);
    let count = waiting.len();
    let mut values = Values::new();
    let mut set = |name: &str, value: String| drop(values.insert(name.to_owned(), value));
    set("count", count.to_string());
    set("result", format!("免打扰期间共{count}条提醒"));
    if let Some(last) = waiting.iter().map(moment).max() {
        set("time", fields::minute(last));
    }
    if let Some(first) = waiting.iter().map(moment).min() {
        set("from", fields::minute(first));
    }
    let transactions: Vec<_> = waiting.iter().filter_map(|(_, told)| told.transaction.as_ref()).collect();
    let amounts: Option<Vec<Money>> =
        transactions.iter().map(|transaction| transaction.amount.money()).collect();
    let total = amounts.unwrap_or_default().into_iter().try_fold(Money::of_fen(0), Money::checked_add);
    if let Some(total) = total.filter(|_| transactions.len() == count) {
        set("amount", fields::written(total));
    }
    let tails: BTreeSet<&str> =
        waiting.iter().filter_map(|(_, told)| Some(told.tail.as_ref()?.as_str())).collect();
    if !tails.is_empty() {
        let named: Vec<&str> = tails.iter().copied().take(TAILS_MAX).collect();
        set("card", named.join(" "));
    }
    let merchant = transactions.iter().find_map(|transaction| transaction.merchant.as_ref());
    if let Some(merchant) = merchant {
        let more = if count > 1 { format!("等{count}笔") } else { String::new() };
        let room = 20_usize.saturating_sub(more.chars().count());
        let name: String = merchant.name.chars().take(room).collect();
        set("merchant", format!("{name}{more}"));
    }
    values
}
