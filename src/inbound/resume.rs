//! What a binding interrupted goes on: shown on the page that ended it, and said in the chat.

use std::time::Duration;

use futures::future::BoxFuture;
use zeroize::Zeroizing;

use super::carry_out::reply_within;
use super::decide::Question;
use super::{Inbound, Stopped, conflict};
use crate::config::Account;
use crate::dialogue::{Said, Wish};
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::secret::Personal;
use crate::domain::time::UnixMs;
use crate::identity::Resumer;
use crate::outbound::Cause;
use crate::store::{Channel, Commit, Conflict, Direction, Known, Message, Resume};
use crate::telemetry::trace;
use crate::wechat::push::ArticlesMax;
use crate::wechat::reply::Reply;

/// Tries before a wish is given up; the customer can always ask again.
const TRIES_MAX: i64 = 5;
/// Pause after a try; it also keeps other instances away while one is at it.
const RETRY_AFTER: Duration = Duration::from_secs(20);

impl Inbound {
    /// Goes on with a wish that nobody has finished.
    pub(super) async fn resume_due(&self, resume: &Resume) {
        let go_on = async {
            if let Err(error) = self.go_on_wish(resume).await {
                tracing::warn!(
                    account = %resume.account, follower = %resume.follower, %error, retry = "later",
                    "what a binding interrupted could not go on; it is tried {TRIES_MAX} times"
                );
            }
        };
        trace::carry(self.new_trace(), go_on).await;
    }

    /// Answers one wish: in the log, in the chat if the allowance lets it, else as the first thing said next.
    /// Gives the text. `None`: somebody else is at it, or it was given up.
    async fn go_on_wish(&self, resume: &Resume) -> Result<Option<String>, Stopped> {
        let store = &self.rooms.store;
        let Some(account) = self.rooms.config.account(resume.account.as_str()) else { return Ok(None) };
        let until = self.rooms.clock.now() + RETRY_AFTER;
        let claim = Commit::new(resume.follower.part()).with(store.delay_resume(resume, until));
        if conflict(store.commit(claim).await)?.is_some() {
            return Ok(None);
        }
        let Ok(wish) = serde_json::from_str::<Wish>(resume.wish.reveal()) else {
            return self.give_up(resume).await;
        };
        if resume.tries >= TRIES_MAX {
            return self.give_up(resume).await;
        }
        let said = Said::Resumed { wish };
        let root = format!("resume:{}", resume.resume_id);
        let mut question =
            Question::new(account, resume.follower, said, self.present_trace().to_string(), root);
        let _place = self.followers.turn(&resume.account, resume.follower).come().await;
        for _ in 0..self.limits.attempts_max {
            let conversation = store.conversation(&resume.account, resume.follower).await?;
            let binding = self.rooms.identity.binding(&resume.account, resume.follower).await?;
            let loaded = self.load(Known { seen: None, met: true, conversation, binding }).await?;
            let outcome = self.decide_all(&mut question, &loaded).await;
            let mut conversation = loaded.conversation.clone();
            let mut state = outcome.state;
            state.forget_wish();
            conversation.dialogue = Some(Zeroizing::new(state.to_json()?));
            let mut commit = Commit::new(resume.follower.part());
            commit.push(store.end_resume(&resume.resume_id));
            let mut text = None;
            if let Some(say) = outcome.reply {
                let reply = reply_within(say, ArticlesMax::One);
                if let Reply::Text(said) = &reply {
                    text = Some(said.reveal().to_owned());
                }
                let seq = conversation.next_seq();
                commit.push(store.append_message(
                    &mut conversation,
                    &answer(resume, seq, &reply, self.rooms.clock.now())?,
                )?);
                let cause = Cause::Message { seq };
                commit.extend(self.say_later(&resume.account, resume.follower, &reply, cause)?);
            }
            commit.push(store.save_conversation(conversation)?);
            match conflict(store.commit(commit).await)? {
                None => {
                    self.rooms.outbound.wake(resume.follower.part());
                    return Ok(text);
                }
                Some(Conflict::Stale) => {}
                Some(Conflict::Lost | Conflict::Duplicate) => return Ok(None),
            }
        }
        Err(Stopped::Contended(self.limits.attempts_max))
    }

    async fn give_up(&self, resume: &Resume) -> Result<Option<String>, Stopped> {
        let end = self.rooms.store.end_resume(&resume.resume_id);
        conflict(self.rooms.store.commit(Commit::new(resume.follower.part()).with(end)).await)?;
        Ok(None)
    }

    async fn resume_now(&self, account: &Account, follower: FollowerKey) -> Result<Option<String>, Stopped> {
        for resume in self.rooms.store.resumes_of(&account.id, follower).await? {
            if let Some(text) = self.go_on_wish(&resume).await? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }
}

impl Resumer for Inbound {
    fn resume<'a>(
        &'a self,
        account: &'a AccountId,
        follower: FollowerKey,
        _wish: &'a Personal,
    ) -> BoxFuture<'a, Option<String>> {
        Box::pin(async move {
            let account = self.rooms.config.account(account.as_str())?;
            match self.resume_now(account, follower).await {
                Ok(text) => text,
                Err(error) => {
                    tracing::warn!(account = %account.id, %follower, %error, retry = "later", "what a binding interrupted goes on later");
                    None
                }
            }
        })
    }
}

fn answer(resume: &Resume, seq: i64, reply: &Reply, at: UnixMs) -> Result<Message, Stopped> {
    Ok(Message {
        account: resume.account.clone(),
        follower: resume.follower,
        seq,
        direction: Direction::Out,
        author: "bot".into(),
        channel: Channel::CustomerService,
        content: Personal::new(reply.to_json()?),
        at,
        state: "queued".into(),
    })
}
