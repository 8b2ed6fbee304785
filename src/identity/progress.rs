//! Where a follower's applications stand.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde::Deserialize;
use serde_json::json;

use super::{CoreFault, Identity, IdentityError, Question, Visit};

/// Applications that one page asks the core about.
const SHOWN_MAX: usize = 5;

/// One application.
#[derive(Clone, Deserialize)]
pub struct Progress {
    /// 受理编号
    pub application_no: String,
    product: Named,
    /// When it was submitted, RFC 3339.
    pub submitted_at: String,
    /// Its stages in their order.
    pub stages: Vec<ProgressStage>,
    /// What comes next.
    pub next_step: String,
    /// When, as `2026-11-25`, if the bank says so.
    pub expected_on: Option<String>,
}

impl Progress {
    /// The card's name.
    #[must_use]
    pub fn product(&self) -> &str {
        &self.product.name
    }

    /// The day of its submission.
    #[must_use]
    pub fn submitted_on(&self) -> &str {
        self.submitted_at.split('T').next().unwrap_or_default()
    }
}

#[derive(Clone, Deserialize)]
struct Named {
    name: String,
}

/// One stage of an application.
#[derive(Clone, Deserialize)]
pub struct ProgressStage {
    /// 审核
    pub name: String,
    /// `done`, `current` or `waiting`.
    pub state: String,
    /// Since when, as `2026-11-22`.
    pub on: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    applications: Vec<Progress>,
}

impl Identity {
    /// The applications that were submitted from this follower's pages, and those of the customer he is bound to;
    /// the newest first.
    ///
    /// # Errors
    /// The outer one when the database fails, the inner one when the core knew nothing of any of them.
    pub async fn progress(&self, visit: &Visit) -> Result<Result<Vec<Progress>, CoreFault>, IdentityError> {
        let known = self.store.applications(visit.account(), visit.follower()).await?;
        let customer = self.store.binding(visit.account(), visit.follower()).await?;
        let customer = customer.map(|binding| binding.customer);
        let mut questions: Vec<_> = known
            .iter()
            .take(SHOWN_MAX)
            .map(|application| (None, json!({ "application_no": application.number.reveal() })))
            .collect();
        questions.extend(customer.map(|customer| (Some(customer), json!({}))));
        let answers = join_all(questions.into_iter().map(|(customer, params)| {
            let question = Question { customer, params, key: self.store.new_id(), client_ip: None };
            self.ask(visit, "application_progress", question)
        }))
        .await;
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        let mut down = None;
        for answer in answers {
            match answer {
                Ok(result) => {
                    let answer =
                        serde_json::from_value(result).unwrap_or(Answer { applications: Vec::new() });
                    found.extend(
                        answer.applications.into_iter().filter(|one| seen.insert(one.application_no.clone())),
                    );
                }
                // The bank has forgotten it: nothing to tell.
                Err(CoreFault::Refused { .. }) => {}
                Err(fault @ CoreFault::Down { .. }) => down = Some(fault),
            }
        }
        if found.is_empty()
            && let Some(fault) = down
        {
            return Ok(Err(fault));
        }
        found.sort_by(|one, other| other.submitted_at.cmp(&one.submitted_at));
        found.truncate(SHOWN_MAX);
        Ok(Ok(found))
    }
}
