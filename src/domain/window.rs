//! What may still be sent to a follower as customer-service messages (WeChat docs, 客服消息介绍).
//!
//! A user action opens a window: a message 5 sends in 48 hours; a menu click, a follow or a scan 3 sends in
//! one minute. How overlapping windows combine is not documented, so each kind keeps its own count, the
//! shortest-lived is spent first, and WeChat's 45015 and 45047 are the truth.

use std::time::Duration;

use super::time::UnixMs;

/// What the follower did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserAction {
    /// Sent a message of any kind.
    Message,
    /// Clicked a menu button of type click, scancode_push or scancode_waitmsg, or an item of a 菜单消息;
    /// followed; scanned a code.
    Tap,
}

/// Who wants to send. Order of the variants is the order of precedence (P11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sender {
    /// An agent's answer: may use everything.
    Agent,
    /// An answer that is owed to a question: leaves nothing aside while no agent is involved; while one is, his three
    /// and the one of the rating.
    Owed,
    /// The satisfaction question: never while a person is involved but from beyond his three.
    Rating,
    /// Alerts, queue places: never the last three, nothing while a person is involved.
    Unasked,
}

impl Sender {
    /// Its name in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Owed => "owed",
            Self::Rating => "rating",
            Self::Unasked => "unasked",
        }
    }
}

/// One open window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// When the action happened; zero: never.
    pub granted: UnixMs,
    /// Sends used since.
    pub used: u8,
}

/// The allowance of one follower of one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Opened by a message.
    pub message: Grant,
    /// Opened by a tap.
    pub tap: Grant,
}

/// Which window a send draws on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// The 48-hour window.
    Message,
    /// The one-minute window.
    Tap,
}

/// Why nothing may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No window is open.
    Closed,
    /// A window is open but what is left is kept for senders that come first.
    Kept,
}

impl Ledger {
    /// Sends bought by a message.
    pub const MESSAGE_SENDS_MAX: u8 = 5;
    /// How long a message's window lives.
    pub const MESSAGE_WINDOW: Duration = Duration::from_secs(48 * 3600);
    /// Sends bought by a tap.
    pub const TAP_SENDS_MAX: u8 = 3;
    /// How long a tap's window lives.
    pub const TAP_WINDOW: Duration = Duration::from_secs(60);
    /// Sends kept for an agent once a person is involved, and never touched by unasked messages.
    pub const AGENT_RESERVE: u8 = 3;
    /// Sends kept for the rating once a person is involved. The agent may use them: his answer is worth more.
    pub const RATING_RESERVE: u8 = 1;
    /// A send close to the end of a window may arrive after it: stop this much earlier.
    const MARGIN: Duration = Duration::from_secs(2);

    /// Opens a fresh window for an action.
    pub fn grant(&mut self, action: UserAction, now: UnixMs) {
        let fresh = Grant { granted: now, used: 0 };
        match action {
            UserAction::Message => self.message = fresh,
            UserAction::Tap => self.tap = fresh,
        }
    }

    /// Sends left in the 48-hour window.
    #[must_use]
    pub fn message_left(&self, now: UnixMs) -> u8 {
        left(self.message, Self::MESSAGE_SENDS_MAX, Self::MESSAGE_WINDOW, now)
    }

    /// Sends left in the one-minute window.
    #[must_use]
    pub fn tap_left(&self, now: UnixMs) -> u8 {
        left(self.tap, Self::TAP_SENDS_MAX, Self::TAP_WINDOW, now)
    }

    /// Sends left in both.
    #[must_use]
    pub fn left(&self, now: UnixMs) -> u8 {
        self.message_left(now).saturating_add(self.tap_left(now))
    }

    /// Until when something may be sent at all; `None`: nothing may.
    #[must_use]
    pub fn open_until(&self, now: UnixMs) -> Option<UnixMs> {
        if self.message_left(now) > 0 {
            return Some(self.message.granted + Self::MESSAGE_WINDOW);
        }
        (self.tap_left(now) > 0).then(|| self.tap.granted + Self::TAP_WINDOW)
    }

    /// WeChat says that no window is open (45015): whatever actions bought is over.
    pub fn close(&mut self, now: UnixMs) {
        let over = |grant: Grant, window| Grant { granted: grant.granted.min(now - window), used: 0 };
        self.message = over(self.message, Self::MESSAGE_WINDOW);
        self.tap = over(self.tap, Self::TAP_WINDOW);
    }

    /// WeChat says that nothing is left (45047), until the follower acts again.
    pub fn use_up(&mut self) {
        self.message.used = Self::MESSAGE_SENDS_MAX;
        self.tap.used = Self::TAP_SENDS_MAX;
    }

