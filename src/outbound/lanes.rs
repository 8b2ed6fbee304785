//! Which lane's turn it is. Precedence is strict, with two exceptions: a backlog never takes the last room, so that
//! what is urgent leaves at once; and now and then the last lane goes before the one above it, so that it moves.

use crate::store::Lane;

/// Messages to WeChat that are unsettled at the same time, in one process. A send holds its place from its intent until it
/// is settled, a tenth of a second where WeChat takes half of that: this many carry some two thousand a second.
pub(super) const SENDS_MAX: usize = 256;
/// Of these, room that only security has.
const KEPT_FOR_SECURITY: usize = 8;
/// And room that only security and answers have.
const KEPT_FOR_ANSWERS: usize = 16;
/// One round in so many turns the last two lanes round.
const TURN_EVERY: u64 = 16;
/// The part of the room, one in so many, that the last lane has in its turn.
const TURN_SHARE: usize = 4;

/// One lane in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) lane: Lane,
    /// It may have one in so many of the places that are free.
    share: usize,
}

impl Turn {
    /// How many sends may begin while so many are under way.
    pub(super) fn room(self, under_way: usize) -> usize {
        let free = sends_max(self.lane).saturating_sub(under_way);
        free.div_ceil(self.share)
    }

    /// How many of so many permits it may take.
    pub(super) fn share_of(self, permits: usize) -> usize {
        permits.div_ceil(self.share)
    }

    /// Whether it may begin when a backlog has taken all that it can have.
    pub(super) fn is_urgent(self) -> bool {
        matches!(self.lane, Lane::Security | Lane::Answer)
    }
}

/// Sends under way, above which nothing of this lane begins.
pub(super) fn sends_max(lane: Lane) -> usize {
    match lane {
        Lane::Security => SENDS_MAX,
        Lane::Answer => SENDS_MAX - KEPT_FOR_SECURITY,
        Lane::Spend | Lane::Reminder | Lane::Event => SENDS_MAX - KEPT_FOR_SECURITY - KEPT_FOR_ANSWERS,
    }
}

/// The lanes in the order of a round.
pub(super) fn turns(round: u64) -> [Turn; 4] {
    let whole = |lane| Turn { lane, share: 1 };
    let [first, second, third, last] = Lane::TO_WECHAT;
    if round.is_multiple_of(TURN_EVERY) {
        [whole(first), whole(second), Turn { lane: last, share: TURN_SHARE }, whole(third)]
    } else {
        [first, second, third, last].map(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(round: u64) -> [Lane; 4] {
        turns(round).map(|turn| turn.lane)
    }

    #[test]
    fn security_and_answers_always_come_first_and_the_last_lane_gets_its_turn() {
        for round in 0..100 {
            assert_eq!(lanes(round)[..2], [Lane::Security, Lane::Answer], "{round}");
        }
        let reminders_first = (0..160).filter(|round| lanes(*round)[2] == Lane::Reminder).count();
        assert_eq!(reminders_first, 10);
        let turn = turns(0)[2];
        assert_eq!((turn.room(0), turn.share_of(1), turn.share_of(100)), (58, 1, 25));
    }

    #[test]
    fn a_backlog_leaves_room_for_what_is_urgent() {
        let [security, answer, spend, reminder] = turns(1);
        let full = sends_max(Lane::Spend);
        assert_eq!((spend.room(full), reminder.room(full)), (0, 0));
        assert_eq!((answer.room(full), security.room(full)), (16, 24));
        assert_eq!((answer.room(full + 16), security.room(full + 16)), (0, 8));
        assert_eq!(security.room(SENDS_MAX), 0);
    }
}
