//! What to do after a try: pure, so that every case is a line in a table.

use std::time::Duration;

use crate::domain::time::UnixMs;
pub(super) use crate::domain::verdict::UNCLEAR;
use crate::domain::verdict::{State, Verdict};
use crate::domain::window::Sender;
use crate::wechat::api::ApiError;
use crate::wechat::errcode::Class;

/// Pauses before the second, third … try of a message: three quick ones, then the outbox schedule. The last repeats.
const MESSAGE_PAUSES_MS: [u64; 9] = [500, 1_000, 2_000, 10_000, 30_000, 60_000, 120_000, 180_000, 300_000];
/// The same for an event to the bank, which is retried for three days.
const EVENT_PAUSES_MS: [u64; 9] =
    [1_000, 5_000, 30_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000, 7_200_000];
/// Tries of something that WeChat refused with a code we do not know.
const UNKNOWN_TRIES_MAX: i64 = 3;
/// WeChat's day begins when its clock says so: a quota refused this soon after midnight is asked for again shortly.
const MIDNIGHT_SLACK_MS: i64 = 5 * 60 * 1000;

const MINUTE_MS: i64 = 60 * 1000;
const DAY_MS: i64 = 24 * 3600 * 1000;
/// Beijing is eight hours ahead, without daylight saving.
const BEIJING_MS: i64 = 8 * 3600 * 1000;

/// How a try ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// WeChat took it, under this id if it is a template message.
    Accepted(Option<String>),
    /// WeChat said no.
    Refused { code: i64, class: Class },
    /// Certainly not sent, for a reason that may pass.
    NotSent,
    /// Perhaps sent.
    Unclear,
}

impl Outcome {
    pub(super) fn of(result: Result<Option<String>, ApiError>) -> Self {
        match result {
            Ok(msgid) => Self::Accepted(msgid),
            // Without a token nothing was said about the message.
            Err(error) if error.is_before_sending() => Self::NotSent,
            Err(error) => match (error.code(), error.is_certainly_not_done()) {
                (Some(code), _) => Self::Refused { code, class: error.class() },
                (None, true) => Self::NotSent,
                (None, false) => Self::Unclear,
            },
        }
    }

    /// The word in the list of tries.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Refused { class: Class::RetryLater | Class::QuotaDay | Class::QuotaMinute, .. } => "busy",
            Self::Refused { .. } => "refused",
            Self::NotSent => "not_sent",
            Self::Unclear => "unclear",
        }
    }

    pub(super) fn code(&self) -> Option<i64> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// What follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is over.
    Settle(Verdict),
    /// Once more, not before this moment, and why.
    Again { due: UnixMs, reason: String },
    /// Nothing more of this API and account before that moment; this row waits with the others.
    Pause { until: UnixMs, reason: String },
    /// It becomes the first thing said when the follower comes back.
    Keep { reason: String },
}

/// A try that just ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Try {
    /// Its number, from 1.
    pub(super) number: i64,
    /// When it ended.
    pub(super) now: UnixMs,
    /// 0 to 255, to spread tries that failed together.
    pub(super) jitter: u8,
}

/// WeChat delivers one `client_msg_id` once within ten minutes. A message that may have arrived is repeated only
/// within this time, so that its last repeat is on the way no longer when they are over.
const SINGLE_FOR: Duration = Duration::from_secs(9 * 60);

/// When a template message ends of which a try at this moment may have arrived: past it a repeat might be a second
/// message. It has then failed as unclear, and the bank falls back.
pub(super) fn template_ends(unclear_at: UnixMs) -> UnixMs {
    unclear_at + SINGLE_FOR
}

/// After a template message was tried. Until [`template_ends`] it may be repeated.
pub(super) fn after_template(outcome: &Outcome, this: Try) -> Next {
    let again = |reason: &str| again(&MESSAGE_PAUSES_MS, reason, this);
    match outcome {
        Outcome::Accepted(_) => Next::Settle(Verdict::plain(State::Sent)),
        Outcome::NotSent => again("not_sent"),
        Outcome::Unclear => again("unclear"),
        Outcome::Refused { code, class } => {
            let reason = errcode(*code);
            match class {
                Class::QuotaDay => Next::Pause { until: next_day(this.now), reason },
                Class::QuotaMinute => Next::Pause { until: next_minute(this.now), reason },
                class => refused(*class, reason, this, again),
            }
        }
    }
}

/// After a subscription notice was tried. It has no key: an unclear one is never repeated.
pub(super) fn after_subscription(outcome: &Outcome, this: Try) -> Next {
    match outcome {
        Outcome::Unclear => Next::Settle(Verdict::new(State::Failed, UNCLEAR)),
        outcome => after_template(outcome, this),
    }
}

