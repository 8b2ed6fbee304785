//! Applying for a card on a page: a form that can be left and taken up again, then a code, then 受理编号.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::application::{ApplicationForm, Catalogue};
use super::{ATTEMPTS_MAX, Challenge, CoreFault, DRAFT_LIFE, Identity, IdentityError, Question, Visit};
use crate::domain::ids::CustomerId;
use crate::domain::secret::Personal;
use crate::domain::time::UnixMs;
use crate::store::{self, Commit, CommitError, StoredDraft};

/// A follower's application.
pub struct Application {
    /// The form.
    pub form: ApplicationForm,
    /// When it was begun; `None`: not yet.
    pub begun: Option<UnixMs>,
    stored: Option<StoredDraft>,
}

/// An application that the bank took in, for the last page.
#[derive(Clone, Serialize, Deserialize)]
pub struct Submitted {
    /// 受理编号
    pub number: String,
    /// The card.
    pub product: String,
    /// Where it stands.
    pub stage: String,
    /// What comes next.
    pub next_step: String,
    /// When, as `2026-11-25`, if the bank says so.
    pub expected_on: Option<String>,
}

/// Why a step of an application did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyFault {
    /// A step before this one is not done.
    Incomplete,
    /// A text has a newer version that must be read first.
    TextChanged,
    /// The follower's own limit of codes is used up.
    TooMany,
    /// Another code may be sent only later.
    TooSoon {
        /// Seconds.
        wait_s: u64,
    },
    /// The bank said no, or nothing.
    Core(CoreFault),
}

type Outcome<T> = Result<Result<T, ApplyFault>, IdentityError>;

impl Identity {
    /// What can be applied for.
    ///
    /// # Errors
    /// When the core does not answer as agreed.
    pub async fn catalogue(&self, visit: &Visit) -> Result<Catalogue, CoreFault> {
        let question =
            Question { customer: None, params: json!({}), key: self.store.new_id(), client_ip: None };
        let result = self.ask(visit, "application_products", question).await?;
        Catalogue::read(result).ok_or_else(|| self.lied("application_products"))
    }

    fn lied(&self, operation: &str) -> CoreFault {
        tracing::warn!(operation, "the core left out what a page needs; hold its answer against the schema");
        CoreFault::Down { reference: self.reference() }
    }

