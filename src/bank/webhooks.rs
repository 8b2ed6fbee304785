//! Signatures between the bank and us, as the open *Standard Webhooks* specification says: three headers, and
//! HMAC-SHA256 over `id.timestamp.body` under a key that both sides hold.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;

/// Header that names the message; the same on every retry of one message.
pub const ID_HEADER: &str = "webhook-id";
/// Header with Unix seconds; fresh on every attempt.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// Header with one or more `v1,…` signatures, separated by spaces.
pub const SIGNATURE_HEADER: &str = "webhook-signature";

/// Header by which both sides' logs are joined (W3C Trace Context); not signed, and trusted with nothing else.
pub const TRACEPARENT: &str = "traceparent";

/// How far the sender's clock may be from ours, either way. The specification's own figure.
const SKEW_SECONDS_MAX: i64 = 300;
/// Longest id: it is remembered against replay, so it must not be a way to fill memory.
const ID_BYTES_MAX: usize = 256;
/// Signatures looked at in one header; a rotation needs two.
const SIGNATURES_MAX: usize = 8;

/// Some libraries write the key without padding, or with stray bits in its last character.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A secret that is not of the form `whsec_<base64>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing secret must be whsec_ followed by at least one byte in base64")]
pub struct BadSecret;

/// Why a call was not accepted as genuine. The reasons are for metrics; the caller only learns "401".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGenuine {
    /// A header is missing or not of its form.
    #[error("signature headers are missing or malformed")]
    Malformed,
    /// The timestamp is further than five minutes from our clock.
    #[error("the timestamp is further than five minutes away")]
    Stale,
    /// No signature fits any of our keys.
    #[error("no signature fits")]
    Forged,
}

/// What the caller presented: the three headers as they came.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// `webhook-id`
    pub id: &'a str,
    /// `webhook-timestamp`
    pub timestamp: &'a str,
    /// `webhook-signature`
    pub signature: &'a str,
}

/// A keyed hash with nothing hashed yet.
struct Key(Hmac<Sha256>);

impl Key {
    fn parse(secret: &Secret) -> Result<Self, BadSecret> {
        let encoded = secret.reveal().strip_prefix("whsec_").ok_or(BadSecret)?;
        let bytes = Zeroizing::new(LENIENT.decode(encoded).map_err(|_| BadSecret)?);
        if bytes.is_empty() {
            return Err(BadSecret);
        }
        Hmac::new_from_slice(&bytes).map(Self).map_err(|_| BadSecret)
    }

    fn mac(&self, id: &str, timestamp: i64, body: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(timestamp.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        mac.finalize().into_bytes().into()
    }
}

/// The signature of one message: `v1,<base64>`.
///
/// # Errors
/// When the secret is not `whsec_<base64>`.
pub fn sign(secret: &Secret, id: &str, timestamp: i64, body: &[u8]) -> Result<String, BadSecret> {
    Ok(format!("v1,{}", STANDARD.encode(Key::parse(secret)?.mac(id, timestamp, body))))
}

/// Signs what we send.
pub struct Signer(Key);

impl Signer {
    /// Takes the secret that the other side holds too.
    ///
    /// # Errors
    /// When it is not `whsec_<base64>`.
    pub fn new(secret: &Secret) -> Result<Self, BadSecret> {
        Key::parse(secret).map(Self)
    }

