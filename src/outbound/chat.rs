//! Customer-service messages: scarce, without an idempotency key, and therefore written down before they are sent.

use tokio::time::Instant;

use super::policy::{Next, Outcome, Try, UNCLEAR, after_chat, cannot_be_sent, unclear_chat};
use super::worker::{Job, alarm, attempt, count_outcome};
use super::{Outbound, sender_of};
use crate::domain::time::UnixMs;
use crate::domain::verdict::{State, Verdict};
use crate::domain::window::{Ledger, Refused, Sender};
use crate::store::{Attempt, Commit, CommitError, Conflict, OutboxRow, Write};
use crate::wechat::api::{CustomMessage, CustomSend};
use crate::wechat::errcode::Class;

/// A conversation that changes under our hands is read again this often.
const STALE_TRIES_MAX: u32 = 8;

/// Whether a message may leave.
enum Booking {
    /// It is written down and paid for.
    Booked,
    /// Something else follows.
    Instead(Next),
}

impl Outbound {
    pub(super) async fn send_chat(&self, job: Job) {
        let row = &job.row;
        let sender = sender_of(row.sender.as_deref());
        let repeated = row.reason.as_deref() == Some(UNCLEAR);
        match self.store.has_intent(&row.outbox_id).await {
            Ok(false) => {}
            // Somebody wrote it down and did not come back: perhaps sent.
            Ok(true) => {
                let lost = Attempt { at: self.clock.now(), duration_ms: 0, outcome: UNCLEAR, errcode: None };
                let next = unclear_chat(sender, repeated, self.clock.now());
                return self.conclude(&job, next, row.attempts + 1, None, lost).await;
            }
            Err(error) => {
                return tracing::warn!(
                    %error,
                    retry = "later",
                    "the database did not say whether a customer-service message was tried before; it waits"
                );
            }
        }
        // An alert speaks of a customer: his binding must still stand.
        if row.address.customer_ix.is_some() && !row.address.is_bound {
            let verdict = Verdict::new(State::Suppressed, "no_binding");
            return self.settle(&job, &verdict, None, row.attempts, vec![]).await;
        }
        match self.book(row, sender, repeated).await {
            Ok(Booking::Booked) => {}
            Ok(Booking::Instead(next)) => return self.instead(&job, next).await,
            Err(error) => {
                return tracing::info!(
                    %error,
                    retry = "later",
                    "the allowance for a customer-service message could not be booked; it waits"
                );
            }
        }
        let (began, at) = (Instant::now(), self.clock.now());
        let outcome = match self.say(row).await {
            Ok(outcome) => outcome,
            Err(verdict) => return self.settle(&job, &verdict, None, row.attempts, vec![]).await,
        };
        let attempt = attempt(at, began, &outcome);
        count_outcome(row, &outcome);
        alarm(row, &outcome);
        if let Outcome::Refused { class: class @ (Class::WindowClosed | Class::AllowanceUsed), .. } = outcome
        {
            self.believe_wechat(row, class).await;
        }
        let this = Try { number: row.attempts + 1, now: self.clock.now(), jitter: self.jitter() };
        let next = after_chat(&outcome, sender, repeated, this);
        self.conclude(&job, next, this.number, None, attempt).await;
    }

