//! Pushes that are no turn of a conversation: he left, a receipt came, or there is nothing to do.

use zeroize::Zeroizing;

use super::followers::Waiting;
use super::{Answer, Inbound, Stopped, conflict};
use crate::config::Account;
use crate::domain::ids::FollowerKey;
use crate::store::{Claim, Commit, Conflict, PushOutcome, Write};
use crate::wechat::push::{Content, Event, Push, TemplateDelivery};

impl Inbound {
    /// Unfollowing ends the binding and erases what is held about him (WeChat docs, 接收事件推送).
    pub(super) async fn leave(
        &self,
        account: &Account,
        follower: FollowerKey,
        push: &Push,
        turn: Waiting,
    ) -> Result<Answer, Stopped> {
        let store = &self.rooms.store;
        let _place = turn.come().await;
        let _pen = self.followers.pen(&account.id, follower).await;
        for _ in 0..self.limits.attempts_max {
            let mut conversation = store.conversation(&account.id, follower).await?;
            let binding = self.rooms.identity.binding(&account.id, follower).await?;
            let mut commit = Commit::new(follower.part());
            commit.push(self.silent_claim(account, push, follower));
            commit.extend(self.rooms.identity.leave_writes(&account.id, follower).await?);
            let customer = binding.as_ref().map(|binding| &binding.customer);
            let data = serde_json::json!({});
            commit.extend(self.rooms.outbound.event("unfollowed", &account.id, customer, data)?);
            if conversation.version > 0 {
                commit.extend(self.rooms.desk.leave_writes(&mut conversation, customer)?);
                conversation.dialogue = None::<Zeroizing<Vec<u8>>>;
                conversation.say_next = None;
                conversation.open_turns = 0;
                conversation.ledger = crate::domain::window::Ledger::default();
                commit.push(store.save_conversation(conversation)?);
            }
            match conflict(store.commit(commit).await)? {
                None => {
                    self.rooms.outbound.wake(follower.part());
                    self.rooms.desk.notify(&account.id, follower);
                    return Ok(Answer::Nothing);
                }
                Some(Conflict::Duplicate) => return Ok(Answer::Nothing),
                Some(Conflict::Stale | Conflict::Lost) => {}
            }
        }
        Err(Stopped::Contended(self.limits.attempts_max))
    }

    /// Receipts join their notices, consents are counted; everything else is acknowledged and counted.
    pub(super) async fn note(
        &self,
        account: &Account,
        follower: FollowerKey,
        push: &Push,
    ) -> Result<Answer, Stopped> {
        let alerts = &self.rooms.alerts;
        let writes = match &push.content {
            Content::Event(Event::TemplateSendJobFinish { message_id, delivery }) => {
                alerts.receipt_writes(&account.id, message_id, status(delivery))
            }
            Content::Event(Event::SubscriptionPopup { choices } | Event::SubscriptionChange { choices }) => {
                alerts.consent_writes(account, follower, choices)
            }
            Content::Event(Event::SubscriptionSent { results }) => {
                alerts.result_writes(account, follower, results)
            }
            Content::Unknown { .. } | Content::Event(Event::Unknown { .. }) => {
                metrics::counter!("weikefu_inbound_unknown_total").increment(1);
                return Ok(Answer::Nothing);
            }
            _ => return Ok(Answer::Nothing),
        };
        let mut commit = Commit::new(follower.part());
        commit.push(self.silent_claim(account, push, follower));
        commit.extend(writes);
        match conflict(self.rooms.store.commit(commit).await)? {
            None => alerts.wake(),
            Some(Conflict::Duplicate) => {}
            // The notice changed at this moment: the platform delivers a receipt once, so it is joined now.
            Some(Conflict::Stale | Conflict::Lost) => return Err(Stopped::Contended(1)),
        }
        Ok(Answer::Nothing)
    }

    fn silent_claim(
        &self,
        account: &Account,
        push: &Push,
        follower: crate::domain::ids::FollowerKey,
    ) -> Write {
        self.rooms.store.claim_push(&Claim {
            account: &account.id,
            key: &push.key,
            follower,
            turn: 0,
            outcome: PushOutcome::Silent,
            received: self.rooms.clock.now(),
            reply_seq: None,
        })
    }
}

/// The platform's verdict in its own words.
fn status(delivery: &TemplateDelivery) -> &str {
    match delivery {
        TemplateDelivery::Delivered => "success",
        TemplateDelivery::UserBlocked => "failed:user block",
        TemplateDelivery::SystemFailed => "failed: system failed",
        TemplateDelivery::Other(words) => words,
    }
}
