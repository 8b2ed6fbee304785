//! From a link to a session: WeChat says who holds the phone, once, and a cookie remembers it for a short while.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::apply::Submitted;
use super::bind::BindStage;
use super::purchase::LookedAt;
use super::step_up::StepUpPage;
use super::ticket::Ticket;
use super::{ExchangeFault, Identity, IdentityError, JOURNEY_LIFE, Page, SESSION_IDLE_MAX, SESSION_LIFE_MAX};
use crate::clock::new_token;
use crate::config::Account;
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;
use crate::store::{Commit, CommitError, Conflict, StoreError, StoredJourney, StoredSession};

/// A session in use is noted this often, not on every click.
const TOUCH_EVERY_MS: i64 = 60_000;
/// Longest authorisation code that is looked at.
const CODE_CHARS_MAX: usize = 512;

/// What opening a page leads to.
pub enum Opening {
    /// The page may be shown.
    Visit(Box<Visit>),
    /// The link did its work for this session: on to the page's plain address.
    Settled,
    /// WeChat must first say who holds the phone.
    Authorize {
        /// Where the browser goes.
        url: String,
        /// The cookie by which this browser is known when it comes back.
        browser: Secret,
    },
    /// Nothing is shown.
    Refused(Refusal),
}

/// What coming back from WeChat leads to.
pub enum Arrival {
    /// A session began.
    Welcome {
        /// Its cookie.
        cookie: Secret,
        /// The page that was wanted.
        page: Page,
    },
    /// Nothing is shown.
    Refused(Refusal),
}

/// Why a page is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The link was not made by us, or for another page or account.
    Link,
    /// The link is older than half an hour.
    LinkExpired,
    /// The link was used.
    LinkUsed,
    /// This page opens only with a link from the chat.
    LinkMissing,
    /// The link was made for another follower.
    NotYours,
    /// The journey to WeChat took too long, or came back twice, or to another browser.
    Journey,
    /// A snapshot page: WeChat names nobody in particular.
    Snapshot,
    /// WeChat did not answer.
    WechatDown,
}

/// What pages remember for a session.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct PageState {
    /// The binding link that this session came with.
    pub(super) link: Option<HeldLink>,
    /// Where the binding stands.
    pub(super) bind: Option<BindStage>,
    /// The application that was just submitted.
    pub(super) submitted: Option<Submitted>,
    /// The one-time code that is wanted.
    pub(super) step_up: Option<StepUpPage>,
    /// The transaction that is looked at.
    pub(super) purchase: Option<LookedAt>,
}