    /// Writes the intent alone and books the allowance, in one commit. A try after a clear failure was paid before;
    /// one after an unclear one pays again, because WeChat may have counted both.
    async fn book(&self, row: &OutboxRow, sender: Sender, repeated: bool) -> Result<Booking, CommitError> {
        let (Some(account), Some(follower)) = (&row.account, row.follower) else {
            return Ok(Booking::Instead(Next::Settle(Verdict::new(State::Failed, "no_address"))));
        };
        for _ in 0..STALE_TRIES_MAX {
            let conversation = self.store.conversation(account, follower).await?;
            let involved = conversation.stage.person_involved();
            let mut commit = Commit::new(row.fence.part);
            commit.push(self.store.add_intent(&row.outbox_id, &row.fence, &[]));
            let now = self.clock.now();
            if row.attempts > 0 && !repeated {
                if !is_window_open(conversation.ledger, now) {
                    return Ok(Booking::Instead(cannot_be_sent(sender, "window_closed")));
                }
            } else {
                match conversation.ledger.draw(sender, involved, now) {
                    Ok(draw) => commit.push(self.store.spend_allowance(&conversation, draw)?),
                    Err(Refused::Kept) => {
                        return Ok(Booking::Instead(cannot_be_sent(sender, "allowance_kept")));
                    }
                    Err(Refused::Closed) => {
                        let is_spent = is_window_open(conversation.ledger, now);
                        let reason = if is_spent { "allowance_used" } else { "window_closed" };
                        return Ok(Booking::Instead(cannot_be_sent(sender, reason)));
                    }
                }
            }
            match self.store.commit(commit).await {
                Ok(()) => return Ok(Booking::Booked),
                Err(CommitError::Conflict(Conflict::Stale)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(CommitError::Conflict(Conflict::Stale))
    }

    /// Ends a row that was not tried at all.
    async fn instead(&self, job: &Job, next: Next) {
        match next {
            Next::Keep { reason } => self.say_next(job, &reason, job.row.attempts, vec![]).await,
            Next::Settle(verdict) => self.settle(job, &verdict, None, job.row.attempts, vec![]).await,
            Next::Again { .. } | Next::Pause { .. } => {}
        }
    }

    /// Sends it; a verdict where it cannot even be addressed.
    async fn say(&self, row: &OutboxRow) -> Result<Outcome, Verdict> {
        let failed = |reason: &str| Verdict::new(State::Failed, reason);
        let (Some(account), Some(follower)) = (&row.account, row.follower) else {
            return Err(failed("no_address"));
        };
        let to = match self.store.openid(account, follower).await {
            Ok(Some(to)) => to,
            Ok(None) => return Err(Verdict::new(State::Unreachable, "unknown_follower")),
            Err(_) => return Ok(Outcome::NotSent),
        };
        let Some(api) = self.apis.get(account) else { return Err(failed("account_not_configured")) };
        let Ok(message) = CustomMessage::from_json(&row.payload) else { return Err(failed("unreadable")) };
        let send = CustomSend { to: &to, message: &message, agent: None, is_generated: false };
        Ok(Outcome::of(api.custom_send(send).await.map(|()| None)))
    }

    /// WeChat says that nothing is left: our ledger says so too, until the follower acts again. A conversation that
    /// changed meanwhile has perhaps a new window; then nothing is written.
    async fn believe_wechat(&self, row: &OutboxRow, class: Class) {
        let (Some(account), Some(follower)) = (&row.account, row.follower) else { return };
        let Ok(mut conversation) = self.store.conversation(account, follower).await else { return };
        match class {
            Class::WindowClosed => conversation.ledger.close(self.clock.now()),
            _ => conversation.ledger.use_up(),
        }
        let Ok(save) = self.store.save_conversation(conversation) else { return };
        if let Err(error) = self.store.commit(Commit::new(row.fence.part).with(save)).await {
            tracing::debug!(%error, "WeChat says that the allowance is used, and that could not be noted; its next answer says so again");
        }
    }

    /// Makes an owed answer the first thing said when the follower comes back, and ends the row.
    pub(super) async fn say_next(&self, job: &Job, reason: &str, attempts: i64, writes: Vec<Write>) {
        let row = &job.row;
        let failed = Verdict::new(State::Failed, reason);
        let text = CustomMessage::from_json(&row.payload).ok().as_ref().and_then(text_of);
        let (Some(account), Some(follower), Some(text)) = (&row.account, row.follower, text) else {
            return self.settle(job, &failed, None, attempts, writes).await;
        };
        for _ in 0..STALE_TRIES_MAX {
            let Ok(mut conversation) = self.store.conversation(account, follower).await else { return };
            conversation.keep_for_next(&text);
            let Ok(save) = self.store.save_conversation(conversation) else { return };
            let mut commit = Commit::new(row.fence.part).with(save);
            commit.extend(writes.clone());
            commit.push(self.store.settle_outbox(row, &failed, None, attempts));
            commit.push(self.store.end_intent(&row.outbox_id));
            if let Some(seq) = row.log_seq {
                commit.push(self.store.set_message_state(account, follower, seq, "said_next"));
            }
            match self.store.commit(commit).await {
                Err(CommitError::Conflict(Conflict::Stale)) => {}
                Ok(()) => return,
                Err(error) => {
                    return tracing::info!(%error, retry = "later", "an owed answer could not be kept for later; it waits");
                }
            }
        }
    }

    /// The state of the entry in the log, once its message is settled: whoever wrote it reads there why it did not arrive.
    pub(super) fn settled_message(&self, row: &OutboxRow, verdict: &Verdict) -> Option<Write> {
        let state = match (verdict.state, verdict.reason.as_deref()) {
            (State::Sent, _) => "sent",
            (_, Some(UNCLEAR)) => "unclear",
            (_, Some("window_closed")) => "window_closed",
            (_, Some("allowance_used" | "allowance_kept")) => "allowance_used",
            (State::Unreachable, _) => "unreachable",
            _ => "failed",
        };
        Some(self.store.set_message_state(row.account.as_ref()?, row.follower?, row.log_seq?, state))
    }
}

/// Whether WeChat still takes messages that are paid already.
fn is_window_open(mut ledger: Ledger, now: UnixMs) -> bool {
    ledger.message.used = 0;
    ledger.tap.used = 0;
    ledger.left(now) > 0
}

/// What can be said in words.
fn text_of(message: &CustomMessage) -> Option<String> {
    match message {
        CustomMessage::Text(text) => Some(text.reveal().to_owned()),
        CustomMessage::News(article) => {
            Some(crate::wechat::text::link(article.url.reveal(), article.title.reveal()))
        }
        CustomMessage::Menu { head, items, tail } => {
            let items = items.iter().map(|item| item.content.as_str());
            let lines = head.as_deref().into_iter().chain(items).chain(tail.as_deref());
            Some(lines.collect::<Vec<_>>().join("\n"))
        }
        _ => None,
    }
}
