//! The name of one piece of work, from the door to the last thing that follows from it.

use std::fmt;

/// 16 bytes that are not all zero (W3C Trace Context, trace-id). Says nothing about anybody.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// Characters of a reference number.
    const REFERENCE_CHARS: usize = 8;

    /// Wraps bytes of which at least the last four are random. `None`: all are zero, which names nothing.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// Reads 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        (is_lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(())?;
        Self::new(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// What a customer can read out and an operator can look for: the end of the id.
    #[must_use]
    pub fn reference(self) -> String {
        self.to_string().chars().skip(32 - Self::REFERENCE_CHARS).collect()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where in a trace somebody stood when he called: the header `traceparent` (W3C Trace Context, level 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The caller's own step in it; never 0.
    pub span: u64,
}

impl TraceParent {
    /// Reads the header. `None` when it is not of its form; then a new trace begins.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let later_version = version != "00";
        if version.len() != 2 || !is_hex(version) || version == "ff" {
            return None;
        }
        if flags.len() != 2 || !is_hex(flags) || (parts.next().is_some() && !later_version) {
            return None;
        }
        let fits = span.len() == 16 && is_hex(span);
        let span = u64::from_str_radix(span, 16).ok().filter(|span| fits && *span != 0)?;
        Some(Self { trace: TraceId::parse(trace)?, span })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{:016x}-01", self.trace, self.span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn an_id_is_read_back_and_ends_in_its_reference() {
        let trace = TraceId::parse(TRACE).unwrap();
        assert_eq!(trace.to_string(), TRACE);
        assert_eq!(trace.reference(), "0e0e4736");
        for wrong in ["", "0", &"0".repeat(32), &TRACE.to_uppercase(), &format!("{TRACE}00"), "x"] {
            assert_eq!(TraceId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_traceparent_is_taken_only_whole() {
        let header = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(TraceParent::parse(&header).unwrap().to_string(), header);
        assert!(TraceParent::parse(&format!("cc-{TRACE}-00f067aa0ba902b7-01-later")).is_some());
        for wrong in [
            String::new(),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{TRACE}-00f067aa0ba902b-01"),
            format!("00-{TRACE}-+0f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-00f067aa0ba902b7-0é"),
        ] {
            assert_eq!(TraceParent::parse(&wrong), None, "{wrong}");
        }
    }
}
