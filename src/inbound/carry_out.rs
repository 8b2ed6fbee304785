//! Turns an outcome into writes: what is said, by which way, and what else has to happen in the same commit.

use zeroize::Zeroizing;

use super::scene::Loaded;
use super::turn::Turn;
use super::{Answer, Inbound, Stopped};
use crate::config::Account;
use crate::desk::Wanted;
use crate::dialogue::{Effect, Misheard, Outcome, PersonWanted, Say};
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::secret::Personal;
use crate::domain::window::Sender;
use crate::identity::UnbindReason;
use crate::outbound::Cause;
use crate::store::{Channel, Conversation, Direction, Message, PushOutcome, Review, Write};
use crate::wechat::api::CustomMessage;
use crate::wechat::push::ArticlesMax;
use crate::wechat::reply::{Articles, Reply};
use crate::wechat::text::Text;

/// How long a message waits for review: 90 days.
const REVIEW_KEPT: std::time::Duration = std::time::Duration::from_secs(90 * 24 * 3_600);

/// What a settled turn says and writes.
pub(super) struct Said {
    pub(super) answer: Answer,
    pub(super) outcome: PushOutcome,
    pub(super) reply_seq: Option<i64>,
    pub(super) writes: Vec<Write>,
}

impl Inbound {
    /// Carries out an outcome on the conversation as it was read. `owed`: `success` has left already.
    pub(super) async fn carry_out(
        &self,
        turn: &Turn<'_>,
        loaded: &Loaded,
        conversation: &mut Conversation,
        outcome: Outcome,
        owed: bool,
    ) -> Result<Said, Stopped> {
        let Outcome { reply, mut state, effects, service, .. } = outcome;
        let mut writes = Vec::new();
        for effect in effects {
            if let Effect::AwaitBinding { wish } | Effect::AwaitStepUp { wish } = effect {
                state.set_aside(wish);
                continue;
            }
            writes.extend(
                self.effect(turn.question.account, turn.question.follower, loaded, conversation, effect)
                    .await?,
            );
        }
        conversation.dialogue = Some(Zeroizing::new(state.to_json()?));
        if let Some(service) = &service {
            metrics::counter!("weikefu_services_total", "service" => service.clone()).increment(1);
        }
        let shown = turn.push.content.shows_reply();
        let replies = match reply {
            Some(say) if shown => {
                self.with_owed_answer(conversation, reply_within(say, turn.push.content.articles_max()))
            }
            // The agent answers; what he left for this moment is said now.
            None if shown => {
                let left = conversation.say_next.take();
                left.and_then(|text| Text::cut(text.reveal()).ok()).map(Reply::Text).into_iter().collect()
            }
            Some(_) | None => Vec::new(),
        };
        let mut said =
            Said { answer: Answer::Nothing, outcome: PushOutcome::Silent, reply_seq: None, writes };
        if owed {
            said.outcome = PushOutcome::Owed;
        }
        let at = self.rooms.clock.now();
        for (number, reply) in replies.into_iter().enumerate() {
            let passive = number == 0 && !owed;
            let channel = if passive { Channel::Passive } else { Channel::CustomerService };
            let seq = conversation.next_seq();
            said.writes.push(self.rooms.store.append_message(
                conversation,
                &Message {
                    account: turn.question.account.id.clone(),
                    follower: turn.question.follower,
                    seq,
                    direction: Direction::Out,
                    author: "bot".into(),
                    channel,
                    content: Personal::new(reply.to_json()?),
                    at,
                    state: if passive { "replied" } else { "queued" }.into(),
                },
            )?);
            if passive {
                said.outcome = PushOutcome::Replied;
                said.reply_seq = Some(seq);
                said.answer = Answer::Reply { reply, at };
            } else {
                let cause = Cause::Message { seq };
                said.writes.extend(self.say_later(
                    &turn.question.account.id,
                    turn.question.follower,
                    &reply,
                    cause,
                )?);
            }
        }
        Ok(said)
    }

    /// The answer that could not be sent earlier comes first: in the same reply where both fit, else as the reply
    /// itself, and what he asked now follows as a customer-service message (his message has opened the window).
    pub(super) fn with_owed_answer(&self, conversation: &mut Conversation, reply: Reply) -> Vec<Reply> {
        let Some(owed) = conversation.say_next.take() else { return vec![reply] };
        let Ok(owed_text) = Text::cut(owed.reveal()) else { return vec![reply] };
        if let Reply::Text(text) = &reply
            && let Ok(both) = Text::new(&format!("{}\n\n{}", owed_text.reveal(), text.reveal()))
        {
            return vec![Reply::Text(both)];
        }
        vec![Reply::Text(owed_text), reply]
    }

