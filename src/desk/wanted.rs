//! Why a person is wanted.

use crate::domain::complaint::Registered;

/// A wish for a person, as a service or a word list words it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// A code or a sentence of the content, never the customer's words: it is stored, counted and told as it is. Empty:
    /// he asked.
    pub reason: &'a str,
    /// Who should take it, by a code of the content; empty: anyone.
    pub skill: &'a str,
    /// 0 (ordinary) to 9 (at once).
    pub priority: u8,
    /// What he complains of: registered with the case, whatever becomes of its place.
    pub complaint: Option<&'a Registered>,
}

impl<'a> Wanted<'a> {
    /// A wish without a complaint.
    #[must_use]
    pub fn new(reason: &'a str, skill: &'a str, priority: u8) -> Self {
        Self { reason, skill, priority, complaint: None }
    }

    /// The reason as a case keeps it.
    pub(super) fn code(&self) -> String {
        let plain = self.reason.chars().filter(|c| !c.is_control());
        let code: String = plain.take(super::Desk::CODE_CHARS_MAX).collect();
        if code.is_empty() { "asked".to_owned() } else { code }
    }
}
