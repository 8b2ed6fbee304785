//! One question of one follower on its way to an outcome: the dialogue decides, the core is asked between.

use serde_json::Value;
use tokio::time::Instant;

use super::Inbound;
use super::scene::Loaded;
use crate::bank::{Call, Context, CoreError};
use crate::config::Account;
use crate::dialogue::{Ask, AskError, Dialogue, Of, Outcome, Said, Step};
use crate::domain::ids::FollowerKey;
use crate::outbound::rfc3339;
use crate::telemetry::Stage;
use crate::telemetry::trace::SPANS;

/// Calls to the core that one question may make.
const CALLS_MAX: usize = 6;

/// A question, and what the core has answered so far.
pub(super) struct Question<'a> {
    pub(super) account: &'a Account,
    pub(super) follower: FollowerKey,
    pub(super) said: Said,
    /// The customer typed something that must not be stored; it is masked already.
    pub(super) masked: bool,
    /// Whether it opens a window for customer-service messages.
    pub(super) opens_window: bool,
    /// Names the question in logs, towards the core, and to the customer when something fails.
    pub(super) trace_id: String,
    /// What the idempotency keys of its calls derive from: the same for every try at this question.
    pub(super) root: String,
    /// Answers of the core so far, so that deciding anew does not ask anew.
    answers: Vec<(Ask, Result<Value, AskError>)>,
}

/// What deciding came to.
pub(super) enum Decided {
    /// All is known.
    Done(Box<Outcome>),
    /// The core must be asked first.
    Wanted(Box<Ask>),
}

impl<'a> Question<'a> {
    /// A question to which nothing is known yet.
    pub(super) fn new(
        account: &'a Account,
        follower: FollowerKey,
        said: Said,
        trace_id: String,
        root: String,
    ) -> Self {
        Self {
            account,
            follower,
            said,
            masked: false,
            opens_window: false,
            trace_id,
            root,
            answers: Vec::new(),
        }
    }

    /// Runs the dialogue over what is known so far: no I/O, the same input gives the same decision.
    pub(super) fn decide(&self, dialogue: &Dialogue, loaded: &Loaded) -> Decided {
        let began = Instant::now();
        let span = tracing::info_span!(target: SPANS, "decide");
        let decided = span.in_scope(|| self.decide_now(dialogue, loaded));
        Stage::Decide.took(began.elapsed());
        decided
    }

    fn decide_now(&self, dialogue: &Dialogue, loaded: &Loaded) -> Decided {
        let scene = loaded.scene(self);
        let mut step = dialogue.decide(&scene);
        for _ in 0..=CALLS_MAX {
            let ask = match step {
                Step::Done(outcome) => return Decided::Done(Box::new(outcome)),
                Step::Ask(ask) => ask,
            };
            let same = |(asked, _): &&(Ask, _)| {
                asked.of == ask.of && asked.operation == ask.operation && asked.params == ask.params
            };
            match self.answers.iter().find(same) {
                Some((_, answer)) => step = dialogue.proceed(&scene, ask.then, answer.clone()),
                None => return Decided::Wanted(Box::new(ask)),
            }
        }
        // A service whose steps go in a circle: `weikefu check` refuses it; here it must not hang.
        tracing::error!(
            "a service asks the core in a circle and was stopped: run `weikefu check` on the content"
        );
        Decided::Done(Box::new(Outcome::silent(loaded.state.clone())))
    }

    /// Remembers what the core answered.
    pub(super) fn remember(&mut self, ask: Ask, answer: Result<Value, AskError>) {
        self.answers.push((ask, answer));
    }
}

impl Inbound {
    /// Asks the core, within its own deadline. Never inside a transaction.
    pub(super) async fn ask(
        &self,
        question: &Question<'_>,
        loaded: &Loaded,
        ask: &Ask,
    ) -> Result<Value, AskError> {
        let number = question.answers.len();
        if number >= CALLS_MAX {
            tracing::error!(
                operation = ask.operation,
                "one question asks the core more than {CALLS_MAX} times and was stopped: look at its service's steps"
            );
            return Err(AskError::Down);
        }
        if ask.of == Of::House {
            return self.ask_house(question, loaded, ask).await;
        }
        let app_id = question.account.app_id.as_bytes();
        let number = number.to_string();
        let vault = self.rooms.store.vault();
        let idempotency_key = hex::encode(match &ask.form_id {
            // A form writes once however often it is sent; what it only reads is asked anew.
            Some(form) if ask.write => {
                vault.index("core call", &[app_id, b"form", question.follower.as_bytes(), form.as_bytes()])
            }
            _ => vault.index("core call", &[app_id, b"push", question.root.as_bytes(), number.as_bytes()]),
        });
        let binding = loaded.binding.as_ref();
        let guard = match (binding, &ask.verified) {
            (None, _) => "none",
            (Some(_), None) => "binding",
            (Some(_), Some(proved)) => proved.proof.name(),
        };
        let call = Call {
            customer_id: binding.map(|binding| binding.customer.clone()),
            params: ask.params.clone(),
            idempotency_key: Some(idempotency_key),
            context: Context {
                trace_id: Some(question.trace_id.clone()),
                account: Some(question.account.id.to_string()),
                guard: Some(guard.to_owned()),
                verified_at: ask.verified.as_ref().map(|proved| rfc3339(proved.verified)),
                client_ip: None,
            },
        };
        let began = Instant::now();
        let answer = self.rooms.core.call(&ask.operation, call).await;
        Stage::Core.took(began.elapsed());
        // What went wrong, `bank` has logged under the same trace.
        answer.map_err(|error| match error {
            CoreError::Refused { code, message, .. } => AskError::Refused { code, message },
            CoreError::Lied { .. } => AskError::Lied,
            CoreError::Unknown { .. } | CoreError::BadParams { .. } | CoreError::Down { .. } => {
                AskError::Down
            }
        })
    }

    /// Decides and asks until the outcome is known, for questions that need no lease.
    pub(super) async fn decide_all(&self, question: &mut Question<'_>, loaded: &Loaded) -> Outcome {
        let robot = self.robot(&question.account.id);
        loop {
            match question.decide(&robot, loaded) {
                Decided::Done(outcome) => return *outcome,
                Decided::Wanted(ask) => {
                    let answer = self.ask(question, loaded, &ask).await;
                    question.remember(*ask, answer);
                }
            }
        }
    }
}
