//! The owner's looks at what is to be told: plans it once, and follows what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::Alerts;
use super::fields::{self, Values};
use super::kinds::Kind;
use super::plan::{Candidate, Decision, decide, falls_back, nobody};
use super::state::verdict_now;
use crate::domain::ids::{AccountId, CustomerId, FollowerKey};
use crate::domain::notice::Notice;
use crate::domain::time::UnixMs;
use crate::domain::transaction::Transaction;
use crate::domain::verdict::{State, Verdict, overall};
use crate::outbound::{Cause, TemplateOrder};
use crate::store::{Commit, CommitError, Family, Lane, Looked, NoticeRow, StoreError, Write};
use crate::telemetry::trace::{self, SPANS};

/// Notices of one lane read at a time.
const LOOKS_MAX: usize = 200;
/// Notices looked at at the same time: their commits make one group.
const LOOKS_AT_ONCE_MAX: usize = 100;
/// Without a hint, notices are looked for this often.
const POLL: Duration = Duration::from_millis(250);
/// A receipt whose hint met the send's own commit is found this much later.
const RECEIPT_LOOK: Duration = Duration::from_secs(60);
/// A pending notice is looked at this long after its end, should every hint have been lost.
const END_LOOK: Duration = Duration::from_secs(60);
/// Old notices and calls are swept this often.
const SWEEP: Duration = Duration::from_secs(600);
/// Ids are remembered this long.
const REMEMBERED: Duration = Duration::from_secs(400 * 24 * 3600);
/// Calls are remembered this long; a captured one ages in minutes.
const CALLS_REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// The lanes that notices have.
const LANES: [Lane; 3] = [Lane::Security, Lane::Spend, Lane::Reminder];

/// What a stored item says.
struct Told {
    customer: CustomerId,
    values: Values,
}

/// What a look decides.
struct Look {
    verdict: Verdict,
    account: Option<AccountId>,
    writes: Vec<Write>,
    wake: Vec<u8>,
}

impl Alerts {
    /// Looks once at everything that is due. Returns how many notices that were.
    pub async fn step(&self) -> usize {
        let mut looked = 0;
        for lane in LANES {
            let (owner, now) = (self.outbound.parts().owner(), self.clock.now());
            let rows = match self.store.notices_to_look_at(owner, lane, now, LOOKS_MAX).await {
                Ok(rows) => rows,
                Err(error) => {
                    let lane = lane.name();
                    tracing::warn!(%error, lane, retry = "later", "the database gave no notices to look at");
                    continue;
                }
            };
            looked += rows.len();
            futures::stream::iter(rows)
                .for_each_concurrent(LOOKS_AT_ONCE_MAX, |row| async move {
                    let trace = row.trace.unwrap_or_else(|| self.outbound.new_trace());
                    trace::carry(trace, self.try_look(&row)).await;
                })
                .await;
        }
        looked
    }

