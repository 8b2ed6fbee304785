//! How many customer-service messages a follower's actions have bought (客服消息介绍), counted on the
//! platform's side and by rules of its own: strictly to the millisecond, without the server's safety margin.

use std::time::Duration;

use serde::Serialize;

use crate::domain::time::UnixMs;

const MESSAGE_SENDS_MAX: u8 = 5;
const MESSAGE_WINDOW: Duration = Duration::from_secs(48 * 3600);
const TAP_SENDS_MAX: u8 = 3;
const TAP_WINDOW: Duration = Duration::from_secs(60);
const PAYMENT_WINDOW: Duration = Duration::from_secs(48 * 3600);

/// Which user action bought the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bought {
    /// A message of any type.
    Message,
    /// A menu click of type click, scancode_push or scancode_waitmsg, an item of a 菜单消息, a follow, a scan.
    Tap,
    /// A payment: without limit while it lasts.
    Payment,
}

/// Why a send is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// 45015
    WindowClosed,
    /// 45047
    UsedUp,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    until: UnixMs,
    left: u8,
}

/// What may still be sent to one follower.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowance {
    message: Option<Window>,
    tap: Option<Window>,
    paid_until: Option<UnixMs>,
}

/// What is left, for the phone.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Left {
    message: u8,
    message_until: Option<UnixMs>,
    tap: u8,
    tap_until: Option<UnixMs>,
    paid_until: Option<UnixMs>,
    /// The platform's time that the ends are counted by.
    now: UnixMs,
}

impl Allowance {
    /// An action happened: its window starts anew.
    pub(crate) fn buy(&mut self, bought: Bought, now: UnixMs) {
        match bought {
            Bought::Message => {
                self.message = Some(Window { until: now + MESSAGE_WINDOW, left: MESSAGE_SENDS_MAX });
            }
            Bought::Tap => self.tap = Some(Window { until: now + TAP_WINDOW, left: TAP_SENDS_MAX }),
            Bought::Payment => self.paid_until = Some(now + PAYMENT_WINDOW),
        }
    }

    /// Takes one message out of the shortest-lived window that still has one; a payment's has always one.
    pub(crate) fn spend(&mut self, now: UnixMs) -> Result<(), Refused> {
        let paid = self.paid_until.is_some_and(|until| now < until);
        let mut open = [&mut self.tap, &mut self.message]
            .into_iter()
            .filter_map(Option::as_mut)
            .filter(|window| now < window.until)
            .peekable();
        if open.peek().is_none() && !paid {
            return Err(Refused::WindowClosed);
        }
        match open.find(|window| window.left > 0) {
            Some(window) => {
                window.left -= 1;
                Ok(())
            }
            None if paid => Ok(()),
            None => Err(Refused::UsedUp),
        }
    }

    /// The follower left: nothing may be sent any more.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// What is left now.
    pub(crate) fn left(&self, now: UnixMs) -> Left {
        let open = |window: &Option<Window>| window.filter(|window| now < window.until);
        let (message, tap) = (open(&self.message), open(&self.tap));
        Left {
            message: message.map_or(0, |window| window.left),
            message_until: message.map(|window| window.until),
            tap: tap.map_or(0, |window| window.left),
            tap_until: tap.map(|window| window.until),
            paid_until: self.paid_until.filter(|until| now < *until),
            now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_767_225_600_000);

    #[test]
    fn a_message_buys_five_for_48_hours() {
        let mut allowance = Allowance::default();
        assert_eq!(allowance.spend(NOW), Err(Refused::WindowClosed));
        allowance.buy(Bought::Message, NOW);
        for _ in 0..5 {
            assert_eq!(allowance.spend(NOW), Ok(()));
        }
        assert_eq!(allowance.spend(NOW), Err(Refused::UsedUp));
        assert_eq!(allowance.spend(NOW + MESSAGE_WINDOW), Err(Refused::WindowClosed));
    }

    #[test]
    fn a_tap_buys_three_for_a_minute_which_are_spent_first() {
        let mut allowance = Allowance::default();
        allowance.buy(Bought::Message, NOW);
        allowance.buy(Bought::Tap, NOW);
        for _ in 0..4 {
            assert_eq!(allowance.spend(NOW), Ok(()));
        }
        assert_eq!((allowance.left(NOW).tap, allowance.left(NOW).message), (0, 4));
        let mut tapped = Allowance::default();
        tapped.buy(Bought::Tap, NOW);
        assert_eq!(tapped.spend(NOW + TAP_WINDOW), Err(Refused::WindowClosed));
    }

    #[test]
    fn a_payment_opens_48_hours_without_limit() {
        let mut allowance = Allowance::default();
        allowance.buy(Bought::Payment, NOW);
        for _ in 0..50 {
            assert_eq!(allowance.spend(NOW), Ok(()));
        }
        assert_eq!(allowance.spend(NOW + PAYMENT_WINDOW), Err(Refused::WindowClosed));
    }
}
