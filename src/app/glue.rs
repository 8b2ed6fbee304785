//! Joins between rooms that do not know each other: what one declares and another can do.

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::alerts::Alerts;
use crate::catalogue::{Page, Picture};
use crate::clock::SharedClock;
use crate::config::{Account, Config};
use crate::desk::{self, Adviser, Guess};
use crate::dialogue::{self, DeskStatus, Dialogue, DialogueState, Links, Outcome, Robots, Scene, Step};
use crate::domain::binding::Binding;
use crate::domain::conversation::Stage;
use crate::domain::ids::{AccountId, CustomerId, FollowerKey};
use crate::domain::secret::Secret;
use crate::domain::step_up::Proof;
use crate::domain::time::UnixMs;
use crate::domain::window::Sender;
use crate::identity::{self, ExchangeFault, WechatUser};
use crate::outbound::{Apis, Cause, Outbound};
use crate::store::{Commit, CommitError, Family, Store, StoreError, Write};
use crate::understanding::Decision;
use crate::wechat::api::CustomMessage;
use crate::wechat::errcode::Class;
use crate::wechat::text::Text;
use crate::wechat::token::{ShelfFailed, Token, TokenShelf};

/// The token shelf of all instances: a row of the database, the token sealed.
pub(super) struct Shelf {
    pub(super) store: Store,
    pub(super) app_id: String,
    pub(super) owner: String,
}

fn failed(error: &impl std::fmt::Display) -> ShelfFailed {
    tracing::error!(
        %error,
        retry = "with the next call",
        "the database does not give or keep the shared access token; this process fetches its own meanwhile"
    );
    ShelfFailed
}

impl TokenShelf for Shelf {
    fn load<'a>(&'a self, _: &'a AccountId) -> BoxFuture<'a, Result<Option<Token>, ShelfFailed>> {
        Box::pin(async {
            let found = self.store.access_token(&self.app_id).await.map_err(|error| failed(&error))?;
            Ok(found.map(|(text, expires)| Token { text, expires }))
        })
    }

    fn lease<'a>(
        &'a self,
        _: &'a AccountId,
        owner: &'a str,
        now: UnixMs,
        until: UnixMs,
    ) -> BoxFuture<'a, Result<bool, ShelfFailed>> {
        Box::pin(async move {
            let mut commit = Commit::new(0);
            commit.extend(self.store.lease_access_token(&self.app_id, owner, now, until));
            match self.store.commit(commit).await {
                Ok(()) => Ok(true),
                Err(CommitError::Conflict(_)) => Ok(false),
                Err(CommitError::Store(error)) => Err(failed(&error)),
            }
        })
    }

    fn save<'a>(&'a self, _: &'a AccountId, token: &'a Token) -> BoxFuture<'a, Result<(), ShelfFailed>> {
        Box::pin(async {
            let write = self.store.save_access_token(&self.app_id, &self.owner, &token.text, token.expires);
            let commit = Commit::new(0).with(write.map_err(|error| failed(&error))?);
            match self.store.commit(commit).await {
                // Somebody fetched after us: his token is as good.
                Ok(()) | Err(CommitError::Conflict(_)) => Ok(()),
                Err(CommitError::Store(error)) => Err(failed(&error)),
            }
        })
    }
}

/// What other rooms say to the outside, over `outbound`.
pub(super) struct Voice(pub(super) Arc<Outbound>);

impl identity::Announce for Voice {
    fn event(
        &self,
        kind: &str,
        account: &AccountId,
        customer: Option<&CustomerId>,
        data: Value,
    ) -> Result<Vec<Write>, StoreError> {
        self.0.event(kind, account, customer, data)
    }

    fn tell(&self, account: &AccountId, follower: FollowerKey, text: &str) -> Result<Vec<Write>, StoreError> {
        let Ok(text) = Text::cut(text) else { return Ok(Vec::new()) };
        // No entry of the log: the ledger may refuse it, and then it was never said.
        let cause = Cause::Message { seq: 0 };
        self.0.customer_service(account, follower, Sender::Unasked, &CustomMessage::Text(text), cause)
    }

    fn wake(&self, part: u8) {
        self.0.wake(part);
    }
}

/// Exchanges OAuth codes over the API of the account.
pub(super) struct Exchange(pub(super) Arc<Apis>);

impl identity::CodeExchange for Exchange {
    fn exchange<'a>(
        &'a self,
        account: &'a AccountId,
        code: &'a Secret,
    ) -> BoxFuture<'a, Result<WechatUser, ExchangeFault>> {
        Box::pin(async move {
            let api = self.0.get(account).ok_or(ExchangeFault::Refused)?;
            match api.exchange_code(code.reveal()).await {
                Ok(visitor) => Ok(WechatUser { openid: visitor.openid, snapshot: visitor.is_snapshot }),
                Err(error) if error.class() == Class::RestartOauth => Err(ExchangeFault::Refused),
                Err(_) => Err(ExchangeFault::Down),
            }
        })
    }
}

