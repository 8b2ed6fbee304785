//! What one instance says to the others, as text.

use std::fmt;

/// The first word of each message; another one is of another version, and passed over.
const FORM: &str = "weikefu-hint-1";
/// Longest message that is read.
const BYTES_MAX: usize = 256;

/// Where a look may be worth while. It holds no data: partitions by number, and two kinds of work that are looked for
/// as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// One bit for each of the 256 partitions in which there is something to send.
    parts: [u64; 4],
    /// Notices were taken in, and nobody has planned them.
    pub planning: bool,
    /// Something changed at the desk.
    pub desk: bool,
}

impl Hint {
    /// A look at everything: for who may have missed hints.
    #[must_use]
    pub fn everything() -> Self {
        Self { parts: [u64::MAX; 4], planning: true, desk: true }
    }

    /// Adds a partition in which there is something to send.
    pub fn add_part(&mut self, part: u8) {
        if let Some(word) = self.parts.get_mut(usize::from(part / 64)) {
            *word |= 1 << (part % 64);
        }
    }

    /// The partitions in which there is something to send.
    pub fn parts(&self) -> impl Iterator<Item = u8> {
        let words = self.parts;
        let has = move |part: &u8| {
            words.get(usize::from(part / 64)).is_some_and(|word| word & (1 << (part % 64)) != 0)
        };
        (0..=u8::MAX).filter(has)
    }
}

/// A hint and who gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The instance, by the name that its leases have: letters, digits and `-`.
    pub(super) from: String,
    pub(super) hint: Hint,
}

impl Message {
    /// Reads what came; `None`: of another version, or not ours.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= BYTES_MAX)?;
        let mut words = text.split(' ');
        if words.next() != Some(FORM) {
            return None;
        }
        let from = words.next().filter(|from| !from.is_empty())?.to_owned();
        let mut parts = [0; 4];
        for word in &mut parts {
            *word = u64::from_str_radix(words.next()?, 16).ok()?;
        }
        let kinds = words.next()?;
        let hint = Hint { parts, planning: kinds.contains('p'), desk: kinds.contains('d') };
        Some(Self { from, hint })
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORM} {}", self.from)?;
        for word in self.hint.parts {
            write!(f, " {word:x}")?;
        }
        f.write_str(match (self.hint.planning, self.hint.desk) {
            (true, true) => " pd",
            (true, false) => " p",
            (false, true) => " d",
            (false, false) => " -",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(parts: Vec<u8>, planning: bool, desk: bool) {
            let mut hint = Hint { planning, desk, ..Hint::default() };
            parts.iter().for_each(|part| hint.add_part(*part));
            let message = Message { from: "01-ab".to_owned(), hint };
            let text = message.to_string();
            prop_assert!(text.len() <= BYTES_MAX, "{text}");
            prop_assert_eq!(Message::read(text.as_bytes()), Some(message));
            prop_assert!(hint.parts().eq(BTreeSet::from_iter(parts)));
        }

        #[test]
        fn what_others_write_is_passed_over(text: Vec<u8>) {
            prop_assert_eq!(Message::read(&text), None);
        }
    }

    #[test]
    fn another_version_and_torn_messages_are_passed_over() {
        let whole = Message { from: "01-ab".to_owned(), hint: Hint::everything() }.to_string();
        assert!(Message::read(whole.as_bytes()).is_some());
        assert_eq!(Message::read(whole.replace("hint-1", "hint-2").as_bytes()), None);
        assert_eq!(Message::read(b"weikefu-hint-1 a 0 0 0"), None);
        assert_eq!(Message::read(b"weikefu-hint-1  0 0 0 0 -"), None);
        assert_eq!(Message::read(format!("{whole} {}", "x".repeat(BYTES_MAX)).as_bytes()), None);
    }
}