    /// Queues an answer that is owed as a customer-service message.
    pub(super) fn say_later(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        reply: &Reply,
        cause: Cause,
    ) -> Result<Vec<Write>, Stopped> {
        let Some(content) = CustomMessage::from_reply(reply) else { return Ok(Vec::new()) };
        Ok(self.rooms.outbound.customer_service(account, follower, Sender::Owed, &content, cause)?)
    }

    /// What the robot says when nobody waits on an open connection: its entry in the log, and the message. The caller
    /// saves the conversation.
    pub(super) fn follow_up(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        conversation: &mut Conversation,
        reply: &Reply,
    ) -> Result<Vec<Write>, Stopped> {
        let seq = conversation.next_seq();
        let message = Message {
            account: account.clone(),
            follower,
            seq,
            direction: Direction::Out,
            author: "bot".into(),
            channel: Channel::CustomerService,
            content: Personal::new(reply.to_json()?),
            at: self.rooms.clock.now(),
            state: "queued".into(),
        };
        let mut writes = vec![self.rooms.store.append_message(conversation, &message)?];
        writes.extend(self.say_later(account, follower, reply, Cause::Message { seq })?);
        Ok(writes)
    }

    pub(super) async fn effect(
        &self,
        account: &Account,
        follower: FollowerKey,
        loaded: &Loaded,
        conversation: &mut Conversation,
        effect: Effect,
    ) -> Result<Vec<Write>, Stopped> {
        let identity = &self.rooms.identity;
        let id = &account.id;
        let customer = loaded.binding.as_ref().map(|binding| &binding.customer);
        let writes = match (effect, &loaded.binding) {
            (Effect::Escalate(person), _) => {
                self.rooms.desk.escalate(conversation, wanted(&person), customer).await?.writes
            }
            (Effect::CallBack(person), _) => {
                self.rooms.desk.call_back(conversation, wanted(&person), customer).await?
            }
            (Effect::Rate { rating }, _) => self.rooms.desk.rate(id, follower, &rating),
            (Effect::CancelWait, _) => self.rooms.desk.cancel_wait(conversation, customer)?,
            (Effect::Marketing { on }, _) => {
                self.rooms.marketing.choice_writes(id, follower, customer, on)?
            }
            (Effect::Unbind, Some(binding)) => {
                identity.unbind_writes(id, follower, binding, UnbindReason::Customer)?
            }
            (Effect::DefaultCard { card_id }, Some(binding)) => {
                identity.default_card_writes(id, follower, binding, &card_id)?
            }
            (Effect::Cards { cards }, Some(binding)) => {
                identity.cards_writes(id, follower, binding, cards)?
            }
            (Effect::Alerts(change), Some(binding)) => {
                identity.alerts_writes(id, follower, binding, &change)?
            }
            (Effect::Event { kind, data }, _) => {
                self.rooms.outbound.event(kind.name(), id, customer, serde_json::Value::Object(data))?
            }
            (Effect::Owe { owed }, Some(binding)) => {
                self.owe_writes(id, follower, &binding.customer, owed)?
            }
            (Effect::Review(misheard), _) => self.review_writes(id, follower, misheard)?,
            (
                Effect::Owe { .. }
                | Effect::Unbind
                | Effect::DefaultCard { .. }
                | Effect::Cards { .. }
                | Effect::Alerts(_),
                None,
            )
            | (Effect::AwaitBinding { .. } | Effect::AwaitStepUp { .. }, _) => Vec::new(),
        };
        Ok(writes)
    }

    /// Keeps a message for review, and forgets those that waited too long.
    fn review_writes(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        misheard: Misheard,
    ) -> Result<Vec<Write>, Stopped> {
        let store = &self.rooms.store;
        let now = self.rooms.clock.now();
        let review = Review {
            review_id: store.new_id(),
            account: account.clone(),
            kind: misheard.kind.name().to_owned(),
            nearest: misheard.nearest,
            chosen: misheard.chosen,
            said: now,
            text: misheard.text,
        };
        Ok(vec![store.keep_for_review(follower, &review)?, store.sweep_reviews(now - REVIEW_KEPT)])
    }
}

fn wanted(person: &PersonWanted) -> Wanted<'_> {
    let PersonWanted { reason, skill, priority, complaint } = person;
    Wanted { reason, skill, priority: *priority, complaint: complaint.as_ref() }
}

/// A reply within the platform's limits. Cards beyond the limit are left out.
pub(super) fn reply_within(say: Say, articles_max: ArticlesMax) -> Reply {
    match say {
        Say::Text(text) => Text::cut(&text).map_or(Reply::Nothing, Reply::Text),
        Say::News(mut articles) => {
            articles.truncate(articles_max.count());
            Articles::new(articles, articles_max).map_or(Reply::Nothing, Reply::News)
        }
    }
}
