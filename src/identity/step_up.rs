//! Proof beyond binding: a one-time code to the phone that the bank has, or the PIN on the bank's own page, for one
//! purpose and a short while.
//!
//! The code is sent and checked by the core and typed on our page only, never in the chat; of a PIN only the bank's
//! word comes back (see `pin`). What waited for it goes on
//! by itself, as after a binding.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ATTEMPTS_MAX, Challenge, CoreFault, Identity, IdentityError, Page, Question, Visit};
use crate::domain::alert_settings::AlertChange;
use crate::domain::ids::{AccountId, CustomerId, FollowerKey};
use crate::domain::secret::Personal;
use crate::domain::step_up::{Proof, StepUp};
use crate::store::{Commit, CommitError, StoreError};

/// The page answers the interrupted question at once; the worker steps in only when it did not come to that.
const PAGE_FIRST: std::time::Duration = std::time::Duration::from_secs(5);

/// What a session remembers of a proof that is wanted.
#[derive(Clone, Serialize, Deserialize)]
pub struct StepUpPage {
    /// What it is for: a service's id, or the name of a page's own act.
    pub scope: String,
    /// What he shall prove himself with.
    #[serde(default = "otp")]
    pub proof: Proof,
    /// The link that asked for it.
    pub(super) nonce: [u8; 16],
    /// The page that asked for it, by its name in the address; `None`: the chat.
    pub(super) back: Option<String>,
    /// What that page does once the code was right.
    #[serde(default)]
    pub(super) act: Option<AlertChange>,
    /// Where it stands.
    pub stage: StepUpStage,
}

fn otp() -> Proof {
    Proof::Otp
}

/// Where a step-up stands.
#[derive(Clone, Serialize, Deserialize)]
pub enum StepUpStage {
    /// No code was sent yet.
    Begin,
    /// The code is on its way.
    Code {
        /// To whose phone: the customer who was bound then.
        customer: String,
        /// The code.
        challenge: Challenge,
    },
    /// He is on the bank's page for his PIN.
    Away {
        /// The customer who was bound then.
        customer: String,
        /// The bank's name for this asking; good once.
        request_id: String,
        /// The bank's page.
        url: String,
    },
    /// It was right.
    Done {
        /// Whether a question waits for it.
        asked: bool,
        /// The answer to that, as a WeChat text.
        answer: Option<String>,
    },
}

impl StepUpPage {
    /// `about`: the scope, after `pin:` where a PIN is wanted.
    pub(super) fn new(about: &str, nonce: &[u8; 16]) -> Self {
        let (scope, proof) = match about.strip_prefix(PIN) {
            Some(scope) => (scope, Proof::Pin),
            None => (about, Proof::Otp),
        };
        Self {
            scope: scope.to_owned(),
            proof,
            nonce: *nonce,
            back: None,
            act: None,
            stage: StepUpStage::Begin,
        }
    }

    /// Whether this is what a link asks for, so that opening the link again goes on where it was left.
    pub(super) fn goes_on(&self, about: &str, nonce: &[u8; 16]) -> bool {
        self.scope == about.strip_prefix(PIN).unwrap_or(about) && self.nonce == *nonce
    }

    /// The page to return to; `None`: the chat.
    #[must_use]
    pub fn back(&self) -> Option<Page> {
        self.back.as_deref().and_then(Page::parse)
    }
}

/// What stands before the scope of a link where a PIN is wanted.
pub(super) const PIN: &str = "pin:";

/// Why a step did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepUpFault {
    /// He came back from the bank's page without having typed his PIN.
    Cancelled,
    /// Nobody is bound here, or somebody else by now.
    NotBound,
    /// The follower's own limit of codes is used up.
    TooMany,
    /// Another code may be sent only later.
    TooSoon {
        /// Seconds.
        wait_s: u64,
    },
    /// There is nothing to go on with: begin again.
    Gone,
    /// The bank said no, or nothing.
    Core(CoreFault),
}

/// What became of a change that a page asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It holds.
    Now,
    /// It holds once a code was right.
    AfterCode,
    /// Nobody is bound.
    NotBound,
}

/// What a code counts for that the page of alert settings wants: the service that leads there.
const ALERTS_SCOPE: &str = "alert_preferences";

pub(super) type Outcome<T> = Result<Result<T, StepUpFault>, IdentityError>;

