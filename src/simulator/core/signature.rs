//! The bank's own reading of *Standard Webhooks*, written apart from the server's so that a fault cannot hide on
//! both sides.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;

const FIVE_MINUTES_S: i64 = 300;

/// A shared key.
pub(super) struct Key(Hmac<Sha256>);

impl Key {
    pub(super) fn new(secret: &Secret) -> Result<Self, String> {
        let encoded = secret.reveal().strip_prefix("whsec_").ok_or("a secret must begin with whsec_")?;
        let bytes = BASE64_STANDARD_NO_PAD
            .decode(encoded.trim_end_matches('='))
            .map_err(|_| "a secret must be base64 after whsec_")?;
        Hmac::new_from_slice(&bytes).map(Self).map_err(|_| "a secret has no usable length".to_owned())
    }

    fn signed(&self, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].iter().fold(
            self.0.clone(),
            |mut mac, part| {
                mac.update(part);
                mac
            },
        )
    }

    /// The value of `webhook-signature`.
    pub(super) fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let tag = self.signed(id, timestamp, body).finalize().into_bytes();
        format!("v1,{}", BASE64_STANDARD.encode(tag))
    }

    /// Whether the headers vouch for the body. `header` looks a header up.
    pub(super) fn vouches<'a>(
        &self,
        header: impl Fn(&str) -> Option<&'a str>,
        body: &[u8],
        now: UnixMs,
    ) -> bool {
        let headers = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
        let (Some(id), Some(timestamp), Some(signatures)) = headers else { return false };
        let Ok(sent_at) = timestamp.parse::<i64>() else { return false };
        if id.is_empty() || (now.seconds() - sent_at).abs() > FIVE_MINUTES_S {
            return false;
        }
        signatures.split_whitespace().filter_map(|entry| entry.strip_prefix("v1,")).any(|encoded| {
            BASE64_STANDARD
                .decode(encoded)
                .is_ok_and(|tag| self.signed(id, timestamp, body).verify_slice(&tag).is_ok())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vector_fits() {
        let key = Key::new(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned())).unwrap();
        let (id, timestamp, body) =
            ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        let signature = key.sign(id, timestamp, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let header = |name: &str| match name {
            "webhook-id" => Some(id),
            "webhook-timestamp" => Some(timestamp),
            _ => Some(signature.as_str()),
        };
        assert!(key.vouches(header, body, UnixMs::from_seconds(1_614_265_330)));
        assert!(!key.vouches(header, b"{}", UnixMs::from_seconds(1_614_265_330)));
        assert!(!key.vouches(header, body, UnixMs::from_seconds(1_614_265_631)));
        assert!(!key.vouches(|_| None, body, UnixMs::from_seconds(1_614_265_330)));
    }
}