    /// Decides whether `sender` may send now and which window pays. The shortest-lived pays first.
    ///
    /// # Errors
    /// [`Refused::Closed`] without a window, [`Refused::Kept`] when the rest is kept for others.
    pub fn draw(&self, sender: Sender, person_involved: bool, now: UnixMs) -> Result<Draw, Refused> {
        let left = self.left(now);
        if left == 0 {
            return Err(Refused::Closed);
        }
        let keep = match sender {
            Sender::Agent => 0,
            Sender::Owed if person_involved => Self::AGENT_RESERVE + Self::RATING_RESERVE,
            Sender::Owed => 0,
            Sender::Rating => u8::from(person_involved) * Self::AGENT_RESERVE,
            Sender::Unasked if person_involved => u8::MAX,
            Sender::Unasked => Self::AGENT_RESERVE,
        };
        if left <= keep {
            return Err(Refused::Kept);
        }
        Ok(if self.tap_left(now) > 0 { Draw::Tap } else { Draw::Message })
    }

    /// Books one send.
    pub fn spend(&mut self, draw: Draw) {
        let grant = match draw {
            Draw::Message => &mut self.message,
            Draw::Tap => &mut self.tap,
        };
        grant.used = grant.used.saturating_add(1);
    }
}

fn left(grant: Grant, sends_max: u8, window: Duration, now: UnixMs) -> u8 {
    let open = grant.granted != UnixMs(0) && now < grant.granted + window.saturating_sub(Ledger::MARGIN);
    if open { sends_max.saturating_sub(grant.used) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_767_225_600_000);

    #[test]
    fn a_message_buys_five_in_48_hours_and_a_tap_three_in_a_minute() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.draw(Sender::Agent, true, NOW), Err(Refused::Closed));
        ledger.grant(UserAction::Message, NOW);
        ledger.grant(UserAction::Tap, NOW);
        assert_eq!((ledger.message_left(NOW), ledger.tap_left(NOW)), (5, 3));
        assert_eq!(ledger.draw(Sender::Agent, true, NOW), Ok(Draw::Tap));
        let later = NOW + Duration::from_secs(61);
        assert_eq!((ledger.message_left(later), ledger.tap_left(later)), (5, 0));
        assert_eq!(ledger.left(NOW + Duration::from_secs(48 * 3600)), 0);
    }

    #[test]
    fn unasked_messages_never_touch_the_last_three_nor_any_while_a_person_is_involved() {
        let mut ledger = Ledger::default();
        ledger.grant(UserAction::Message, NOW);
        assert!(ledger.draw(Sender::Unasked, false, NOW).is_ok());
        assert_eq!(ledger.draw(Sender::Unasked, true, NOW), Err(Refused::Kept));
        assert_eq!(ledger.draw(Sender::Owed, true, NOW), Ok(Draw::Message));
        ledger.spend(Draw::Message);
        assert_eq!(ledger.draw(Sender::Owed, true, NOW), Err(Refused::Kept), "three and the rating's one");
        assert_eq!(ledger.draw(Sender::Rating, true, NOW), Ok(Draw::Message));
        ledger.spend(Draw::Message);
        assert_eq!(ledger.draw(Sender::Rating, true, NOW), Err(Refused::Kept));
        assert_eq!(ledger.draw(Sender::Unasked, false, NOW), Err(Refused::Kept));
        assert_eq!(ledger.draw(Sender::Owed, true, NOW), Err(Refused::Kept));
        assert_eq!(ledger.draw(Sender::Owed, false, NOW), Ok(Draw::Message));
        assert_eq!(ledger.draw(Sender::Agent, true, NOW), Ok(Draw::Message));
    }

    #[test]
    fn wechats_word_counts_until_the_follower_acts_again() {
        let words: [fn(&mut Ledger); 2] = [|ledger| ledger.close(NOW), Ledger::use_up];
        for say in words {
            let mut ledger = Ledger::default();
            say(&mut ledger);
            assert_eq!((ledger.message.granted, ledger.left(NOW)), (UnixMs(0), 0), "he has never written");
            ledger.grant(UserAction::Message, NOW);
            ledger.grant(UserAction::Tap, NOW);
            say(&mut ledger);
            assert_eq!((ledger.left(NOW), ledger.open_until(NOW)), (0, None));
            ledger.grant(UserAction::Message, NOW);
            assert_eq!(ledger.message_left(NOW), 5);
        }
    }

    #[test]
    fn a_spent_window_gives_nothing_to_anyone() {
        let mut ledger = Ledger::default();
        ledger.grant(UserAction::Message, NOW);
        for _ in 0..5 {
            let draw = ledger.draw(Sender::Agent, true, NOW).unwrap();
            ledger.spend(draw);
        }
        assert_eq!(ledger.draw(Sender::Agent, true, NOW), Err(Refused::Closed));
    }
}
