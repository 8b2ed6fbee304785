//! What became of an item, as the bank may ask.

use super::Alerts;
use crate::domain::time::UnixMs;
use crate::domain::verdict::{State, Verdict, overall};
use crate::store::{Family, NoticeRow, PastAttempt, SentRow, StoreError};

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
    /// `accepted`, `tried`, or a state.
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
        let sent = self.store.sent_of(family.name(), id).await?;
        let attempts = self.store.attempts_of(family.name(), id).await?;
        Ok(Some(view(&notice, &sent, &attempts)))
    }
}

/// The verdict now: a final one stays; before that, what its messages say.
pub(super) fn verdict_now(notice: &NoticeRow, sent: &[SentRow]) -> Verdict {
    if notice.verdict.state.is_final() {
        return notice.verdict.clone();
    }
    overall(sent.iter().map(|row| row.verdict.clone())).unwrap_or_else(|| notice.verdict.clone())
}

fn view(notice: &NoticeRow, sent: &[SentRow], attempts: &[PastAttempt]) -> StateView {
    let verdict = verdict_now(notice, sent);
    let mut history = vec![HistoryEntry { at: notice.accepted, what: "accepted", reason: None }];
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