    /// Looks until told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut swept = Instant::now();
        loop {
            let looked = self.step().await;
            if swept.elapsed() >= SWEEP {
                swept = Instant::now();
                self.sweep().await;
            }
            let pause = if looked < LOOKS_MAX { POLL } else { Duration::ZERO };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = sleep(pause) => {}
            }
        }
    }

    async fn sweep(&self) {
        let now = self.clock.now();
        let mut commit = Commit::new(0);
        commit.extend(self.store.sweep_notices(now - REMEMBERED, now - CALLS_REMEMBERED));
        if let Err(error) = self.store.commit(commit).await {
            tracing::warn!(%error, retry = "later", "old notices stay in the database until the next sweep");
        }
    }

    async fn try_look(&self, row: &NoticeRow) {
        let span = tracing::info_span!(target: SPANS, "alert", kind = row.kind);
        if let Err(error) = self.look(row).instrument(span).await {
            tracing::warn!(
                %error,
                kind = row.kind,
                retry = "later",
                "a notice could not be looked at; it is pending until its next look succeeds"
            );
        }
    }

    async fn look(&self, row: &NoticeRow) -> Result<(), CommitError> {
        let Some(_working) = self.outbound.parts().begin(row.fence.part) else { return Ok(()) };
        let told = told(row)?;
        let kinds = self.kinds.load_full();
        let kind = kinds.of(&row.kind);
        let look = if row.planned { self.follow(row).await? } else { self.plan(row, kind, &told).await? };
        let now = self.clock.now();
        let mut commit = Commit::new(row.fence.part);
        commit.extend(look.writes);
        let fall_back = !row.fell_back && falls_back(kind, look.verdict.state, now >= row.deadline);
        let is_news = look.verdict != row.verdict && look.verdict.state.is_final();
        let verdict = look.verdict.clone();
        for (event, wanted) in [("delivery", is_news), ("fallback", fall_back)] {
            if wanted {
                let account = look.account.as_ref();
                commit.extend(self.event(event, row, account, &told.customer, &look.verdict)?);
            }
        }
        commit.push(self.store.looked_at(
            row,
            &Looked {
                next: next_look(row, &look.verdict, now),
                fell_back: row.fell_back || fall_back,
                changed: if look.verdict == row.verdict { row.changed } else { now },
                verdict: look.verdict,
            },
        ));
        match self.store.commit(commit).await {
            Ok(()) => {
                look.wake.iter().for_each(|part| self.outbound.wake(*part));
                if is_news || fall_back {
                    self.outbound.wake(row.fence.part);
                }
                if verdict != row.verdict {
                    tell(row, &verdict);
                }
                Ok(())
            }
            // Poked or taken over meanwhile: the next look sees it.
            Err(CommitError::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The first look: whom to tell, and why not the others.
    async fn plan(&self, row: &NoticeRow, kind: &Kind, told: &Told) -> Result<Look, StoreError> {
        let mut look = Look { verdict: nobody(), account: None, writes: vec![], wake: vec![] };
        let mut verdicts = Vec::new();
        for (account_id, follower, binding) in self.store.bindings_of(&told.customer).await? {
            let candidate = Candidate {
                account: self.config.account(account_id.as_str()),
                following: self.store.is_following(&account_id, follower).await?,
                alerts: binding.alerts,
            };
            look.account.get_or_insert_with(|| account_id.clone());
            let template = match decide(&row.kind, kind, candidate) {
                Decision::Not(verdict) => {
                    verdicts.push(verdict);
                    continue;
                }
                Decision::Send(template) => template,
            };
            let mut values = told.values.clone();
            if template.fields.contains_key(fields::NOTE) {
                let note = self.note(row, binding.hide_amounts).await?;
                values.extend(note.map(|note| (fields::NOTE.to_owned(), note)));
            }
            let order = TemplateOrder {
                id: self.message_id(row, &account_id, follower),
                customer: told.customer.clone(),
                lane: kind.lane,
                template_id: template.template_id.clone(),
                url: self.page_of(row, &account_id, follower),
                data: fields::data(
                    &template.fields,
                    &values,
                    &kind.defaults,
                    binding.hide_amounts,
                    row.accepted,
                ),
                expires: row.expires,
                cause: Cause::Notice { family: row.family, id: row.notice_id.clone() },
            };
            look.writes.extend(self.outbound.template(&account_id, follower, order)?);
            look.wake.push(follower.part());
            verdicts.push(Verdict::plain(State::Pending));
        }
        look.verdict = overall(verdicts).unwrap_or(look.verdict);
        Ok(look)
    }

    /// Where a tap on the alert leads: the page of its transaction, for this follower only.
    fn page_of(&self, row: &NoticeRow, account: &AccountId, follower: FollowerKey) -> Option<String> {
        let pages = self.pages.as_ref().filter(|_| row.family == Family::Transaction)?;
        let now = self.clock.now();
        Some(pages.link_about(account, follower, crate::identity::Page::Purchase, &row.notice_id, now))
    }

    /// A later look: what its messages say now.
    async fn follow(&self, row: &NoticeRow) -> Result<Look, StoreError> {
        let sent = self.store.sent_of(row.family.name(), &row.notice_id).await?;
        let verdict = verdict_now(row, &sent);
        let best = sent.iter().find(|sent| sent.verdict == verdict).or(sent.first());
        let account = best.map(|sent| sent.account.clone());
        Ok(Look { verdict, account, writes: vec![], wake: vec![] })
    }

    fn event(
        &self,
        event: &str,
        row: &NoticeRow,
        account: Option<&AccountId>,
        customer: &CustomerId,
        verdict: &Verdict,
    ) -> Result<Vec<Write>, StoreError> {
        let reason = match (&verdict.reason, verdict.state) {
            (Some(reason), _) => Some(reason.as_str()),
            (None, State::Pending) => Some("deadline"),
            (None, _) => None,
        };
        let data = json!({
            "id": row.notice_id, "kind": row.kind, "state": verdict.state.name(), "reason": reason,
        });
        self.outbound.event_of(event, account, Some(customer), data)
    }

    /// Names the message to one follower for ever: what is planned twice by any accident is sent once.
    fn message_id(&self, row: &NoticeRow, account: &AccountId, follower: FollowerKey) -> String {
        let parts: [&[u8]; 4] = [
            row.family.name().as_bytes(),
            row.notice_id.as_bytes(),
            account.as_str().as_bytes(),
            follower.as_bytes(),
        ];
        hex::encode(self.store.vault().index("client_msg_id", &parts))
    }
}

/// A new verdict, in the log and on the metrics page.
fn tell(row: &NoticeRow, verdict: &Verdict) {
    let (state, reason) = (verdict.state.name(), verdict.reason.as_deref().unwrap_or_default());
    if verdict.state != State::Pending {
        metrics::counter!("weikefu_alerts_settled_total", "state" => state).increment(1);
    }
    tracing::info!(kind = row.kind, state, reason, "an item of the bank has a new verdict");
}

fn told(row: &NoticeRow) -> Result<Told, StoreError> {
    let bad = || StoreError::Decode { statement: "notice", column: 0 };
    let (customer, values) = match row.family {
        Family::Transaction => {
            let transaction: Transaction = serde_json::from_slice(&row.payload).map_err(|_| bad())?;
            (CustomerId::parse(&transaction.customer_id), fields::of_transaction(&transaction))
        }
        Family::Notice => {
            let notice: Notice = serde_json::from_slice(&row.payload).map_err(|_| bad())?;
            (CustomerId::parse(&notice.customer_id), fields::of_notice(&notice, row.accepted))
        }
    };
    Ok(Told { customer: customer.ok_or_else(bad)?, values })
}

/// When to look again if nothing pokes it: at the deadline, after the end, or once for a receipt.
fn next_look(row: &NoticeRow, verdict: &Verdict, now: UnixMs) -> Option<UnixMs> {
    match verdict.state {
        State::Pending if now < row.deadline => Some(row.deadline),
        State::Pending => Some((row.expires + END_LOOK).max(now + END_LOOK)),
        State::Sent if row.verdict.state != State::Sent => Some(now + RECEIPT_LOOK),
        _ => None,
    }
}
