//! What a binding or a one-time code interrupted goes on: shown on the page that ended it, and said in the chat.

use std::time::Duration;

use futures::future::BoxFuture;
use zeroize::Zeroizing;

use super::carry_out::reply_within;
use super::decide::Question;
use super::{Inbound, Stopped, conflict};
use crate::config::Account;
use crate::dialogue::{Effect, OnPage, Said, Wish};
use crate::domain::conversation::Stage;
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::secret::Personal;
use crate::domain::time::UnixMs;
use crate::identity::{PageAnswer, Place, Resumer};
use crate::outbound::Cause;
use crate::store::{Channel, Commit, Conflict, Direction, Known, Message, Resume};
use crate::telemetry::trace;
use crate::wechat::push::ArticlesMax;
use crate::wechat::reply::Reply;

/// Tries before a wish is given up; the customer can always ask again.
const TRIES_MAX: i64 = 5;
/// A page waits for its answer itself; the worker steps in only when it did not come to that.
const PAGE_FIRST: Duration = Duration::from_secs(5);
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
    /// Gives what was said. `None`: somebody else is at it, or it was given up.
    async fn go_on_wish(&self, resume: &Resume) -> Result<Option<Gone>, Stopped> {
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
            let step_up = store.step_up(&resume.account, resume.follower).await?;
            let loaded = self.load(Known { seen: None, met: true, conversation, binding, step_up }).await?;
            let outcome = self.decide_all(&mut question, &loaded).await;
            let mut conversation = loaded.conversation.clone();
            let mut state = outcome.state;
            state.forget_wish();
            let mut commit = Commit::new(resume.follower.part());
            commit.push(store.end_resume(&resume.resume_id));
            for effect in outcome.effects {
                if let Effect::AwaitBinding { wish } | Effect::AwaitStepUp { wish } = effect {
                    state.set_aside(wish);
                    continue;
                }
                let writes = self.effect(account, resume.follower, &loaded, &mut conversation, effect);
                commit.extend(writes.await?);
            }
            conversation.dialogue = Some(Zeroizing::new(state.to_json()?));
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
                    return Ok(Some(Gone { text, page: outcome.page }));
                }
                Some(Conflict::Stale) => {}
                Some(Conflict::Lost | Conflict::Duplicate) => return Ok(None),
            }
        }
        Err(Stopped::Contended(self.limits.attempts_max))
    }

    async fn give_up(&self, resume: &Resume) -> Result<Option<Gone>, Stopped> {
        let end = self.rooms.store.end_resume(&resume.resume_id);
        conflict(self.rooms.store.commit(Commit::new(resume.follower.part()).with(end)).await)?;
        Ok(None)
    }

    async fn resume_now(&self, account: &Account, follower: FollowerKey) -> Result<Option<Gone>, Stopped> {
        for resume in self.rooms.store.resumes_of(&account.id, follower).await? {
            if let Some(gone) = self.go_on_wish(&resume).await? {
                return Ok(Some(gone));
            }
        }
        Ok(None)
    }

    /// Does what a page asks for, kept first, so that it survives the browser and this process.
    async fn act_now(
        &self,
        account: &Account,
        follower: FollowerKey,
        wish: &Personal,
    ) -> Result<Option<OnPage>, Stopped> {
        let due = self.rooms.clock.now() + PAGE_FIRST;
        let write = self.rooms.store.insert_resume(&account.id, follower, wish, due)?;
        conflict(self.rooms.store.commit(Commit::new(follower.part()).with(write)).await)?;
        let gone = self.resume_now(account, follower).await?;
        self.rooms.desk.notify(&account.id, follower);
        Ok(gone.map(|gone| gone.page))
    }

    /// Looks something up for a page. The conversation stays as it is.
    async fn look_now(
        &self,
        account: &Account,
        follower: FollowerKey,
        wish: &Personal,
    ) -> Result<Option<OnPage>, Stopped> {
        let store = &self.rooms.store;
        let said = Said::Resumed { wish: serde_json::from_str(wish.reveal())? };
        let root = format!("page:{}", store.new_id());
        let mut question = Question::new(account, follower, said, self.present_trace().to_string(), root);
        let mut conversation = store.conversation(&account.id, follower).await?;
        // Nothing is said in the chat, so it does not matter who owns that.
        conversation.stage = Stage::Bot;
        let binding = self.rooms.identity.binding(&account.id, follower).await?;
        let step_up = store.step_up(&account.id, follower).await?;
        let loaded = self.load(Known { seen: None, met: true, conversation, binding, step_up }).await?;
        Ok(Some(self.decide_all(&mut question, &loaded).await.page))
    }
}

impl Resumer for Inbound {
    fn title(&self, account: &AccountId, scope: &str) -> Option<String> {
        self.robot(account).catalogue().get(scope).map(|service| service.label().to_owned())
    }

    fn act<'a>(
        &'a self,
        account: &'a AccountId,
        follower: FollowerKey,
        wish: &'a Personal,
        place: Place,
    ) -> BoxFuture<'a, Option<PageAnswer>> {
        Box::pin(async move {
            let account = self.rooms.config.account(account.as_str())?;
            let answer = match place {
                Place::PageAndChat => self.act_now(account, follower, wish).await,
                Place::Page => self.look_now(account, follower, wish).await,
            };
            match answer {
                Ok(page) => page.filter(|page| !page.text.is_empty()).map(page_answer),
                Err(error) => {
                    tracing::warn!(account = %account.id, %follower, %error, retry = "later", "what a page asked for goes on in the chat");
                    None
                }
            }
        })
    }

    fn resume<'a>(
        &'a self,
        account: &'a AccountId,
        follower: FollowerKey,
        _wish: &'a Personal,
    ) -> BoxFuture<'a, Option<String>> {
        Box::pin(async move {
            let account = self.rooms.config.account(account.as_str())?;
            match self.resume_now(account, follower).await {
                Ok(gone) => gone.and_then(|gone| gone.text),
                Err(error) => {
                    tracing::warn!(account = %account.id, %follower, %error, retry = "later", "what a binding interrupted goes on later");
                    None
                }
            }
        })
    }
}

/// What was said at the end of a wish.
struct Gone {
    /// In the chat; `None`: nothing.
    text: Option<String>,
    page: OnPage,
}

fn page_answer(page: OnPage) -> PageAnswer {
    let choice = |(label, wish): (String, Wish)| Some((label, serde_json::to_string(&wish).ok()?));
    PageAnswer { text: page.text, choices: page.choices.into_iter().filter_map(choice).collect() }
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
