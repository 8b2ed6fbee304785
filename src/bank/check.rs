//! `weikefu core check`: asks a bank's gateway every operation by its example and says which answers fit.

use std::fmt;

use super::client::{BadCore, Call, Context, Core, CoreError};
use super::operations::{Effect, Operation};
use crate::clock::{SharedClock, SharedRandom, new_id};
use crate::config;
use crate::domain::ids::CustomerId;

/// What one operation's answer was worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The result fits its schema.
    Fits,
    /// It refused with a code that its file declares: in order, but the result's schema stayed untried.
    RefusedAsDeclared(String),
    /// It refused with a code that its file does not declare.
    RefusedUndeclared(String),
    /// No answer, or one that does not fit; the words of [`CoreError`].
    Failed(String),
}

/// One line of the report.
#[derive(Clone, Debug)]
pub struct Line {
    /// The operation.
    pub operation: String,
    /// Whether it changes anything at the bank.
    pub effect: Effect,
    /// What came of it.
    pub verdict: Verdict,
}

/// The whole report; prints as one line for each operation and a sum.
#[derive(Clone, Debug)]
pub struct Report(Vec<Line>);

impl Report {
    /// Whether every answer was in order.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.0.iter().all(|line| matches!(line.verdict, Verdict::Fits | Verdict::RefusedAsDeclared(_)))
    }

    /// The lines in the order of the operations' names.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut fits, mut refused, mut failed) = (0, 0, 0);
        for line in &self.0 {
            let (word, more) = match &line.verdict {
                Verdict::Fits => ("ok      ", "the result fits its schema".to_owned()),
                Verdict::RefusedAsDeclared(code) => {
                    ("refused ", format!("{code}, as declared; the result was not seen"))
                }
                Verdict::RefusedUndeclared(code) => {
                    ("FAULT   ", format!("refused with {code}, which is not declared"))
                }
                Verdict::Failed(reason) => ("FAULT   ", reason.clone()),
            };
            match line.verdict {
                Verdict::Fits => fits += 1,
                Verdict::RefusedAsDeclared(_) => refused += 1,
                _ => failed += 1,
            }
            writeln!(f, "{word}{:<24}{more}", line.operation)?;
        }
        write!(f, "{fits} fit, {refused} refused as declared, {failed} at fault")
    }
}

/// Runs every operation's example, writes too (each under a fresh idempotency key): point it at a test system.
///
/// # Errors
/// When the client cannot be built.
pub async fn run(
    settings: &config::Core,
    clock: SharedClock,
    random: SharedRandom,
) -> Result<Report, BadCore> {
    let core = Core::new(settings, clock.clone(), random.clone())?;
    let mut lines = Vec::new();
    let operations = core.operations();
    for operation in operations.iter() {
        let key = (operation.effect() == Effect::Write).then(|| new_id(&*clock, &*random));
        let verdict = try_example(&core, operation, key).await;
        lines.push(Line { operation: operation.name().to_owned(), effect: operation.effect(), verdict });
    }
    Ok(Report(lines))
}

async fn try_example(core: &Core, operation: &Operation, idempotency_key: Option<String>) -> Verdict {
    let example = operation.example();
    let call = Call {
        customer_id: example.customer_id.as_deref().and_then(CustomerId::parse),
        params: example.params.clone(),
        idempotency_key,
        // Nothing is refused for want of a proof, so that the results are seen.
        context: Context { guard: Some("pin".to_owned()), ..Context::default() },
    };
    match core.call(operation.name(), call).await {
        Ok(_) => Verdict::Fits,
        Err(CoreError::Refused { code, .. }) if operation.errors().contains_key(&code) => {
            Verdict::RefusedAsDeclared(code)
        }
        Err(CoreError::Refused { code, .. }) => Verdict::RefusedUndeclared(code),
        Err(error) => Verdict::Failed(error.to_string()),
    }
}
