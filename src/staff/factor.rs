//! One-time codes of a phone (RFC 6238: SHA-1, six digits, steps of 30 seconds), which every authenticator knows, and
//! the codes for the day when the phone is lost.

use totp_rs::{Builder, Totp};
use zeroize::Zeroizing;

use crate::clock::Random;
use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;

/// What phone and server share: 160 bits, as RFC 4226 asks for.
pub(super) const SECRET_BYTES: usize = 20;
/// Recovery codes that a person is given.
pub(super) const RECOVERY_CODES: usize = 10;
/// Characters of a recovery code: 32 of them, so 60 bits. None that is mistaken for another.
const RECOVERY_ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const RECOVERY_CHARS: usize = 12;

/// What phone and server share.
pub(super) struct Factor(Zeroizing<Vec<u8>>);

impl Factor {
    pub(super) fn new(secret: &[u8]) -> Self {
        Self(Zeroizing::new(secret.to_vec()))
    }

    pub(super) fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// As people type it into a phone that cannot scan: base32.
    pub(super) fn base32(&self) -> Secret {
        Secret::new(totp_rs::Secret::new(self.0.as_slice().into()).to_base32())
    }

    /// The step whose code this is: the present one, or a neighbour, because clocks differ.
    pub(super) fn step_of(&self, code: &str, now: UnixMs) -> Option<i64> {
        let seconds = u64::try_from(now.0 / 1000).ok()?;
        let step = self.totp()?.check(code, seconds)?;
        i64::try_from(step).ok()
    }

    fn totp(&self) -> Option<Totp> {
        Builder::new().with_secret(self.0.to_vec()).build().ok()
    }
}

/// New recovery codes, as the person keeps them: `abcd-efgh-jkmn`.
pub(super) fn recovery_codes(random: &dyn Random) -> Vec<Secret> {
    let one = |_| {
        let mut bytes = Zeroizing::new([0; RECOVERY_CHARS]);
        random.fill(&mut bytes[..]);
        let mut code = String::with_capacity(RECOVERY_CHARS + 2);
        for (place, byte) in bytes.iter().enumerate() {
            if place > 0 && place % 4 == 0 {
                code.push('-');
            }
            let letter = RECOVERY_ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'a');
            code.push(char::from(letter));
        }
        Secret::new(code)
    };
    (0..RECOVERY_CODES).map(one).collect()
}

/// What was typed, as a recovery code is kept: without gaps, in small letters. `None`: it is none.
pub(super) fn recovery_form(typed: &str) -> Option<Secret> {
    let kept: String = typed
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .map(|c| c.to_ascii_lowercase())
        .take(RECOVERY_CHARS + 1)
        .collect();
    let fits = kept.len() == RECOVERY_CHARS && kept.bytes().all(|byte| RECOVERY_ALPHABET.contains(&byte));
    fits.then(|| Secret::new(kept))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::clock::SeededRandom;

    /// What a phone shows at this moment.
    pub(crate) fn code_at(base32: &str, now: UnixMs) -> String {
        let secret = totp_rs::Secret::try_from_base32(base32).unwrap();
        let totp = Builder::new().with_secret(secret).build().unwrap();
        totp.generate(u64::try_from(now.0 / 1000).unwrap()).to_string()
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B, SHA-1; its codes have eight digits, of which the last six are ours.
        let factor = Factor::new(b"12345678901234567890");
        for (second, code) in [
            (59_i64, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            let step = second / 30;
            let (_, code) = code.split_at(2);
            assert_eq!(factor.step_of(code, UnixMs(second * 1000)), Some(step), "{second}");
            assert_eq!(factor.step_of(code, UnixMs((second + 30) * 1000)), Some(step), "a slow phone");
            assert_eq!(factor.step_of(code, UnixMs((second - 30) * 1000)), Some(step), "a fast phone");
            assert_eq!(factor.step_of(code, UnixMs((second + 61) * 1000)), None, "an old code");
        }
        for wrong in ["", "28708", "2870822", "28708x", "+87082", "２８７０８２"] {
            assert_eq!(factor.step_of(wrong, UnixMs(59_000)), None, "{wrong}");
        }
        assert_eq!(factor.base32().reveal(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }

    #[test]
    fn recovery_codes_differ_and_read_back_however_they_are_typed() {
        let codes = recovery_codes(&SeededRandom::new(1));
        assert_eq!(codes.len(), RECOVERY_CODES);
        let kept: std::collections::BTreeSet<String> =
            codes.iter().map(|code| recovery_form(code.reveal()).unwrap().reveal().to_owned()).collect();
        assert_eq!(kept.len(), RECOVERY_CODES);
        let first = codes[0].reveal();
        let typed = format!(" {} ", first.to_uppercase().replace('-', " "));
        assert_eq!(recovery_form(&typed), recovery_form(first));
        for none in
            ["", "123456", "abcd-efgh-jkm", "abcd-efgh-jkmnp", "abcd-efgh-jkm1", "客户客户客户客户客户客户"]
        {
            assert!(recovery_form(none).is_none(), "{none}");
        }
    }
}