/// The robots as agents' advisers.
pub(super) struct Advice {
    pub(super) robots: Arc<ArcSwap<Robots>>,
    pub(super) config: Arc<Config>,
    pub(super) clock: SharedClock,
}

/// An agent's words lead nowhere: what needs a link is not offered to him.
struct NoLinks;

impl Links for NoLinks {
    fn picture(&self, _: Picture) -> String {
        String::new()
    }

    fn page(&self, _: Page) -> String {
        String::new()
    }

    fn step_up(&self, _: &str, _: Proof) -> String {
        String::new()
    }
}

impl Adviser for Advice {
    fn service_meant(&self, account: &AccountId, said: &desk::Said<'_>) -> Option<String> {
        let robots = self.robots.load();
        let robot = robots.of(account);
        let id = match said {
            desk::Said::Key(key) => (*key).to_owned(),
            desk::Said::Text(text) => {
                let ranked = robot.understanding().rank(text);
                let sure = ranked.decision == Decision::Answer;
                ranked.candidates.into_iter().next().filter(|_| sure)?.id
            }
        };
        robot.catalogue().get(&id).map(|service| service.label().to_owned())
    }

    fn guesses(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        binding: Option<&Binding>,
        text: &str,
    ) -> Vec<Guess> {
        const GUESSES_MAX: usize = 3;
        let Some(account) = self.config.account(account.as_str()) else { return vec![] };
        let robots = self.robots.load();
        let robot = robots.of(&account.id);
        let ranked = robot.understanding().rank(text);
        // What none of our services means is nothing that the robot could answer: it is not offered to be sent.
        if ranked.decision == Decision::Refuse {
            return vec![];
        }
        let services = ranked.candidates.iter().filter_map(|candidate| robot.catalogue().get(&candidate.id));
        let guesses = services.filter_map(|service| {
            let said = dialogue::Said::Key(service.id().to_owned());
            let reachable = !service.needs_binding() || binding.is_some();
            let text = match self.decided(robot, account, follower, binding, &said) {
                // Whom it sends to a person is with one already.
                Some(outcome) if !outcome.effects.is_empty() => return None,
                Some(outcome) if reachable => Some(without_links(&outcome.page.text)),
                _ => None,
            };
            Some(Guess {
                title: service.label().to_owned(),
                text: text.filter(|text| !text.trim().is_empty()),
            })
        });
        guesses.take(GUESSES_MAX).collect()
    }
}

impl Advice {
    /// What a robot would do, where it need not ask anybody first.
    fn decided(
        &self,
        robot: &Dialogue,
        account: &Account,
        follower: FollowerKey,
        binding: Option<&Binding>,
        said: &dialogue::Said,
    ) -> Option<Outcome> {
        let desk = DeskStatus { open: true, hours: String::new(), waiting: 0, wait_minutes: None };
        let step = robot.decide(&Scene {
            account,
            follower,
            now: self.clock.now(),
            said,
            state: &DialogueState::default(),
            stage: Stage::Bot,
            binding,
            step_up: None,
            desk: &desk,
            links: &NoLinks,
            reference: "",
            masked: false,
            chat_window_open: true,
            silence_ceiling: self.config.alerts.silence_ceiling,
        });
        match step {
            Step::Done(outcome) => Some(outcome),
            Step::Ask(_) => None,
        }
    }
}

/// A text of WeChat's with the words of its links in their places.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    for piece in text.split('<') {
        plain.push_str(match piece.split_once('>') {
            Some((tag, rest)) if tag.starts_with("a ") || tag == "/a" => rest,
            _ => piece,
        });
    }
    plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// Reminds by the notice of a case, as the bank could by itself.
pub(super) struct Reminder {
    pub(super) alerts: Arc<Alerts>,
    pub(super) config: Arc<Config>,
    pub(super) clock: SharedClock,
}

impl desk::Remind for Reminder {
    fn remind<'a>(
        &'a self,
        account: &'a AccountId,
        customer: &'a CustomerId,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Write>, StoreError>> {
        const KIND: &str = "case_update";
        const NEWS: &str = "您的咨询有新回复";
        Box::pin(async move {
            let configured = self.config.account(account.as_str());
            if !configured.is_some_and(|account| account.notices.contains_key(KIND)) {
                return Ok(vec![]);
            }
            let time = self.clock.now().beijing().strftime("%Y-%m-%d %H:%M").to_string();
            let notice = json!({
                "notice_id": id, "customer_id": customer.reveal(), "kind": KIND,
                "fields": { "result": NEWS, "status": NEWS, "item": NEWS, "time": time },
            });
            let intake = self.alerts.intake(Family::Notice, &[notice]).await?;
            for rejected in &intake.taken.rejected {
                tracing::error!(error = rejected.error, "a customer could not be reminded: a fault of ours");
            }
            Ok(intake.writes)
        })
    }

    fn wake(&self) {
        self.alerts.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_offered_words_without_markup() {
        let text = "可以办理：<a href=\"weixin://bizmsgmenu?id=1\">查账单</a>，金额 &lt; 5 元";
        assert_eq!(without_links(text), "可以办理：查账单，金额 < 5 元");
    }
}
