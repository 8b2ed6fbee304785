//! Who a follower is: signed page links, browser sessions that WeChat vouches for, binding, and card applications.
//!
//! A page link is signed for one follower and ages in half an hour. Opening it sends the browser to WeChat, which
//! names the person who holds the phone; only then does a session begin, and only for the follower the link was
//! made for. What is told to the bank or to somebody else about it goes through [`Announce`], in the same commit.

mod application;
mod apply;
mod bind;
mod bindings;
pub mod checks;
pub mod consent;
mod import;
mod pin;
mod progress;
mod purchase;
mod session;
mod spending;
mod step_up;
mod ticket;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use application::{
    Agreed, ApplicationForm, ApplicationStep, Catalogue, Fee, Person, Product, Text, Work,
};
pub use apply::{Application, ApplyFault, Submitted};
pub use bind::{AlertChoice, BindFault, BindForm, BindStage, Bound, Challenge, Verified};
pub use bindings::UnbindReason;
pub use import::{ImportItem, ImportOutcome};
pub use pin::PinWord;
pub use progress::{Progress, ProgressStage};
pub use purchase::LookedAt;
pub use session::{Arrival, Opening, Refusal, Visit};
pub use spending::{Category, Spending, Statement};
pub use step_up::{Changed, StepUpFault, StepUpPage, StepUpStage};

use crate::bank::{Call, Context, Core, CoreError};
use crate::clock;
use crate::config::{Account, Config};
use crate::domain::ids::{AccountId, CustomerId, FollowerKey, Openid};
use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;
use crate::store::{CommitError, Store, StoreError, Write};
use crate::telemetry::trace;

/// How long a page link is good.
pub const LINK_LIFE: Duration = Duration::from_secs(30 * 60);
/// How long the link of an alert is good.
pub const PURCHASE_LINK_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// A session ends when nobody used it for this long.
pub const SESSION_IDLE_MAX: Duration = Duration::from_secs(15 * 60);
/// A session ends this long after it began, used or not.
pub const SESSION_LIFE_MAX: Duration = Duration::from_secs(60 * 60);
/// A journey to WeChat's authorisation page may take this long.
pub const JOURNEY_LIFE: Duration = Duration::from_secs(10 * 60);
/// An unfinished application is erased this long after it was begun.
pub const DRAFT_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Identity checks, and one-time codes sent again, that one follower may start in [`STARTS_WINDOW`].
pub const STARTS_MAX: u32 = 5;
/// See [`STARTS_MAX`].
pub const STARTS_WINDOW: Duration = Duration::from_secs(60 * 60);
/// A commit that met a conflict is decided anew at most this often.
const ATTEMPTS_MAX: u32 = 4;

/// A page that a link can lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Page {
    /// 绑定信用卡; its links are good once.
    Bind,
    /// 申请信用卡
    Apply,
    /// 办卡进度
    ApplyProgress,
    /// 短信验证码或交易密码: what a proof is wanted for is named by the link.
    StepUp,
    /// 这笔交易: which one is named by the link.
    Purchase,
    /// 提醒设置
    Alerts,
    /// 消费分类和账单走势
    Spending,
}

impl Page {
    /// Every page.
    pub const ALL: [Self; 7] = [
        Self::Bind,
        Self::Apply,
        Self::ApplyProgress,
        Self::StepUp,
        Self::Purchase,
        Self::Alerts,
        Self::Spending,
    ];

    /// How long a link to it is good. An alert may be opened days later; WeChat still names who holds the phone.
    #[must_use]
    pub fn link_life(self) -> Duration {
        match self {
            Self::Purchase => PURCHASE_LINK_LIFE,
            _ => LINK_LIFE,
        }
    }

    /// Whether it shows nothing without a link from the chat.
    #[must_use]
    pub fn needs_link(self) -> bool {
        matches!(self, Self::Bind | Self::StepUp | Self::Purchase)
    }

    /// Its name in the address.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Apply => "apply",
            Self::ApplyProgress => "progress",
            Self::StepUp => "step-up",
            Self::Purchase => "purchase",
            Self::Alerts => "alerts",
            Self::Spending => "spending",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|page| page.path() == path)
    }
}

