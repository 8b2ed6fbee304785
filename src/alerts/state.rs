//! What became of an item, as the bank may ask.

use super::Alerts;
use super::kinds::DIGEST;
use super::plan::{QUIET_HOURS, steps};
use crate::domain::time::UnixMs;
use crate::domain::verdict::{State, Verdict, overall};
use crate::store::{Family, HeldRow, NoticeRow, PastAttempt, SentRow, StoreError};

/// The state of an item with its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateView {
    /// The verdict on the whole: the best of its followers' (see [`overall`]).
    pub verdict: Verdict,
    /// Tries in all.
    pub attempts: i64,
    /// Whether the bank was told to fall back.
    pub fell_back: bool,
    /// What happened, oldest first.
    pub history: Vec<HistoryEntry>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// When.
    pub at: UnixMs,
    /// `accepted`, `planned` (by which way), `held` (why), `tried`, or a state.
    pub what: &'static str,
    /// How a try ended, or why a state.
    pub reason: Option<String>,
}

impl Alerts {
    /// The state of an item; `None` when its id is not known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn state(&self, family: Family, id: &str) -> Result<Option<StateView>, StoreError> {
        let Some(notice) = self.store.notice(family, id).await? else { return Ok(None) };
        let sent = self.messages_of(&notice).await?;
        let mut attempts = self.store.attempts_of(family.name(), id).await?;
        if notice.was_held() {
            for carrier in self.carriers_of(&notice).await? {
                attempts.extend(self.store.attempts_of(DIGEST, &carrier).await?);
            }
        }
        let verdict = self.verdict_before_the_look(&notice, &sent).await?;
        Ok(Some(view(&notice, verdict, &sent, &attempts)))
    }

    /// The verdict as it is now, also where the planner has not looked since something happened.
    pub(super) async fn verdict_now(&self, notice: &NoticeRow) -> Result<Verdict, StoreError> {
        if notice.verdict.state.is_final() {
            return Ok(notice.verdict.clone());
        }
        let sent = self.messages_of(notice).await?;
        self.verdict_before_the_look(notice, &sent).await
    }

    /// Good news counts at once; bad news is none before the look has seen whether another way is left.
    async fn verdict_before_the_look(
        &self,
        notice: &NoticeRow,
        sent: &[SentRow],
    ) -> Result<Verdict, StoreError> {
        let mut verdicts: Vec<Verdict> = sent.iter().map(|row| row.verdict.clone()).collect();
        if notice.was_held() {
            verdicts.extend(self.held_verdicts(notice).await?);
        }
        let verdict = verdict_of(notice, verdicts);
        let is_open = verdict.state.is_final() && verdict.state != State::Delivered;
        Ok(if is_open { notice.verdict.clone() } else { verdict })
    }

    /// The messages that carry a notice: its own, and those that tell several together.
    async fn messages_of(&self, notice: &NoticeRow) -> Result<Vec<SentRow>, StoreError> {
        let sent = self.store.sent_of(notice.family.name(), &notice.notice_id).await?;
        self.with_carriers(notice, sent).await
    }

    /// The messages of a notice's own with those that tell it together with others.
    pub(super) async fn with_carriers(
        &self,
        notice: &NoticeRow,
        mut sent: Vec<SentRow>,
    ) -> Result<Vec<SentRow>, StoreError> {
        if notice.was_held() {
            for carrier in self.carriers_of(notice).await? {
                sent.extend(self.store.sent_of(DIGEST, &carrier).await?);
            }
        }
        Ok(sent)
    }

    async fn carriers_of(&self, notice: &NoticeRow) -> Result<Vec<String>, StoreError> {
        let held = self.store.held_of(notice.family, &notice.notice_id).await?;
        Ok(held.into_iter().filter_map(|held| held.outbox_id).collect())
    }

    /// The verdicts of those for whom a notice waits, or waited in vain.
    pub(super) async fn held_verdicts(&self, notice: &NoticeRow) -> Result<Vec<Verdict>, StoreError> {
        let held = self.store.held_of(notice.family, &notice.notice_id).await?;
        let waiting = held.into_iter().filter(|held| held.outbox_id.is_none());
        let verdict = |held: HeldRow| match held.verdict.state {
            State::Pending => Verdict::new(State::Pending, QUIET_HOURS),
            _ => held.verdict,
        };
        Ok(waiting.map(verdict).collect())
    }
}

/// The verdict now: a final one stays; before that, what its messages say.
pub(super) fn verdict_of(notice: &NoticeRow, verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    if notice.verdict.state.is_final() {
        return notice.verdict.clone();
    }
    overall(verdicts).unwrap_or_else(|| notice.verdict.clone())
}

fn view(notice: &NoticeRow, verdict: Verdict, sent: &[SentRow], attempts: &[PastAttempt]) -> StateView {
    let mut history = vec![HistoryEntry { at: notice.accepted, what: "accepted", reason: None }];
    let planned = steps(notice.plan.as_deref()).into_iter().filter(|step| State::parse(&step.what).is_none());
    history.extend(planned.map(|step| HistoryEntry {
        at: step.at,
        what: if step.what == "held" { "held" } else { "planned" },
        reason: step.reason.or(Some(step.what)),
    }));
    history.extend(attempts.iter().map(|attempt| HistoryEntry {
        at: attempt.at,
        what: "tried",
        reason: Some(match attempt.errcode {
            Some(code) => format!("{}: errcode {code}", attempt.outcome),
            None => attempt.outcome.clone(),
        }),
    }));
    for row in sent {
        let was_sent =
            row.receipt_at.is_some() && matches!(row.verdict.state, State::Delivered | State::Failed);
        if let Some(at) = row.settled {
            let entry = if was_sent { Verdict::plain(State::Sent) } else { row.verdict.clone() };
            history.push(HistoryEntry { at, what: entry.state.name(), reason: entry.reason });
        }
        if let Some(at) = row.receipt_at.filter(|_| was_sent) {
            // A receipt that came before the send's answer joined it then.
            let at = row.settled.map_or(at, |settled| at.max(settled));
            history.push(HistoryEntry {
                at,
                what: row.verdict.state.name(),
                reason: row.verdict.reason.clone(),
            });
        }
    }
    if sent.is_empty() && verdict.state != State::Pending {
        let reason = verdict.reason.clone();
        history.push(HistoryEntry { at: notice.changed, what: verdict.state.name(), reason });
    }
    history.sort_by_key(|entry| entry.at);
    let attempts = sent.iter().map(|row| row.attempts).sum();
    StateView { verdict, attempts, fell_back: notice.fell_back, history }
}
