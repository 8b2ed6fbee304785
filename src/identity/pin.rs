//! The PIN of a card: it is typed on the bank's own page and never reaches us. The browser goes there with the bank's
//! own link and comes back with the bank's word for it, signed as the bank's calls are, good once.
//!
//! The word is a JSON object `{"request_id","scope","customer_id","outcome"}` that comes back in the query as `body`
//! (base64url), beside `id` (the request's), `timestamp` and `signature` of *Standard Webhooks*.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::step_up::{Outcome, PIN};
use super::{CoreFault, Identity, Page, Question, StepUpFault, StepUpPage, StepUpStage, Visit};
use crate::bank::webhooks::{Presented, Verifier};
use crate::domain::ids::{AccountId, CustomerId, FollowerKey};
use crate::domain::secret::Personal;
use crate::domain::step_up::Proof;
use crate::domain::time::UnixMs;

/// Longest word of the bank that is looked at, in characters.
const BODY_CHARS_MAX: usize = 2048;

/// What the browser brought back from the bank's page, as it came.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct PinWord {
    /// The request's id.
    pub id: String,
    /// When the bank signed it, in seconds since 1970.
    pub timestamp: String,
    /// The signature.
    pub signature: String,
    /// What is signed, as base64url.
    pub body: String,
}

/// What the bank says.
#[derive(Deserialize)]
struct Said {
    request_id: String,
    scope: String,
    customer_id: String,
    outcome: PinOutcome,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum PinOutcome {
    Verified,
    Cancelled,
}

impl Identity {
    /// An absolute link to the page that takes a proof for a scope, signed for one follower.
    #[must_use]
    pub fn step_up_link(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        scope: &str,
        proof: Proof,
        now: UnixMs,
    ) -> String {
        let about = if proof == Proof::Pin { format!("{PIN}{scope}") } else { scope.to_owned() };
        self.link_about(account, follower, Page::StepUp, &about, now)
    }

    /// Asks the core for its page, which the visitor then goes to; also another one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pin_begin(
        &self,
        visit: &mut Visit,
        title: Option<&str>,
        client_ip: Option<String>,
    ) -> Outcome<()> {
        let Some(page) = visit.state.step_up.clone().filter(|page| page.proof == Proof::Pin) else {
            return Ok(Err(StepUpFault::Gone));
        };
        if matches!(page.stage, StepUpStage::Done { .. }) {
            return Ok(Ok(()));
        }
        let binding = self.store.binding(visit.account(), visit.follower()).await?;
        let Some(customer) = binding.map(|binding| binding.customer) else {
            return Ok(Err(StepUpFault::NotBound));
        };
        if self.start(visit, "pin").await?.is_none() {
            return Ok(Err(StepUpFault::TooMany));
        }
        let return_url = self.address(visit.account(), "step-up/return");
        let params = json!({
            "scope": page.scope,
            "title": title.unwrap_or("身份确认"),
            "return_url": return_url,
        });
        let key = self.store.new_id();
        let question = Question { customer: Some(customer.clone()), params, key, client_ip };
        let result = match self.ask(visit, "pin_start", question).await {
            Ok(result) => result,
            Err(fault) => return Ok(Err(StepUpFault::Core(fault))),
        };
        let text = |name: &str| result[name].as_str().unwrap_or_default().to_owned();
        let (request_id, url) = (text("request_id"), text("page_url"));
        if !Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "https" | "http")) {
            tracing::warn!(
                operation = "pin_start",
                "the core's page_url is no web address, so the visitor was told to come again"
            );
            return Ok(Err(StepUpFault::Core(CoreFault::Down { reference: self.reference() })));
        }
        let stage = StepUpStage::Away { customer: customer.reveal().to_owned(), request_id, url };
        visit.state.step_up = Some(StepUpPage { stage, ..page });
        self.save_visit(visit).await?;
        Ok(Ok(()))
    }

    /// Takes the bank's word that the PIN was right, once, and lets it count. Gives what waited for it, as the dialogue
    /// wrote it down.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pin_settle(&self, visit: &mut Visit, word: &PinWord) -> Outcome<Option<Personal>> {
        let Some(page) = visit.state.step_up.clone() else { return Ok(Err(StepUpFault::Gone)) };
        let StepUpStage::Away { customer, request_id, .. } = &page.stage else {
            return Ok(Err(StepUpFault::Gone));
        };
        let fits = |said: &Said| {
            said.request_id == *request_id
                && word.id == *request_id
                && said.scope == page.scope
                && said.customer_id == *customer
        };
        let said = self.genuine(word).filter(fits);
        let (Some(said), Some(customer)) = (said, CustomerId::parse(customer)) else {
            tracing::warn!(
                scope = page.scope,
                "a visitor came back from the bank's PIN page with a word that is not the bank's for this asking; it does not count"
            );
            return Ok(Err(StepUpFault::Gone));
        };
        if said.outcome == PinOutcome::Cancelled {
            visit.state.step_up = Some(StepUpPage { stage: StepUpStage::Begin, ..page });
            self.save_visit(visit).await?;
            return Ok(Err(StepUpFault::Cancelled));
        }
        self.settle_step_up(visit, &page, &customer).await
    }

    /// What the bank signed, and signed just now; `None` for anything else.
    fn genuine(&self, word: &PinWord) -> Option<Said> {
        if word.body.len() > BODY_CHARS_MAX {
            return None;
        }
        let body = URL_SAFE_NO_PAD.decode(&word.body).ok()?;
        let verifier = Verifier::new(std::slice::from_ref(&self.config.core.secret)).ok()?;
        let presented = Presented { id: &word.id, timestamp: &word.timestamp, signature: &word.signature };
        verifier.verify(presented, &body, self.now()).ok()?;
        serde_json::from_slice(&body).ok()
    }
}