/// After a customer-service message was tried. It has no key: an unclear one is repeated once if it answers a
/// question (`repeated`: it has been), never otherwise.
pub(super) fn after_chat(outcome: &Outcome, sender: Sender, repeated: bool, this: Try) -> Next {
    let again = |reason: &str| again(&MESSAGE_PAUSES_MS, reason, this);
    match outcome {
        Outcome::Accepted(_) => Next::Settle(Verdict::plain(State::Sent)),
        Outcome::NotSent => again("not_sent"),
        Outcome::Unclear => unclear_chat(sender, repeated, this.now),
        Outcome::Refused { code, class } => {
            let reason = errcode(*code);
            match class {
                Class::WindowClosed => cannot_be_sent(sender, "window_closed"),
                Class::AllowanceUsed => cannot_be_sent(sender, "allowance_used"),
                Class::QuotaDay => cannot_be_sent(sender, &reason),
                Class::QuotaMinute => Next::Again { due: next_minute(this.now), reason },
                class => refused(*class, reason, this, again),
            }
        }
    }
}

/// After nobody saw how a customer-service message ended.
pub(super) fn unclear_chat(sender: Sender, repeated: bool, now: UnixMs) -> Next {
    if sender == Sender::Owed && !repeated {
        Next::Again { due: now, reason: UNCLEAR.to_owned() }
    } else {
        Next::Settle(Verdict::new(State::Failed, UNCLEAR))
    }
}

/// No window, nothing left, or its time is over: an answer that is owed is said next time, anything else failed.
pub(super) fn cannot_be_sent(sender: Sender, reason: &str) -> Next {
    if sender == Sender::Owed {
        Next::Keep { reason: reason.to_owned() }
    } else {
        Next::Settle(Verdict::new(State::Failed, reason))
    }
}

/// After an event was posted: anything but 2xx is tried again until its time is over.
pub(super) fn after_event(delivered: bool, this: Try) -> Next {
    if delivered {
        Next::Settle(Verdict::plain(State::Sent))
    } else {
        again(&EVENT_PAUSES_MS, "not_taken", this)
    }
}

fn refused(class: Class, reason: String, this: Try, again: impl Fn(&str) -> Next) -> Next {
    match class {
        Class::Ok | Class::AlreadyDone | Class::Ignorable => Next::Settle(Verdict::plain(State::Sent)),
        Class::RetryLater | Class::RefreshToken => again(&reason),
        Class::Unknown if this.number < UNKNOWN_TRIES_MAX => again(&reason),
        Class::Unreachable => Next::Settle(Verdict::new(State::Unreachable, reason)),
        _ => Next::Settle(Verdict::new(State::Failed, reason)),
    }
}

fn errcode(code: i64) -> String {
    format!("errcode_{code}")
}

/// Another try after a pause.
fn again(pauses_ms: &[u64], reason: &str, this: Try) -> Next {
    Next::Again { due: this.now + pause(pauses_ms, this), reason: reason.to_owned() }
}

/// The pause after a try, with up to a quarter more.
fn pause(pauses_ms: &[u64], this: Try) -> Duration {
    let at = usize::try_from(this.number - 1).unwrap_or(0).min(pauses_ms.len() - 1);
    let base = pauses_ms.get(at).copied().unwrap_or(0);
    Duration::from_millis(base + base * u64::from(this.jitter) / 1024)
}

/// The next 00:00 in Beijing; right after midnight only the next minute, because WeChat's clock may be behind ours.
fn next_day(now: UnixMs) -> UnixMs {
    let into_day = (now.0 + BEIJING_MS).rem_euclid(DAY_MS);
    if into_day < MIDNIGHT_SLACK_MS { next_minute(now) } else { UnixMs(now.0 - into_day + DAY_MS) }
}