impl Identity {
    /// What a follower proved last as the customer to whom he is bound; see [`StepUp::covers`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn step_up(
        &self,
        account: &AccountId,
        follower: FollowerKey,
    ) -> Result<Option<StepUp>, StoreError> {
        self.store.step_up(account, follower).await
    }

    /// Changes the settings of alerts of whoever is bound, on his own page. What silences more than the bank lets pass
    /// without a code waits in the session for one; the handler then sends the browser to [`Page::StepUp`], from where it
    /// returns when that is done.
    ///
    /// # Errors
    /// When the database fails, or the binding changes again and again.
    pub async fn change_alerts_on_page(
        &self,
        visit: &mut Visit,
        change: AlertChange,
    ) -> Result<Changed, IdentityError> {
        let (account, follower) = (visit.account().clone(), visit.follower());
        let proved = self.store.step_up(&account, follower).await?;
        let is_proved = proved.is_some_and(|proved| proved.covers(ALERTS_SCOPE, Proof::Otp, self.now()));
        for _ in 0..ATTEMPTS_MAX {
            let Some(binding) = self.store.binding(&account, follower).await? else {
                return Ok(Changed::NotBound);
            };
            if !is_proved && binding.is_silenced_by(&change, self.config.alerts.silence_ceiling) {
                let mut nonce = [0; 16];
                self.store.random().fill(&mut nonce);
                let back = Some(Page::Alerts.path().to_owned());
                let page = StepUpPage::new(ALERTS_SCOPE, &nonce);
                visit.state.step_up = Some(StepUpPage { back, act: Some(change), ..page });
                self.save_visit(visit).await?;
                return Ok(Changed::AfterCode);
            }
            let mut commit = Commit::new(follower.part());
            commit.extend(self.alerts_writes(&account, follower, &binding, &change)?);
            match self.store.commit(commit).await {
                Ok(()) => {
                    self.announce.wake(follower.part());
                    return Ok(Changed::Now);
                }
                Err(CommitError::Conflict(_)) => {}
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
        Err(IdentityError::Contended)
    }

    /// What this visit's one-time code is wanted for, and where that stands.
    #[must_use]
    pub fn step_up_page<'a>(&self, visit: &'a Visit) -> Option<&'a StepUpPage> {
        visit.state.step_up.as_ref()
    }

    /// Lets the core send a code to the phone that it has of the customer; also another one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn step_up_send(&self, visit: &mut Visit, client_ip: Option<String>) -> Outcome<()> {
        let Some(page) = visit.state.step_up.clone() else { return Ok(Err(StepUpFault::Gone)) };
        match &page.stage {
            StepUpStage::Done { .. } => return Ok(Ok(())),
            StepUpStage::Code { challenge, .. } if challenge.wait_s(self.now()) > 0 => {
                return Ok(Err(StepUpFault::TooSoon { wait_s: challenge.wait_s(self.now()) }));
            }
            StepUpStage::Away { .. } => return Ok(Err(StepUpFault::Gone)),
            StepUpStage::Begin if page.proof == Proof::Pin => return Ok(Err(StepUpFault::Gone)),
            StepUpStage::Begin | StepUpStage::Code { .. } => {}
        }
        let binding = self.store.binding(visit.account(), visit.follower()).await?;
        let Some(customer) = binding.map(|binding| binding.customer) else {
            return Ok(Err(StepUpFault::NotBound));
        };
        let Some(start) = self.start(visit, "step_up").await? else {
            return Ok(Err(StepUpFault::TooMany));
        };
        let params = json!({ "purpose": "step_up" });
        let key = self.store.new_id();
        let question = Question { customer: Some(customer.clone()), params, key, client_ip };
        let challenge = match self.ask(visit, "otp_send", question).await {
            Ok(result) => Challenge::read(&result, self.now()),
            Err(CoreFault::Refused { code, wait_s, .. }) if code == "too_soon" => {
                self.take_back(visit, &start).await?;
                // The other half of a double tap may have sent it.
                let sent = self.read_again(visit).await? && is_sent(visit);
                let too_soon = StepUpFault::TooSoon { wait_s: wait_s.unwrap_or(60) };
                return Ok(if sent { Ok(()) } else { Err(too_soon) });
            }
            Err(fault) => return Ok(Err(StepUpFault::Core(fault))),
        };
        let stage = StepUpStage::Code { customer: customer.reveal().to_owned(), challenge };
        visit.state.step_up = Some(StepUpPage { stage, ..page });
        self.save_visit(visit).await?;
        Ok(Ok(()))
    }

    /// Lets the core check the code and, if it is right, lets it count. Gives what waited for it, as the dialogue
    /// wrote it down.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn step_up_verify(
        &self,
        visit: &mut Visit,
        code: &str,
        client_ip: Option<String>,
    ) -> Outcome<Option<Personal>> {
        let Some(page) = visit.state.step_up.clone() else { return Ok(Err(StepUpFault::Gone)) };
        let StepUpStage::Code { customer, challenge } = &page.stage else {
            return Ok(Err(StepUpFault::Gone));
        };
        let result = match self.verify_code(visit, challenge, code, client_ip).await {
            Ok(result) => result,
            Err(fault) => return Ok(Err(StepUpFault::Core(fault))),
        };
        let Some(customer) = CustomerId::parse(customer).filter(|_| result["purpose"] == "step_up") else {
            tracing::warn!(
                operation = "otp_verify",
                "the core verified a code of another purpose than was asked for; it does not count"
            );
            return Ok(Err(StepUpFault::Core(CoreFault::Down { reference: self.reference() })));
        };
        self.settle_step_up(visit, &page, &customer).await
    }

    /// One commit: the proof, the question to go on with or what the page wanted done, what the page shows.
    pub(super) async fn settle_step_up(
        &self,
        visit: &mut Visit,
        page: &StepUpPage,
        customer: &CustomerId,
    ) -> Outcome<Option<Personal>> {
        let (account, follower) = (visit.account().clone(), visit.follower());
        for _ in 0..ATTEMPTS_MAX {
            let binding = self.store.binding(&account, follower).await?;
            let Some(binding) = binding.filter(|binding| binding.customer == *customer) else {
                return Ok(Err(StepUpFault::NotBound));
            };
            let wish = self.pending_wish(&account, follower).await?;
            let wish = wish.filter(|wish| page.back.is_none() && is_for(wish, &page.scope));
            let proved = StepUp::new(page.proof, &page.scope, self.now());
            let mut commit = Commit::new(follower.part());
            commit.push(self.store.put_step_up(&account, follower, customer, &proved));
            commit.push(self.store.audit(
                "customer",
                if page.proof == Proof::Pin { "step_up_pin" } else { "step_up" },
                &account,
                Some(follower),
                Some(&page.scope),
            )?);
            if let Some(change) = &page.act {
                commit.extend(self.alerts_writes(&account, follower, &binding, change)?);
            }
            if let Some(wish) = &wish {
                commit.push(self.store.insert_resume(&account, follower, wish, self.now() + PAGE_FIRST)?);
            }
            let stage = StepUpStage::Done { asked: wish.is_some(), answer: None };
            visit.state.step_up = Some(StepUpPage { stage, ..page.clone() });
            commit.push(self.visit_write(visit)?);
            match self.store.commit(commit).await {
                Ok(()) => {
                    visit.session.version += 1;
                    self.announce.wake(follower.part());
                    return Ok(Ok(wish));
                }
                Err(CommitError::Conflict(_)) => {
                    if !self.read_again(visit).await? {
                        return Ok(Err(StepUpFault::Gone));
                    }
                    let now = visit.state.step_up.as_ref().map(|page| &page.stage);
                    if matches!(now, Some(StepUpStage::Done { .. })) {
                        return Ok(Ok(None));
                    }
                }
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
        Err(IdentityError::Contended)
    }

    /// Keeps the answer to the interrupted question for the last page.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_step_up_answer(&self, visit: &mut Visit, text: String) -> Result<(), IdentityError> {
        if let Some(StepUpPage { stage: StepUpStage::Done { answer, .. }, .. }) = &mut visit.state.step_up {
            *answer = Some(text);
            self.save_visit(visit).await?;
        }
        Ok(())
    }
}

fn is_sent(visit: &Visit) -> bool {
    visit.state.step_up.as_ref().is_some_and(|page| matches!(page.stage, StepUpStage::Code { .. }))
}

/// Whether what waits is the service that this code is for.
fn is_for(wish: &Personal, scope: &str) -> bool {
    let wish: Value = serde_json::from_str(wish.reveal()).unwrap_or_default();
    wish["service"] == scope
}
