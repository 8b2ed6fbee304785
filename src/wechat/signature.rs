//! The two signatures of a push, and the one of the JS-SDK: lowercase hexadecimal SHA-1.
//!
//! The parts are sorted by bytes, not by number: a ciphertext that starts with `+` or `/` sorts before digits.

use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

/// A computed signature: 40 lowercase hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature([u8; 40]);

impl Signature {
    /// `signature`: proves that the caller knows the token; says nothing about the body.
    #[must_use]
    pub fn of_query(token: &str, timestamp: &str, nonce: &str) -> Self {
        Self::of_sorted([token, timestamp, nonce])
    }

    /// `msg_signature`: covers the ciphertext too.
    #[must_use]
    pub fn of_message(token: &str, timestamp: &str, nonce: &str, ciphertext: &str) -> Self {
        Self::of_sorted([token, timestamp, nonce, ciphertext])
    }

    /// What `wx.config` wants. `page_url` is the whole address with its query, without `#…`.
    #[must_use]
    pub fn of_page(ticket: &str, nonce: &str, timestamp: &str, page_url: &str) -> Self {
        let pairs =
            ["jsapi_ticket=", ticket, "&noncestr=", nonce, "&timestamp=", timestamp, "&url=", page_url];
        Self::of_parts(&pairs)
    }

    /// Whether `given` is this signature. Takes the same time wherever they differ.
    #[must_use]
    pub fn matches(&self, given: &str) -> bool {
        self.0.as_slice().ct_eq(given.as_bytes()).into()
    }

    /// The 40 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    fn of_sorted<const N: usize>(mut parts: [&str; N]) -> Self {
        parts.sort_unstable();
        Self::of_parts(&parts)
    }

    fn of_parts(parts: &[&str]) -> Self {
        let mut hasher = Sha1::new();
        for part in parts {
            hasher.update(part.as_bytes());
        }
        let mut digits = [0_u8; 40];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(hasher.finalize()) {
            pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        Self(digits)
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::vectors;

    #[test]
    fn every_published_signature_is_reproduced() {
        let mut seen = 0;
        for vector in vectors::all() {
            let Some(expected) = vector.text("expected_signature") else { continue };
            let timestamp = vector.need("timestamp");
            let nonce = vector.need("nonce");
            let computed = match vector.need("kind") {
                "plain_signature" => Signature::of_query(vector.need("token"), timestamp, nonce),
                "encrypt" | "decrypt" => {
                    Signature::of_message(vector.need("token"), timestamp, nonce, vector.need("ciphertext"))
                }
                "jsapi_signature" => {
                    let text = vector.need("plaintext");
                    let value = |key: &str| {
                        let (_, rest) = text.split_once(key).unwrap();
                        rest.split('&').next().unwrap()
                    };
                    let url = text.split_once("&url=").unwrap().1;
                    Signature::of_page(value("jsapi_ticket="), nonce, timestamp, url)
                }
                other => panic!("a vector of unknown kind {other}"),
            };
            assert_eq!(computed.as_str(), expected, "{}", vector.need("id"));
            assert!(computed.matches(expected));
            seen += 1;
        }
        assert_eq!(seen, 11);
    }

    #[test]
    fn a_signature_matches_only_itself() {
        let right = Signature::of_query("AAAAA", "1714036504", "1514711492");
        assert!(right.matches("f464b24fc39322e44b38aa78f5edd27bd1441696"));
        for wrong in
            ["", "f464b24fc39322e44b38aa78f5edd27bd144169", "F464B24FC39322E44B38AA78F5EDD27BD1441696"]
        {
            assert!(!right.matches(wrong));
        }
    }
}