/// What WeChat said about the person who holds the phone.
#[derive(Clone, Debug)]
pub struct WechatUser {
    /// His name towards the account.
    pub openid: Openid,
    /// A virtual user of a snapshot page (快照页): nobody in particular.
    pub snapshot: bool,
}

/// Why WeChat did not say who holds the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeFault {
    /// The code is wrong, used or old.
    #[error("WeChat refused the authorisation code")]
    Refused,
    /// WeChat did not answer.
    #[error("WeChat did not answer the exchange of an authorisation code")]
    Down,
}

/// Exchanges the code of WeChat's authorisation page, once.
pub trait CodeExchange: Send + Sync {
    /// Asks WeChat whose code this is.
    fn exchange<'a>(
        &'a self,
        account: &'a AccountId,
        code: &'a Secret,
    ) -> BoxFuture<'a, Result<WechatUser, ExchangeFault>>;
}

/// Tells others what happened: writes for the commit in which it happens.
pub trait Announce: Send + Sync {
    /// An event to the bank; nothing where the bank wants none.
    ///
    /// # Errors
    /// When sealing fails.
    fn event(
        &self,
        kind: &str,
        account: &AccountId,
        customer: Option<&CustomerId>,
        data: Value,
    ) -> Result<Vec<Write>, StoreError>;

    /// A text to a follower who did not ask for it, if his allowance lets it; nothing otherwise.
    ///
    /// # Errors
    /// When sealing fails.
    fn tell(&self, account: &AccountId, follower: FollowerKey, text: &str) -> Result<Vec<Write>, StoreError>;

    /// A hint that a commit with such writes for this partition stands.
    fn wake(&self, part: u8);
}

/// Answers the question that a binding or a one-time code interrupted.
pub trait Resumer: Send + Sync {
    /// What customers call the service of a scope; `None`: it is no service.
    fn title(&self, _account: &AccountId, _scope: &str) -> Option<String> {
        None
    }

    /// Does what a page asks for as if it had been said in the chat, where it is said too; what is only looked at is
    /// told on the page alone. The wish is as the dialogue writes it down. `None`: the answer is given in the chat.
    fn act<'a>(
        &'a self,
        _account: &'a AccountId,
        _follower: FollowerKey,
        _wish: &'a crate::domain::secret::Personal,
        _place: Place,
    ) -> BoxFuture<'a, Option<PageAnswer>> {
        Box::pin(async { None })
    }

    /// The answer as the chat would give it (a WeChat text), or `None` when it must be given there.
    fn resume<'a>(
        &'a self,
        account: &'a AccountId,
        follower: FollowerKey,
        wish: &'a crate::domain::secret::Personal,
    ) -> BoxFuture<'a, Option<String>>;
}

/// Where an answer to a page is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the page and in the chat: something was done.
    PageAndChat,
    /// On the page alone: something was looked at.
    Page,
}

/// An answer as a page shows it. Kept sealed in the session.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct PageAnswer {
    /// A WeChat text.
    pub text: String,
    /// What can be done next: the words of a button, and what it does as the dialogue writes it down.
    pub choices: Vec<(String, String)>,
}

/// Why the house itself could not do its part.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Others were first again and again.
    #[error("the commit met conflicts {ATTEMPTS_MAX} times in a row")]
    Contended,
    /// What a page left behind no longer reads.
    #[error("the state of a page does not read: {0}")]
    State(#[from] serde_json::Error),
}

/// What went wrong between a page and the bank, to be told truthfully.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoreFault {
    /// The bank says no, with a code of its own and words for the customer.
    Refused {
        /// The operation's code.
        code: String,
        /// The bank's words; may be empty.
        message: String,
        /// Seconds to wait, if the bank names them.
        wait_s: Option<u64>,
        /// Tries left, if the bank names them.
        tries_left: Option<u64>,
    },
    /// The bank's system did not answer, or not as agreed.
    Down {
        /// What the customer can quote.
        reference: String,
    },
}