    /// The three headers for one attempt at sending `body`.
    #[must_use]
    pub fn headers(&self, id: &str, now: UnixMs, body: &[u8]) -> [(&'static str, String); 3] {
        let timestamp = now.seconds();
        let signature = format!("v1,{}", STANDARD.encode(self.0.mac(id, timestamp, body)));
        [(ID_HEADER, id.to_owned()), (TIMESTAMP_HEADER, timestamp.to_string()), (SIGNATURE_HEADER, signature)]
    }
}

/// Checks what we are sent. Holds more than one key while a key is rotated; without a key it refuses all.
pub struct Verifier(Vec<Key>);

impl Verifier {
    /// Takes the secrets in force.
    ///
    /// # Errors
    /// When one of them is not `whsec_<base64>`.
    pub fn new(secrets: &[Secret]) -> Result<Self, BadSecret> {
        secrets.iter().map(Key::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Accepts the call if it is fresh and any of its signatures fits any of our keys, in constant time.
    /// That an id is used once is the caller's to hold: it needs a memory that survives us.
    ///
    /// # Errors
    /// See [`NotGenuine`].
    pub fn verify(&self, presented: Presented<'_>, body: &[u8], now: UnixMs) -> Result<(), NotGenuine> {
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain(presented.id) || presented.id.len() > ID_BYTES_MAX || !digits(presented.timestamp) {
            return Err(NotGenuine::Malformed);
        }
        let timestamp: i64 = presented.timestamp.parse().map_err(|_| NotGenuine::Malformed)?;
        if now.seconds().abs_diff(timestamp) > SKEW_SECONDS_MAX.unsigned_abs() {
            return Err(NotGenuine::Stale);
        }
        let mut genuine = false;
        for signature in presented.signature.split(' ').take(SIGNATURES_MAX) {
            let Some(given) = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok())
            else {
                continue;
            };
            for key in &self.0 {
                genuine |= bool::from(key.mac(presented.id, timestamp, body).as_slice().ct_eq(&given));
            }
        }
        if genuine { Ok(()) } else { Err(NotGenuine::Forged) }
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    // The specification's published vector.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn presented(signature: &str) -> Presented<'_> {
        Presented { id: ID, timestamp: "1614265330", signature }
    }

    #[test]
    fn the_published_vector_signs_and_verifies() {
        assert_eq!(sign(&secret(SECRET), ID, TIMESTAMP, BODY).unwrap(), SIGNATURE);
        let verifier = Verifier::new(&[secret(SECRET)]).unwrap();
        let now = UnixMs::from_seconds(TIMESTAMP);
        assert_eq!(verifier.verify(presented(SIGNATURE), BODY, now), Ok(()));
        let headers = Signer::new(&secret(SECRET)).unwrap().headers(ID, now, BODY);
        assert_eq!(headers[2], (SIGNATURE_HEADER, SIGNATURE.to_owned()));
    }

    #[test]
    fn while_a_key_is_rotated_either_key_and_any_listed_signature_will_do() {
        let old = secret(SECRET);
        let new = secret("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX");
        let now = UnixMs::from_seconds(TIMESTAMP);
        let both = Verifier::new(&[new.clone(), old.clone()]).unwrap();
        assert_eq!(both.verify(presented(SIGNATURE), BODY, now), Ok(()));
        let only_new = Verifier::new(std::slice::from_ref(&new)).unwrap();
        assert_eq!(only_new.verify(presented(SIGNATURE), BODY, now), Err(NotGenuine::Forged));
        let list = format!("v1a,abc {SIGNATURE} {}", sign(&new, ID, TIMESTAMP, BODY).unwrap());
        assert_eq!(only_new.verify(presented(&list), BODY, now), Ok(()));
    }

    #[test]
    fn what_was_changed_is_late_or_malformed_is_refused() {
        let verifier = Verifier::new(&[secret(SECRET)]).unwrap();
        let now = UnixMs::from_seconds(TIMESTAMP);
        assert_eq!(verifier.verify(presented(SIGNATURE), b"{}", now), Err(NotGenuine::Forged));
        assert_eq!(verifier.verify(presented(""), BODY, now), Err(NotGenuine::Forged));
        for (skew, verdict) in
            [(300, Ok(())), (-300, Ok(())), (301, Err(NotGenuine::Stale)), (-301, Err(NotGenuine::Stale))]
        {
            let then = UnixMs::from_seconds(TIMESTAMP + skew);
            assert_eq!(verifier.verify(presented(SIGNATURE), BODY, then), verdict, "{skew}");
        }
        for (id, timestamp) in
            [("", "1614265330"), (ID, ""), (ID, "+1614265330"), (ID, "x"), ("a b", "1614265330")]
        {
            let presented = Presented { id, timestamp, signature: SIGNATURE };
            assert_eq!(verifier.verify(presented, BODY, now), Err(NotGenuine::Malformed));
        }
        let none = Verifier::new(&[]).unwrap();
        assert_eq!(none.verify(presented(SIGNATURE), BODY, now), Err(NotGenuine::Forged));
    }

    #[test]
    fn a_secret_of_another_form_is_refused() {
        for text in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_%%%"] {
            assert!(Signer::new(&secret(text)).is_err(), "{text}");
        }
    }
}