fn next_minute(now: UnixMs) -> UnixMs {
    UnixMs(now.0 - now.0.rem_euclid(MINUTE_MS) + MINUTE_MS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wechat::errcode;

    /// 2026-11-22 10:00 in Beijing.
    const NOW: UnixMs = UnixMs(1_795_312_800_000);

    fn first() -> Try {
        Try { number: 1, now: NOW, jitter: 0 }
    }

    fn code(code: i64) -> Outcome {
        Outcome::Refused { code, class: errcode::class(code) }
    }

    fn settled(state: State, reason: &str) -> Next {
        Next::Settle(Verdict::new(state, reason))
    }

    #[test]
    fn each_code_of_a_template_has_its_consequence() {
        let midnight = UnixMs(NOW.0 + 14 * 3600 * 1000);
        let again =
            |reason: &str| Next::Again { due: NOW + Duration::from_millis(500), reason: reason.to_owned() };
        let table = [
            (Outcome::Accepted(None), Next::Settle(Verdict::plain(State::Sent))),
            (Outcome::Unclear, again("unclear")),
            (Outcome::NotSent, again("not_sent")),
            (code(-1), again("errcode_-1")),
            (code(40001), again("errcode_40001")),
            (code(99_999), again("errcode_99999")),
            (code(43004), settled(State::Unreachable, "errcode_43004")),
            (code(47003), settled(State::Failed, "errcode_47003")),
            (code(40037), settled(State::Failed, "errcode_40037")),
            (code(45009), Next::Pause { until: midnight, reason: "errcode_45009".to_owned() }),
            (
                code(45011),
                Next::Pause { until: NOW + Duration::from_secs(60), reason: "errcode_45011".to_owned() },
            ),
        ];
        for (outcome, expected) in table {
            assert_eq!(after_template(&outcome, first()), expected, "{outcome:?}");
        }
        let third = Try { number: 3, ..first() };
        assert_eq!(after_template(&code(99_999), third), settled(State::Failed, "errcode_99999"));
    }

    #[test]
    fn a_chat_message_is_never_repeated_blindly_unless_it_answers() {
        let again = Next::Again { due: NOW, reason: "unclear".to_owned() };
        assert_eq!(after_chat(&Outcome::Unclear, Sender::Owed, false, first()), again);
        assert_eq!(
            after_chat(&Outcome::Unclear, Sender::Owed, true, first()),
            settled(State::Failed, "unclear")
        );
        for sender in [Sender::Agent, Sender::Rating, Sender::Unasked] {
            assert_eq!(
                after_chat(&Outcome::Unclear, sender, false, first()),
                settled(State::Failed, "unclear")
            );
        }
    }

    #[test]
    fn an_owed_answer_without_window_is_said_next_time_and_an_agents_fails_with_the_reason() {
        for (number, reason) in
            [(45015, "window_closed"), (45047, "allowance_used"), (45009, "errcode_45009")]
        {
            assert_eq!(
                after_chat(&code(number), Sender::Owed, false, first()),
                Next::Keep { reason: reason.to_owned() }
            );
            assert_eq!(
                after_chat(&code(number), Sender::Agent, false, first()),
                settled(State::Failed, reason)
            );
        }
    }

    #[test]
    fn the_day_ends_at_midnight_in_beijing_and_its_first_minutes_are_not_trusted() {
        let midnight = UnixMs(NOW.0 + 14 * 3600 * 1000);
        assert_eq!(next_day(NOW), midnight);
        assert_eq!(next_day(midnight - Duration::from_millis(1)), midnight);
        assert_eq!(next_day(midnight), midnight + Duration::from_secs(60));
        let later = midnight + Duration::from_secs(300);
        assert_eq!(next_day(later), midnight + Duration::from_secs(24 * 3600));
    }

    proptest! {
        #[test]
        fn tries_come_later_and_later_and_never_in_the_past(number in 1_i64..10_000, jitter: u8, at in 0_i64..4_000_000_000_000) {
            let this = Try { number, now: UnixMs(at), jitter };
            let Next::Again { due, .. } = after_template(&Outcome::Unclear, this) else { panic!("always again") };
            let Next::Again { due: next, .. } =
                after_template(&Outcome::Unclear, Try { number: number + 1, jitter: 0, ..this }) else { panic!("always again") };
            prop_assert!(due.0 - at >= 500 && due.0 - at <= 375_000);
            prop_assert!(next.0 - at >= (due.0 - at) * 4 / 5);
            prop_assert!(next_day(UnixMs(at)) > UnixMs(at) && next_day(UnixMs(at)).0 - at <= DAY_MS);
            prop_assert!(next_minute(UnixMs(at)) > UnixMs(at));
        }

        #[test]
        fn every_code_ends_or_waits(number: i64, tries in 1_i64..50) {
            let this = Try { number: tries, now: NOW, jitter: 9 };
            match after_template(&code(number), this) {
                Next::Again { due, .. } | Next::Pause { until: due, .. } => prop_assert!(due > NOW),
                Next::Settle(verdict) => prop_assert!(verdict.state != State::Pending),
                Next::Keep { .. } => prop_assert!(false, "a template is no answer"),
            }
        }
    }
}