impl PageState {
    /// Notes what a link is about. `false`: that is noted already, or it is about its whole page.
    fn hold(&mut self, ticket: &Ticket) -> bool {
        let about = ticket.about.as_str();
        match ticket.page {
            Page::StepUp => {
                if self.step_up.as_ref().is_some_and(|before| before.goes_on(about, &ticket.nonce)) {
                    return false;
                }
                self.step_up = Some(StepUpPage::new(about, &ticket.nonce));
                true
            }
            Page::Purchase => {
                if self.purchase.as_ref().is_some_and(|before| before.transaction_id == about) {
                    return false;
                }
                self.purchase = Some(LookedAt { transaction_id: about.to_owned(), answer: None });
                true
            }
            Page::Bind | Page::Apply | Page::ApplyProgress | Page::Alerts | Page::Spending => false,
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct HeldLink {
    pub(super) nonce: [u8; 16],
    pub(super) expires: UnixMs,
}

/// A request in a session.
pub struct Visit {
    pub(super) session: StoredSession,
    pub(super) state: PageState,
    csrf: String,
}

impl Visit {
    /// The account whose page it is.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.session.account
    }

    /// Who WeChat says it is.
    #[must_use]
    pub fn follower(&self) -> FollowerKey {
        self.session.follower
    }

    /// The token that each form of this session carries.
    #[must_use]
    pub fn csrf(&self) -> &str {
        &self.csrf
    }

    /// Whether a form carried this session's token.
    #[must_use]
    pub fn csrf_fits(&self, token: &str) -> bool {
        self.csrf.as_bytes().ct_eq(token.as_bytes()).into()
    }
}

pub(super) fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

impl Identity {
    /// Opens a page with the link and the cookies that the browser brought.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open(
        &self,
        account: &Account,
        page: Page,
        link: Option<&str>,
        cookie: Option<&str>,
        browser: Option<&str>,
    ) -> Result<Opening, IdentityError> {
        let now = self.now();
        let ticket = match link.map(|link| self.check_link(account, page, link, now)).transpose() {
            Ok(ticket) => ticket,
            Err(refusal) => return Ok(Opening::Refused(refusal)),
        };
        if let Some(mut visit) = self.visit(&account.id, cookie).await? {
            match &ticket {
                None => return self.open_plainly(page, visit).await,
                Some(ticket) if ticket.follower == visit.follower() => {
                    if let Err(refusal) = self.hold_link(&mut visit, ticket).await? {
                        return Ok(Opening::Refused(refusal));
                    }
                    return Ok(Opening::Settled);
                }
                // Another follower's session in the same browser: WeChat is asked anew.
                Some(_) => {}
            }
        }
        if page.needs_link() && ticket.is_none() {
            return Ok(Opening::Refused(Refusal::LinkMissing));
        }
        self.authorize(account, page, link, browser, now).await
    }

    fn check_link(&self, account: &Account, page: Page, link: &str, now: UnixMs) -> Result<Ticket, Refusal> {
        let ticket = Ticket::read(&self.store, link).ok_or(Refusal::Link)?;
        if ticket.account != account.id || ticket.page != page {
            return Err(Refusal::Link);
        }
        if ticket.expires <= now {
            return Err(Refusal::LinkExpired);
        }
        Ok(ticket)
    }

    async fn open_plainly(&self, page: Page, visit: Visit) -> Result<Opening, IdentityError> {
        let is_known = match page {
            Page::Bind => matches!(visit.state.bind, Some(BindStage::Done(_))),
            Page::StepUp => visit.state.step_up.is_some(),
            Page::Purchase => visit.state.purchase.is_some(),
            Page::Apply | Page::ApplyProgress | Page::Alerts | Page::Spending => true,
        };
        if is_known {
            return Ok(Opening::Visit(Box::new(visit)));
        }
        if page != Page::Bind {
            return Ok(Opening::Refused(Refusal::LinkMissing));
        }
        let Some(link) = &visit.state.link else { return Ok(Opening::Refused(Refusal::LinkMissing)) };
        if self.store.ticket_is_used(&link.nonce).await? {
            return Ok(Opening::Refused(Refusal::LinkUsed));
        }
        Ok(Opening::Visit(Box::new(visit)))
    }

    /// Notes in the session what a link is for; what an older link began is dropped.
    async fn hold_link(
        &self,
        visit: &mut Visit,
        ticket: &Ticket,
    ) -> Result<Result<(), Refusal>, IdentityError> {
        if visit.state.hold(ticket) {
            self.save_visit(visit).await?;
        }
        let held = visit.state.link.as_ref().is_some_and(|link| link.nonce == ticket.nonce);
        if ticket.page != Page::Bind || held {
            return Ok(Ok(()));
        }
        if self.store.ticket_is_used(&ticket.nonce).await? {
            return Ok(Err(Refusal::LinkUsed));
        }
        visit.state.link = Some(HeldLink { nonce: ticket.nonce, expires: ticket.expires });
        visit.state.bind = None;
        self.save_visit(visit).await?;
        Ok(Ok(()))
    }

    async fn authorize(
        &self,
        account: &Account,
        page: Page,
        link: Option<&str>,
        browser: Option<&str>,
        now: UnixMs,
    ) -> Result<Opening, IdentityError> {
        let random = self.store.random().as_ref();
        let state = new_token(random);
        let browser =
            browser.filter(|token| is_token(token)).map_or_else(|| new_token(random), str::to_owned);
        let journey = StoredJourney {
            account: account.id.clone(),
            browser_hash: hash(&browser),
            page: page.path().to_owned(),
            link: link.map(|link| Secret::new(link.to_owned())),
            expires: now + JOURNEY_LIFE,
        };
        let lane = hash(&state)[0];
        let commit = Commit::new(lane).with(self.store.begin_journey(&hash(&state), &journey)?);
        self.commit_or_store_error(commit).await?;
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let url = format!(
            "{}/connect/oauth2/authorize?appid={}&redirect_uri={}&response_type=code&scope=snsapi_base&state={state}\
             #wechat_redirect",
            account.oauth_base_url.as_str().trim_end_matches('/'),
            encode(&account.app_id),
            encode(&self.address(&account.id, "callback")),
        );
        Ok(Opening::Authorize { url, browser: Secret::new(browser) })
    }

    /// Ends the journey to WeChat: exchanges the code, once, and begins a session for whom WeChat names.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn come_back(
        &self,
        account: &Account,
        code: &Secret,
        state: &str,
        browser: Option<&str>,
    ) -> Result<Arrival, IdentityError> {
        let now = self.now();
        let refused = |refusal| Ok(Arrival::Refused(refusal));
        let state_hash = hash(state);
        let Some(journey) = self.store.journey(&state_hash).await? else { return refused(Refusal::Journey) };
        let same_browser = browser.is_some_and(|token| bool::from(hash(token).ct_eq(&journey.browser_hash)));
        if journey.account != account.id || journey.expires <= now || !same_browser || !is_code(code) {
            return refused(Refusal::Journey);
        }
        let Some(page) = Page::parse(&journey.page) else { return refused(Refusal::Journey) };
        match self.store.commit(Commit::new(state_hash[0]).with(self.store.end_journey(&state_hash))).await {
            Ok(()) => {}
            Err(CommitError::Conflict(_)) => return refused(Refusal::Journey),
            Err(CommitError::Store(error)) => return Err(error.into()),
        }
        let user = match self.exchange.exchange(&account.id, code).await {
            Ok(user) if user.snapshot => return refused(Refusal::Snapshot),
            Ok(user) => user,
            Err(ExchangeFault::Refused) => return refused(Refusal::Journey),
            Err(ExchangeFault::Down) => return refused(Refusal::WechatDown),
        };
        let follower = self.store.follower_key(&account.app_id, &user.openid);
        let link = match &journey.link {
            None => None,
            Some(link) => match self.check_link(account, page, link.reveal(), now) {
                Err(refusal) => return refused(refusal),
                Ok(ticket) if ticket.follower != follower => return refused(Refusal::NotYours),
                Ok(ticket) => Some(ticket),
            },
        };
        let mut state = PageState::default();
        if let Some(ticket) = &link {
            state.hold(ticket);
        }
        if let Some(ticket) = link.filter(|ticket| ticket.page == Page::Bind) {
            if self.store.ticket_is_used(&ticket.nonce).await? {
                return refused(Refusal::LinkUsed);
            }
            state.link = Some(HeldLink { nonce: ticket.nonce, expires: ticket.expires });
        }
        let cookie = self.begin_session(account.id.clone(), follower, &state, now).await?;
        Ok(Arrival::Welcome { cookie, page })
    }