    /// The application that was just submitted in this session.
    #[must_use]
    pub fn submitted<'a>(&self, visit: &'a Visit) -> Option<&'a Submitted> {
        visit.state.submitted.as_ref()
    }

    /// The follower's application, as far as it is filled in and still fits the catalogue.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn application(
        &self,
        visit: &Visit,
        catalogue: &Catalogue,
    ) -> Result<Application, IdentityError> {
        let stored = self.store.draft(visit.account(), visit.follower()).await?;
        // A purge that is late must not make a draft live longer.
        let stored = stored.filter(|draft| draft.created + DRAFT_LIFE > self.now());
        let mut form: ApplicationForm = stored
            .as_ref()
            .map_or(Ok(ApplicationForm::default()), |draft| serde_json::from_slice(&draft.form))?;
        form.keep_up(catalogue);
        Ok(Application { form, begun: stored.as_ref().map(|draft| draft.created), stored })
    }

    /// Saves the form. [`IdentityError::Contended`] when it changed elsewhere since it was read.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn save_application(
        &self,
        visit: &Visit,
        application: &mut Application,
    ) -> Result<(), IdentityError> {
        let (account, follower) = (visit.account(), visit.follower());
        let form = Zeroizing::new(serde_json::to_vec(&application.form)?);
        let mut commit = Commit::new(follower.part());
        let draft = match application.stored.take() {
            Some(stored) => StoredDraft { form, ..stored },
            None => {
                // One that is past its life and not yet purged makes room.
                commit.push(self.store.erase_drafts(account, follower));
                StoredDraft { draft_id: self.store.new_id(), version: 0, form, created: self.now() }
            }
        };
        commit.push(self.store.save_draft(account, follower, &draft)?);
        self.commit_or_store_error(commit).await?;
        application.begun = Some(draft.created);
        application.stored = Some(StoredDraft { version: draft.version + 1, ..draft });
        Ok(())
    }

    /// Erases the draft and the memory of the last submission: a clean start.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn discard_application(&self, visit: &mut Visit) -> Result<(), IdentityError> {
        let mut commit = Commit::new(visit.follower().part());
        commit.push(self.store.erase_drafts(visit.account(), visit.follower()));
        visit.state.submitted = None;
        commit.push(self.visit_write(visit)?);
        self.commit_or_store_error(commit).await?;
        visit.session.version += 1;
        Ok(())
    }

    /// Sends a code to the applicant's phone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn apply_send_code(
        &self,
        visit: &Visit,
        application: &mut Application,
        client_ip: Option<String>,
    ) -> Outcome<()> {
        let form = &application.form;
        let (Some(person), Some(_), Some(_)) = (&form.person, &form.credit_report, &form.card_contract)
        else {
            return Ok(Err(ApplyFault::Incomplete));
        };
        if form.verified {
            return Ok(Ok(()));
        }
        let now = self.now();
        if let Some(wait_s) =
            form.challenge.as_ref().map(|code| code.wait_s(now)).filter(|wait_s| *wait_s > 0)
        {
            return Ok(Err(ApplyFault::TooSoon { wait_s }));
        }
        if self.start(visit, "apply").await?.is_none() {
            return Ok(Err(ApplyFault::TooMany));
        }
        let params = json!({ "purpose": "application", "phone": person.phone });
        let question = Question { customer: None, params, key: self.store.new_id(), client_ip };
        match self.ask(visit, "otp_send", question).await {
            Ok(result) => application.form.challenge = Some(Challenge::read(&result, now)),
            Err(CoreFault::Refused { code, wait_s, .. }) if code == "too_soon" => {
                return Ok(Err(ApplyFault::TooSoon { wait_s: wait_s.unwrap_or(60) }));
            }
            Err(fault) => return Ok(Err(ApplyFault::Core(fault))),
        }
        self.save_application(visit, application).await?;
        Ok(Ok(()))
    }

    /// Lets the core check the code, then hands the application in. After a right code only the second half is
    /// repeated, so that a bank that was down for a moment costs no new code.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn apply_submit(
        &self,
        visit: &mut Visit,
        application: &mut Application,
        code: &str,
        client_ip: Option<String>,
    ) -> Outcome<()> {
        let Some(challenge) = application.form.challenge.clone() else {
            return Ok(Err(ApplyFault::Incomplete));
        };
        if !application.form.verified {
            if let Err(fault) = self.verify_code(visit, &challenge, code, client_ip.clone()).await {
                return Ok(Err(ApplyFault::Core(fault)));
            }
            application.form.verified = true;
            self.save_application(visit, application).await?;
        }
        let (account, follower) = (visit.account().clone(), visit.follower());
        let customer = self.store.binding(&account, follower).await?.map(|binding| binding.customer);
        let (Some(params), Some(draft)) = (application.form.params(), application.stored.clone()) else {
            return Ok(Err(ApplyFault::Incomplete));
        };
        // The same content is the same call; a corrected form is another.
        let content = customer.as_ref().map_or("", CustomerId::reveal);
        let key = self.call_key("h5.submit", &[content.as_bytes(), params.to_string().as_bytes()]);
        let key = format!("{}.{key}", draft.draft_id);
        let question = Question { customer: customer.clone(), params, key, client_ip };
        match self.ask(visit, "application_submit", question).await {
            Ok(result) => self.settle_application(visit, application, &draft, customer, &result).await,
            Err(CoreFault::Refused { code, .. }) if code == "consent_outdated" => {
                application.form.credit_report = None;
                application.form.card_contract = None;
                self.save_application(visit, application).await?;
                Ok(Err(ApplyFault::TextChanged))
            }
            Err(fault) => {
                if matches!(&fault, CoreFault::Refused { code, .. } if code == "not_verified") {
                    application.form.challenge = None;
                    application.form.verified = false;
                    self.save_application(visit, application).await?;
                }
                Ok(Err(ApplyFault::Core(fault)))
            }
        }
    }

    /// One commit: the draft is erased, its number kept for the chat, the bank told.
    async fn settle_application(
        &self,
        visit: &mut Visit,
        application: &Application,
        draft: &StoredDraft,
        customer: Option<CustomerId>,
        result: &Value,
    ) -> Outcome<()> {
        let (account, follower) = (visit.account().clone(), visit.follower());
        let text = |pointer: &str| result.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let submitted = Submitted {
            number: text("/application_no").unwrap_or_default(),
            product: text("/product/name").unwrap_or_default(),
            stage: text("/stage/name").unwrap_or_default(),
            next_step: text("/next_step").unwrap_or_default(),
            expected_on: text("/expected_on"),
        };
        let kept =
            store::Application { number: Personal::new(submitted.number.clone()), submitted: self.now() };
        let form = &application.form;
        let detail = json!({ "application_no": submitted.number, "credit_report": form.credit_report,
            "card_contract": form.card_contract });
        let data = json!({ "application_no": submitted.number, "product_id": form.product_id });
        for _ in 0..ATTEMPTS_MAX {
            let mut commit = Commit::new(follower.part());
            commit.push(self.store.add_application(&account, follower, &draft.draft_id, &kept)?);
            commit.push(self.store.end_draft(&account, follower, draft));
            commit.push(self.store.audit(
                "customer",
                "application_submit",
                &account,
                Some(follower),
                Some(&detail.to_string()),
            )?);
            commit.extend(self.announce.event(
                "application_submitted",
                &account,
                customer.as_ref(),
                data.clone(),
            )?);
            visit.state.submitted = Some(submitted.clone());
            commit.push(self.visit_write(visit)?);
            match self.store.commit(commit).await {
                Ok(()) => {
                    visit.session.version += 1;
                    self.announce.wake(follower.part());
                    return Ok(Ok(()));
                }
                Err(CommitError::Conflict(_)) => {
                    // The other half of a double tap handed it in, or this session did something else meanwhile.
                    if !self.read_again(visit).await? || visit.state.submitted.is_some() {
                        return Ok(Ok(()));
                    }
                }
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
        Err(IdentityError::Contended)
    }
}
