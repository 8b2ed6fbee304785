//! What the fault panel asks for: of the API, of pushes, of receipts.

use serde::{Deserialize, Serialize};

/// Faults that may be set at once, of each kind.
const FAULTS_MAX: usize = 100;
const DELAY_MS_MAX: u64 = 120_000;
/// One delivery as at most so many requests at once.
const COPIES_MAX: u8 = 10;

/// How the answer of an API is broken on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Breakage {
    /// Half of the body, then the connection ends.
    Half,
    /// No body.
    Empty,
    /// A proxy's page of HTML with status 200.
    Garbage,
}

/// A fault of the API.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiFault {
    /// Path of the API, or `*`.
    pub(crate) api: String,
    /// Answers this instead of doing anything.
    pub(crate) errcode: Option<i64>,
    /// How often; without it, until it is cleared.
    pub(crate) times: Option<u32>,
    /// Waits before anything.
    #[serde(default)]
    pub(crate) delay_ms: u64,
    /// Waits after having done what was asked.
    #[serde(default)]
    pub(crate) answer_delay_ms: u64,
    /// Does what was asked, but breaks the connection instead of answering.
    #[serde(default)]
    pub(crate) lose_answer: bool,
    /// Does what was asked, but answers something else.
    pub(crate) breakage: Option<Breakage>,
    /// Answers this HTTP status instead of doing anything.
    pub(crate) http_status: Option<u16>,
}

/// A fault of pushes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PushFault {
    /// Configured id of the account; without it, of any.
    pub(crate) account: Option<String>,
    /// `MsgType` of a message or `Event` of an event; without it, any.
    pub(crate) only: Option<String>,
    /// For how many pushes; without it, until it is cleared.
    pub(crate) times: Option<u32>,
    /// The push begins this much later; its place in the order stays.
    pub(crate) delay_ms: u64,
    /// The push lets the follower's next one go first, and begins when that one was answered.
    pub(crate) after_next: bool,
    /// The server's answers to this many deliveries never arrive, so that the push is delivered again.
    pub(crate) lose_replies: u8,
    /// Each delivery goes out as so many requests at the same moment.
    pub(crate) copies: u8,
}

/// The faults in force.
#[derive(Default)]
pub(crate) struct Faults {
    api: Vec<ApiFault>,
    push: Vec<PushFault>,
}

impl Faults {
    /// Adds one; `false` when there are too many or it makes no sense.
    pub(crate) fn add_for_api(&mut self, fault: ApiFault) -> bool {
        let status = fault.http_status.is_none_or(|status| (200..600).contains(&status));
        let delays = fault.delay_ms.max(fault.answer_delay_ms) <= DELAY_MS_MAX;
        let fits = self.api.len() < FAULTS_MAX && status && delays && fault.times != Some(0);
        if fits {
            self.api.push(fault);
        }
        fits
    }

    /// Adds one; `false` when there are too many or it makes no sense.
    pub(crate) fn add_for_pushes(&mut self, fault: PushFault) -> bool {
        let delays = fault.delay_ms <= DELAY_MS_MAX && fault.copies <= COPIES_MAX;
        let fits = self.push.len() < FAULTS_MAX && delays && fault.times != Some(0);
        if fits {
            self.push.push(fault);
        }
        fits
    }

    /// Those of the API in force, oldest first.
    pub(crate) fn of_api(&self) -> &[ApiFault] {
        &self.api
    }

    /// Those of pushes in force, oldest first.
    pub(crate) fn of_pushes(&self) -> &[PushFault] {
        &self.push
    }

    /// Clears those of the API.
    pub(crate) fn clear_api(&mut self) {
        self.api.clear();
    }

    /// Clears those of pushes.
    pub(crate) fn clear_pushes(&mut self) {
        self.push.clear();
    }

    /// The fault that a call of this API meets.
    pub(crate) fn take_for_api(&mut self, path: &str) -> Option<ApiFault> {
        let meets = |fault: &ApiFault| fault.api == "*" || fault.api == path;
        take(&mut self.api, meets, |fault| &mut fault.times)
    }

    /// The fault that a push meets; `kind` is its `MsgType` or its `Event`.
    pub(crate) fn take_for_push(&mut self, account: &str, kind: &str) -> Option<PushFault> {
        let meets = |fault: &PushFault| {
            let fits = |wanted: &Option<String>, value: &str| {
                wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
            };
            fits(&fault.account, account) && fits(&fault.only, kind)
        };
        take(&mut self.push, meets, |fault| &mut fault.times)
    }
}

/// The oldest that meets, used once; the last use removes it.
fn take<F: Clone>(
    faults: &mut Vec<F>,
    meets: impl Fn(&F) -> bool,
    times_of: impl Fn(&mut F) -> &mut Option<u32>,
) -> Option<F> {
    let at = faults.iter().position(meets)?;
    let fault = faults.get_mut(at)?;
    if let Some(times) = times_of(fault) {
        *times = times.saturating_sub(1);
        if *times == 0 {
            return Some(faults.remove(at));
        }
    }
    Some(fault.clone())
}

/// How receipts of template messages behave.
#[derive(Clone, Debug)]
pub(crate) struct ReceiptRule {
    /// How long after the send.
    pub(crate) delay_ms: u64,
    /// What it says; `None`: the truth. `Some("")`: no receipt is pushed.
    pub(crate) status: Option<String>,
    /// How many equal ones come.
    pub(crate) copies: u8,
    /// The receipt is pushed, and answered, before the send call is answered.
    pub(crate) before_answer: bool,
    /// For how many messages; `None`: until it is cleared.
    pub(crate) times: Option<u32>,
}

impl ReceiptRule {
    /// The usual: the truth, once, after this delay.
    pub(crate) fn new(delay_ms: u64) -> Self {
        Self { delay_ms, status: None, copies: 1, before_answer: false, times: None }
    }

    /// The rule for the next message; when its messages are over, it is `usual` again.
    pub(crate) fn take(&mut self, usual_delay_ms: u64) -> Self {
        match &mut self.times {
            Some(0) => *self = Self::new(usual_delay_ms),
            Some(times) => *times -= 1,
            None => {}
        }
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_met_as_often_as_was_asked_and_only_where_it_was_asked() {
        let mut faults = Faults::default();
        let asked = PushFault {
            account: Some("card".to_owned()),
            only: Some("click".to_owned()),
            times: Some(2),
            lose_replies: 1,
            ..PushFault::default()
        };
        assert!(faults.add_for_pushes(asked));
        assert!(faults.take_for_push("other", "CLICK").is_none());
        assert!(faults.take_for_push("card", "text").is_none());
        assert!(faults.take_for_push("card", "CLICK").is_some());
        assert!(faults.take_for_push("card", "CLICK").is_some());
        assert!(faults.take_for_push("card", "CLICK").is_none());
        assert!(!faults.add_for_pushes(PushFault { copies: COPIES_MAX + 1, ..PushFault::default() }));
    }

    #[test]
    fn a_receipt_rule_ends_after_its_messages() {
        let mut rule = ReceiptRule { times: Some(1), status: Some(String::new()), ..ReceiptRule::new(5) };
        assert_eq!(rule.take(7).status.as_deref(), Some(""));
        assert_eq!((rule.take(7).status, rule.delay_ms), (None, 7));
    }
}