    async fn begin_session(
        &self,
        account: AccountId,
        follower: FollowerKey,
        state: &PageState,
        now: UnixMs,
    ) -> Result<Secret, IdentityError> {
        let cookie = Secret::new(new_token(self.store.random().as_ref()));
        let session = StoredSession {
            cookie_hash: hash(cookie.reveal()),
            account,
            follower,
            version: 0,
            state: Zeroizing::new(serde_json::to_vec(state)?),
            created: now,
            seen: now,
        };
        let commit = Commit::new(follower.part()).with(self.store.create_session(&session)?);
        self.commit_or_store_error(commit).await?;
        Ok(cookie)
    }

    /// The session of a cookie, if it is one of this account and still good.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn visit(
        &self,
        account: &AccountId,
        cookie: Option<&str>,
    ) -> Result<Option<Visit>, IdentityError> {
        let Some(cookie) = cookie.filter(|cookie| is_token(cookie)) else { return Ok(None) };
        let now = self.now();
        let Some(session) = self.store.session(&hash(cookie)).await? else { return Ok(None) };
        let over = session.seen + SESSION_IDLE_MAX <= now || session.created + SESSION_LIFE_MAX <= now;
        if session.account != *account || over {
            return Ok(None);
        }
        if now.0.saturating_sub(session.seen.0) >= TOUCH_EVERY_MS {
            let touch = self.store.touch_session(&session.cookie_hash, now);
            self.commit_or_store_error(Commit::new(session.follower.part()).with(touch)).await?;
        }
        // What an older version wrote and this one does not read is no session.
        Ok(self.read_visit(session).ok())
    }

    fn read_visit(&self, session: StoredSession) -> Result<Visit, IdentityError> {
        let csrf = hex::encode(self.store.vault().keyed_hash("h5.csrf", &[&session.cookie_hash]));
        let state = serde_json::from_slice(&session.state)?;
        Ok(Visit { session, state, csrf })
    }

    /// Reads a session again after somebody else changed it; `None` when it ended.
    pub(super) async fn read_again(&self, visit: &mut Visit) -> Result<bool, IdentityError> {
        let Some(session) = self.store.session(&visit.session.cookie_hash).await? else { return Ok(false) };
        *visit = self.read_visit(session)?;
        Ok(true)
    }

    /// The write that saves what the page remembers.
    pub(super) fn visit_write(&self, visit: &mut Visit) -> Result<crate::store::Write, IdentityError> {
        visit.session.state = Zeroizing::new(serde_json::to_vec(&visit.state)?);
        Ok(self.store.save_session(&visit.session, self.now())?)
    }

    /// Saves what the page remembers, alone. [`IdentityError::Contended`] when the same session did something else.
    pub(super) async fn save_visit(&self, visit: &mut Visit) -> Result<(), IdentityError> {
        let commit = Commit::new(visit.follower().part()).with(self.visit_write(visit)?);
        self.commit_or_store_error(commit).await?;
        visit.session.version += 1;
        Ok(())
    }

    pub(super) async fn commit_or_store_error(&self, commit: Commit) -> Result<(), IdentityError> {
        self.store.commit(commit).await.map_err(|error| match error {
            CommitError::Conflict(Conflict::Duplicate | Conflict::Stale | Conflict::Lost) => {
                IdentityError::Contended
            }
            CommitError::Store(error) => IdentityError::Store(error),
        })
    }

    /// Counts a start against the follower's own limit and gives its id; `None` when the limit is used up.
    pub(super) async fn start(&self, visit: &Visit, kind: &str) -> Result<Option<String>, StoreError> {
        let since = self.now() - super::STARTS_WINDOW;
        let (account, follower, id) = (visit.account(), visit.follower(), self.store.new_id());
        let write = self.store.count_start(&id, account, follower, kind, since, super::STARTS_MAX);
        match self.store.commit(Commit::new(follower.part()).with(write)).await {
            Ok(()) => Ok(Some(id)),
            Err(CommitError::Conflict(_)) => Ok(None),
            Err(CommitError::Store(error)) => Err(error),
        }
    }

    /// Counts a start no more that the bank refused only because it came too soon.
    pub(super) async fn take_back(&self, visit: &Visit, start_id: &str) -> Result<(), StoreError> {
        let write = self.store.take_back_start(start_id);
        match self.store.commit(Commit::new(visit.follower().part()).with(write)).await {
            Ok(()) | Err(CommitError::Conflict(_)) => Ok(()),
            Err(CommitError::Store(error)) => Err(error),
        }
    }
}

fn is_token(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_code(code: &Secret) -> bool {
    let code = code.reveal();
    !code.is_empty() && code.len() <= CODE_CHARS_MAX && code.bytes().all(|byte| byte.is_ascii_graphic())
}