/// The room. Shared by the pages, the chat and the bank's interface.
pub struct Identity {
    config: Arc<Config>,
    store: Store,
    core: Arc<Core>,
    announce: Arc<dyn Announce>,
    exchange: Arc<dyn CodeExchange>,
}

impl Identity {
    /// Time and randomness are the store's.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        store: Store,
        core: Arc<Core>,
        announce: Arc<dyn Announce>,
        exchange: Arc<dyn CodeExchange>,
    ) -> Self {
        Self { config, store, core, announce, exchange }
    }

    /// The configuration, for pages.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The configured account of an id in an address.
    #[must_use]
    pub fn account(&self, id: &str) -> Option<&Account> {
        self.config.account(id)
    }

    /// An absolute link to a page, signed for one follower, good for half an hour; to binding, good once.
    #[must_use]
    pub fn link(&self, account: &AccountId, follower: FollowerKey, page: Page, now: UnixMs) -> String {
        self.link_about(account, follower, page, "", now)
    }

    /// The same about one thing of the page: a scope, a transaction. At most 255 bytes.
    #[must_use]
    pub fn link_about(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        page: Page,
        about: &str,
        now: UnixMs,
    ) -> String {
        let ticket = ticket::Ticket::new(&self.store, account, follower, page, now + page.link_life());
        format!("{}?t={}", self.address(account, page.path()), ticket.about(about).sign(&self.store))
    }

    /// Erases what has had its time. To be called every few minutes by any instance.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn purge(&self, now: UnixMs) -> Result<(), CommitError> {
        let mut commit = crate::store::Commit::new(0);
        commit.push(self.store.forget_drafts(now - DRAFT_LIFE));
        commit.extend(self.store.forget_pages(
            now,
            now - SESSION_LIFE_MAX,
            now - SESSION_IDLE_MAX,
            now - STARTS_WINDOW,
        ));
        commit.push(self.store.forget_step_ups(now));
        self.store.commit(commit).await
    }

    /// The address of one of the pictures that cards in the chat show.
    #[must_use]
    pub fn picture(&self, name: &str) -> String {
        let base = self.config.server.public_url.as_str().trim_end_matches('/');
        format!("{base}/h5/assets/{name}.png")
    }

    fn address(&self, account: &AccountId, path: &str) -> String {
        let base = self.config.server.public_url.as_str().trim_end_matches('/');
        format!("{base}/h5/{account}/{path}")
    }

    /// The present moment, as every page of one answer sees it.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        self.store.clock().now()
    }

    /// One call to the bank in the name of whoever has this page open.
    async fn ask(&self, visit: &Visit, operation: &str, question: Question) -> Result<Value, CoreFault> {
        let call = Call {
            customer_id: question.customer,
            params: question.params,
            idempotency_key: Some(question.key),
            context: Context {
                trace_id: None,
                account: Some(visit.account().to_string()),
                guard: Some("none".to_owned()),
                verified_at: None,
                client_ip: question.client_ip,
            },
        };
        self.core.call(operation, call).await.map_err(|error| match error {
            CoreError::Refused { code, message, details, .. } => CoreFault::Refused {
                code,
                message,
                wait_s: details["wait_s"].as_u64(),
                tries_left: details["tries_left"].as_u64(),
            },
            other => {
                let retry = other.retry().name();
                tracing::warn!(operation, retry, error = %other, "a page cannot go on; its visitor was told to come again");
                CoreFault::Down { reference: self.reference() }
            }
        })
    }

    /// The number by which the bank's staff finds what went wrong: the end of the present trace.
    fn reference(&self) -> String {
        let trace = trace::current_id()
            .unwrap_or_else(|| clock::new_trace(self.store.clock().as_ref(), self.store.random().as_ref()));
        trace.reference()
    }

    /// An idempotency key that says nothing about what it was made of.
    fn call_key(&self, purpose: &str, parts: &[&[u8]]) -> String {
        hex::encode(self.store.vault().index(purpose, parts))
    }
}

struct Question {
    customer: Option<CustomerId>,
    params: Value,
    key: String,
    client_ip: Option<String>,
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests;
