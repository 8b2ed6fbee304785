//! Changes at the core that a customer was promised while the core did not answer: tried until they are done, then
//! told.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Inbound, Stopped, conflict};
use crate::bank::{Call, Context};
use crate::dialogue::{Effect, Later, Owed};
use crate::domain::ids::{AccountId, CustomerId, FollowerKey};
use crate::domain::secret::Personal;
use crate::store::{Channel, Commit, Conflict, Direction, Message, OwedCall, Write};
use crate::telemetry::trace;
use crate::wechat::reply::Reply;
use crate::wechat::text::Text;

/// The first try comes this soon; each further one waits twice as long.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Longest wait between two tries.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);
/// Past it nobody tries any more: an agent has had the case for long.
const KEEP_FOR: Duration = Duration::from_secs(24 * 3600);

/// What is kept of an owed change.
#[derive(Serialize, Deserialize)]
struct Request {
    customer: String,
    owed: Owed,
}

impl Inbound {
    /// The write that keeps an owed change.
    pub(super) fn owe_writes(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        customer: &CustomerId,
        owed: Owed,
    ) -> Result<Vec<Write>, Stopped> {
        let now = self.rooms.clock.now();
        let request = Request { customer: customer.reveal().to_owned(), owed };
        let call = OwedCall {
            call_id: self.rooms.store.new_id(),
            account: account.clone(),
            follower,
            expires: now + KEEP_FOR,
            tries: 0,
            request: Zeroizing::new(serde_json::to_vec(&request)?),
        };
        Ok(vec![self.rooms.store.owe_call(&call, now + RETRY_AFTER)?])
    }

    /// Tries an owed change once more.
    pub(super) async fn try_owed_call(&self, call: &OwedCall) {
        let attempt = async {
            if let Err(error) = self.settle_owed_call(call).await {
                tracing::warn!(
                    account = %call.account, follower = %call.follower, %error, retry = "later",
                    "an owed change at the core could not be tried"
                );
            }
        };
        trace::carry(self.new_trace(), attempt).await;
    }

    async fn settle_owed_call(&self, call: &OwedCall) -> Result<(), Stopped> {
        let store = &self.rooms.store;
        let wait = RETRY_AFTER.saturating_mul(1 << call.tries.clamp(0, 10)).min(RETRY_AFTER_MAX);
        let until = self.rooms.clock.now() + wait;
        let claim = Commit::new(call.follower.part()).with(store.delay_owed_call(call, until));
        if conflict(store.commit(claim).await)?.is_some() {
            return Ok(());
        }
        let Request { customer, owed } = serde_json::from_slice(&call.request)?;
        let Some(customer) = CustomerId::parse(&customer) else {
            return self.give_up_owed(call, &owed).await;
        };
        if self.rooms.clock.now() >= call.expires {
            return self.give_up_owed(call, &owed).await;
        }
        let asked = Call {
            customer_id: Some(customer.clone()),
            params: Value::Object(owed.params.clone()),
            idempotency_key: Some(call.call_id.clone()),
            context: Context {
                trace_id: Some(self.present_trace().to_string()),
                account: Some(call.account.to_string()),
                guard: Some("binding".to_owned()),
                verified_at: None,
                client_ip: None,
            },
        };
        match self.rooms.core.call(&owed.operation, asked).await {
            Ok(result) => {
                let later = self.robot(&call.account).later(&owed, &result);
                self.tell_owed(call, &customer, &owed, later).await
            }
            Err(crate::bank::CoreError::Refused { .. }) => self.give_up_owed(call, &owed).await,
            // `bank` has logged it; the next try is due already.
            Err(_) => Ok(()),
        }
    }

    /// It is done: noted, told in the chat and to the bank, in one commit.
    async fn tell_owed(
        &self,
        call: &OwedCall,
        customer: &CustomerId,
        owed: &Owed,
        later: Later,
    ) -> Result<(), Stopped> {
        let store = &self.rooms.store;
        for _ in 0..self.limits.attempts_max {
            let mut conversation = store.conversation(&call.account, call.follower).await?;
            let mut commit = Commit::new(call.follower.part());
            commit.push(store.end_owed_call(&call.call_id));
            let detail = format!("{} {}", owed.service, owed.operation);
            let what = "owed_call_done";
            commit.push(store.audit("system", what, &call.account, Some(call.follower), Some(&detail))?);
            if let Some(Effect::Event { kind, data }) = &later.event {
                let data = Value::Object(data.clone());
                commit.extend(self.rooms.outbound.event(kind.name(), &call.account, Some(customer), data)?);
            }
            if let Some(text) = later.text.as_deref().and_then(|text| Text::cut(text).ok()) {
                let reply = Reply::Text(text);
                commit.extend(self.follow_up(&call.account, call.follower, &mut conversation, &reply)?);
            }
            commit.push(store.save_conversation(conversation)?);
            match conflict(store.commit(commit).await)? {
                None => {
                    self.rooms.outbound.wake(call.follower.part());
                    self.rooms.desk.notify(&call.account, call.follower);
                    return Ok(());
                }
                Some(Conflict::Stale) => {}
                Some(Conflict::Lost | Conflict::Duplicate) => return Ok(()),
            }
        }
        Err(Stopped::Contended(self.limits.attempts_max))
    }

    /// The bank says no, or a day has passed: the agent who has the case is told by the log.
    async fn give_up_owed(&self, call: &OwedCall, owed: &Owed) -> Result<(), Stopped> {
        let store = &self.rooms.store;
        tracing::error!(
            account = %call.account, follower = %call.follower, operation = owed.operation, retry = "never",
            "the core refuses an owed change, or has not answered for a day: see that an agent has done it by hand"
        );
        let mut commit = Commit::new(call.follower.part());
        commit.push(store.end_owed_call(&call.call_id));
        let detail = format!("{} {}", owed.service, owed.operation);
        let what = "owed_call_given_up";
        commit.push(store.audit("system", what, &call.account, Some(call.follower), Some(&detail))?);
        let mut conversation = store.conversation(&call.account, call.follower).await?;
        let seq = conversation.next_seq();
        let content = json!({ "kind": "case", "what": what, "reason": owed.operation });
        commit.push(store.append_message(
            &mut conversation,
            &Message {
                account: call.account.clone(),
                follower: call.follower,
                seq,
                direction: Direction::Out,
                author: "system".into(),
                channel: Channel::Event,
                content: Personal::new(content.to_string()),
                at: self.rooms.clock.now(),
                state: "noted".into(),
            },
        )?);
        commit.push(store.save_conversation(conversation)?);
        conflict(store.commit(commit).await)?;
        Ok(())
    }
}
