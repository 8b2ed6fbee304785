//! The AES envelope of compat and safe mode.
//!
//! Clear text: 16 random bytes, the message's length as four bytes (big endian), the message, the AppID; padded
//! by PKCS#7 to blocks of 32 (not 16), then AES-256-CBC with the key's first 16 bytes as IV, then base64.

use aes::Aes256;
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConstantTimeEq, ConstantTimeGreater};
use thiserror::Error;
use zeroize::Zeroizing;

const AES_BLOCK_BYTES: usize = 16;
const PAD_BLOCK_BYTES: usize = 32;
const RANDOM_BYTES: usize = 16;
const HEAD_BYTES: usize = RANDOM_BYTES + 4;
/// Longest AppID that is told to an operator.
const APP_ID_BYTES_MAX: usize = 64;

/// 43 characters hold 258 bits, so the last one has two spare bits; three keys of four have them set, which a
/// strict decoder refuses. Only the key is read so loosely, never a ciphertext.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The text is not an EncodingAESKey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an EncodingAESKey is 43 letters and digits, as the account's console shows it")]
pub struct NotAKey;

/// The envelope does not open. Deliberately says no more: which check failed would help a forger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the envelope does not open with this account's keys")]
pub struct NotOpened;

/// Which of the account's keys opened a push; the reply is sealed with the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyChoice {
    /// The key that is configured now.
    Current,
    /// The key before, while one is rotated.
    Previous,
}

/// One decoded EncodingAESKey.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; 32]>);

impl Key {
    /// Reads the 43 characters, with or without the final `=`.
    ///
    /// # Errors
    /// [`NotAKey`] when they do not hold exactly 32 bytes.
    pub fn parse(text: &str) -> Result<Self, NotAKey> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        let mut decoded = Zeroizing::new([0_u8; 33]);
        let length = KEY_BASE64.decode_slice(text, decoded.as_mut_slice()).map_err(|_| NotAKey)?;
        if length != bytes.len() {
            return Err(NotAKey);
        }
        bytes.copy_from_slice(&decoded[..length]);
        Ok(Self(bytes))
    }

    /// Seals `message`. `random` makes two sealings of one message differ; the same bytes give the same envelope,
    /// so that every delivery of one push can be answered alike.
    #[must_use]
    pub fn seal(&self, random: [u8; 16], message: &str, app_id: &str) -> String {
        let clear_bytes = HEAD_BYTES + message.len() + app_id.len();
        let pad_bytes = PAD_BLOCK_BYTES - clear_bytes % PAD_BLOCK_BYTES;
        let mut buffer = Zeroizing::new(Vec::with_capacity(clear_bytes + pad_bytes));
        buffer.extend_from_slice(&random);
        buffer.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
        buffer.extend_from_slice(message.as_bytes());
        buffer.extend_from_slice(app_id.as_bytes());
        buffer.resize(clear_bytes + pad_bytes, u8::try_from(pad_bytes).unwrap_or_default());
        let length = buffer.len();
        let (key, iv) = self.key_and_iv();
        let cipher = cbc::Encryptor::<Aes256>::new(key.into(), iv.into());
        // Whole blocks with no padding always fit; the text below would be empty otherwise.
        let sealed = cipher.encrypt_padded::<NoPadding>(&mut buffer, length).unwrap_or_default();
        STANDARD.encode(sealed)
    }

    fn open(&self, mut buffer: Zeroizing<Vec<u8>>, app_id: &str) -> Result<Zeroizing<String>, NotOpened> {
        let (message, sealed_for) = self.decrypt(&mut buffer)?;
        if !bool::from(sealed_for.ct_eq(app_id.as_bytes())) {
            return Err(NotOpened);
        }
        let message = str::from_utf8(message).map_err(|_| NotOpened)?;
        Ok(Zeroizing::new(message.to_owned()))
    }

    /// The message and the AppID that it was sealed for.
    fn decrypt<'buffer>(
        &self,
        buffer: &'buffer mut [u8],
    ) -> Result<(&'buffer [u8], &'buffer [u8]), NotOpened> {
        let (key, iv) = self.key_and_iv();
        let cipher = cbc::Decryptor::<Aes256>::new(key.into(), iv.into());
        cipher.decrypt_padded::<NoPadding>(buffer).map_err(|_| NotOpened)?;
        let clear_bytes = unpadded_length(buffer).ok_or(NotOpened)?;
        let clear = buffer.get(..clear_bytes).ok_or(NotOpened)?;
        let message_bytes = clear.get(RANDOM_BYTES..HEAD_BYTES).ok_or(NotOpened)?;
        let message_bytes = u32::from_be_bytes(message_bytes.try_into().map_err(|_| NotOpened)?);
        let message_bytes = usize::try_from(message_bytes).map_err(|_| NotOpened)?;
        let rest = clear.get(HEAD_BYTES..).ok_or(NotOpened)?;
        rest.split_at_checked(message_bytes).ok_or(NotOpened)
    }

    fn key_and_iv(&self) -> (&[u8; 32], &[u8; 16]) {
        let iv = self.0.first_chunk().unwrap_or(&[0; AES_BLOCK_BYTES]);
        (&self.0, iv)
    }
}

/// An account's keys: the current one and, while it is rotated, the one before.
#[derive(Clone)]
pub struct Keys {
    current: Key,
    previous: Option<Key>,
}

impl Keys {
    /// The keys of one account.
    #[must_use]
    pub fn new(current: Key, previous: Option<Key>) -> Self {
        Self { current, previous }
    }

    /// Opens the text of an `Encrypt` element: the current key first, then the previous one.
    ///
    /// # Errors
    /// [`NotOpened`], whatever the cause: base64, length, padding, inner length, UTF-8, another AppID.
    pub fn open(&self, ciphertext: &str, app_id: &str) -> Result<(Zeroizing<String>, KeyChoice), NotOpened> {
        let sealed = STANDARD.decode(ciphertext).map_err(|_| NotOpened)?;
        if sealed.is_empty() || !sealed.len().is_multiple_of(AES_BLOCK_BYTES) {
            return Err(NotOpened);
        }
        let sealed = Zeroizing::new(sealed);
        let Some(previous) = &self.previous else {
            return Ok((self.current.open(sealed, app_id)?, KeyChoice::Current));
        };
        match self.current.open(sealed.clone(), app_id) {
            Ok(message) => Ok((message, KeyChoice::Current)),
            Err(NotOpened) => Ok((previous.open(sealed, app_id)?, KeyChoice::Previous)),
        }
    }

    /// The AppID inside an envelope, whichever it is; `None` when no key of ours opens it. Tells operators which of
    /// their settings differs. Never for whoever sent it: see [`NotOpened`].
    #[must_use]
    pub fn app_id_inside(&self, ciphertext: &str) -> Option<String> {
        let sealed = STANDARD.decode(ciphertext).ok().filter(|sealed| !sealed.is_empty())?;
        [Some(&self.current), self.previous.as_ref()].into_iter().flatten().find_map(|key| {
            let mut buffer = Zeroizing::new(sealed.clone());
            let (_, sealed_for) = key.decrypt(&mut buffer).ok()?;
            let printable =
                sealed_for.len() <= APP_ID_BYTES_MAX && sealed_for.iter().all(u8::is_ascii_graphic);
            printable.then(|| String::from_utf8_lossy(sealed_for).into_owned())
        })
    }

    /// The key that was chosen; the current one where the previous has meanwhile been removed.
    #[must_use]
    pub fn choose(&self, choice: KeyChoice) -> &Key {
        match choice {
            KeyChoice::Current => &self.current,
            KeyChoice::Previous => self.previous.as_ref().unwrap_or(&self.current),
        }
    }
}

/// Length without the padding; `None` unless it is 1 to 32 equal bytes of its own length. Looks at the whole last
/// block whatever stands there, so that time tells nothing.
fn unpadded_length(buffer: &[u8]) -> Option<usize> {
    let pad = *buffer.last()?;
    let tail = buffer.last_chunk::<PAD_BLOCK_BYTES>()?;
    let mut good = !pad.ct_eq(&0) & !pad.ct_gt(&32);
    for (distance, byte) in (0_u8..).zip(tail.iter().rev()) {
        let outside_padding: Choice = !pad.ct_gt(&distance);
        good &= outside_padding | byte.ct_eq(&pad);
    }
    bool::from(good).then(|| buffer.len() - usize::from(pad))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Random, SeededRandom};
    use crate::wechat::vectors;

    const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
    const OTHER: &str = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C";
    const APP_ID: &str = "wxdemo0000000001";
    const RANDOM: [u8; 16] = *b"aaaabbbbccccdddd";

    fn keys(current: &str, previous: Option<&str>) -> Keys {
        Keys::new(Key::parse(current).unwrap(), previous.map(|key| Key::parse(key).unwrap()))
    }

    /// Encrypts any clear text as it stands, whole blocks only: what a broken or hostile sender could do.
    fn encrypt_raw(mut clear: Vec<u8>) -> String {
        let key = Key::parse(KEY).unwrap();
        let (key, iv) = key.key_and_iv();
        let length = clear.len();
        let cipher = cbc::Encryptor::<Aes256>::new(key.into(), iv.into());
        STANDARD.encode(cipher.encrypt_padded::<NoPadding>(&mut clear, length).unwrap())
    }

    fn clear(message: &[u8], app_id: &str) -> Vec<u8> {
        let mut clear = RANDOM.to_vec();
        clear.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        clear.extend(message);
        clear.extend(app_id.as_bytes());
        clear
    }

    #[test]
    fn every_published_envelope_opens_and_seals_to_the_same_bytes() {
        let mut seen = 0;
        for vector in vectors::all() {
            let Some(ciphertext) = vector.text("ciphertext") else { continue };
            let (key, app_id) = (vector.need("encoding_aes_key"), vector.need("appid"));
            let (message, choice) = keys(key, None).open(ciphertext, app_id).unwrap();
            assert_eq!(message.as_str(), vector.need("plaintext"), "{}", vector.need("id"));
            assert_eq!(choice, KeyChoice::Current);
            let random = vector.need("random16").as_bytes().try_into().unwrap();
            assert_eq!(Key::parse(key).unwrap().seal(random, &message, app_id), ciphertext);
            seen += 1;
        }
        assert_eq!(seen, 8);
    }

    #[test]
    fn keys_have_43_characters_and_spare_bits_do_not_matter() {
        for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789".chars() {
            let text = format!("abcdefghijklmnopqrstuvwxyz0123456789ABCDEF{last}");
            assert!(Key::parse(&text).is_ok(), "{last}");
            assert!(Key::parse(&format!("{text}=")).is_ok(), "{last}=");
        }
        let long = format!("{KEY}A");
        for wrong in ["", "short", KEY.split_at(42).0, &long, "abcdefghijklmnopqrstuvwxyz0123456789ABCDE-_"] {
            assert_eq!(Key::parse(wrong).err(), Some(NotAKey), "{wrong}");
        }
    }

    #[test]
    fn every_message_length_goes_there_and_back() {
        let keys = keys(KEY, None);
        for length in 0..=130 {
            let message = "界".repeat(length / 3) + &"x".repeat(length % 3);
            let sealed = keys.current.seal(RANDOM, &message, APP_ID);
            assert_eq!(STANDARD.decode(&sealed).unwrap().len() % 32, 0);
            assert_eq!(keys.open(&sealed, APP_ID).unwrap().0.as_str(), message);
        }
    }

    #[test]
    fn the_previous_key_opens_while_one_is_rotated_and_answers_with_itself() {
        let rotating = keys(OTHER, Some(KEY));
        let old = Key::parse(KEY).unwrap().seal(RANDOM, "old", APP_ID);
        let new = Key::parse(OTHER).unwrap().seal(RANDOM, "new", APP_ID);
        assert_eq!(rotating.open(&old, APP_ID).unwrap().1, KeyChoice::Previous);
        assert_eq!(rotating.open(&new, APP_ID).unwrap().1, KeyChoice::Current);
        assert_eq!(rotating.choose(KeyChoice::Previous).seal(RANDOM, "old", APP_ID), old);
        assert_eq!(keys(OTHER, None).open(&old, APP_ID).err(), Some(NotOpened));
    }

    #[test]
    fn only_the_right_one_of_all_256_last_bytes_is_padding() {
        let body = clear(b"0123456789ab", APP_ID);
        assert_eq!(body.len(), 48);
        for last in 0..=u8::MAX {
            let mut padded = body.clone();
            padded.extend([16; 15]);
            padded.push(last);
            assert_eq!(keys(KEY, None).open(&encrypt_raw(padded), APP_ID).is_ok(), last == 16, "{last}");
        }
    }

    #[test]
    fn every_padding_from_1_to_32_is_checked_byte_by_byte() {
        for pad in 1..=32_u8 {
            let fill = 96 - usize::from(pad) - HEAD_BYTES - APP_ID.len();
            let mut padded = clear(&vec![b'x'; fill], APP_ID);
            padded.extend(vec![pad; usize::from(pad)]);
            assert!(keys(KEY, None).open(&encrypt_raw(padded.clone()), APP_ID).is_ok(), "{pad}");
            for distance in 2..=usize::from(pad) {
                let mut unequal = padded.clone();
                let index = unequal.len() - distance;
                unequal[index] ^= 1;
                assert!(keys(KEY, None).open(&encrypt_raw(unequal), APP_ID).is_err(), "{pad} {distance}");
            }
        }
        for wrong in [0, 33, 64] {
            let mut padded = clear(b"0123456789ab", APP_ID);
            padded.extend(vec![wrong; 16]);
            assert_eq!(keys(KEY, None).open(&encrypt_raw(padded), APP_ID).err(), Some(NotOpened));
        }
    }

    #[test]
    fn broken_envelopes_give_one_error() {
        let keys = keys(KEY, None);
        let good = keys.current.seal(RANDOM, "你好", APP_ID);
        assert!(keys.open(&good, APP_ID).is_ok());
        let mut lying = clear(b"0123456789ab", APP_ID);
        lying[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
        lying.extend([16; 16]);
        let mut not_utf8 = clear(&[0xFF; 12], APP_ID);
        not_utf8.extend([16; 16]);
        let table = [
            String::new(),
            "====".to_owned(),
            "not base64!".to_owned(),
            good.split_at(good.len() - 1).0.to_owned(),
            good.split_at(good.len() - 4).0.to_owned(),
            format!(" {good}"),
            format!("{good}\n"),
            STANDARD.encode([0_u8; 15]),
            STANDARD.encode([0_u8; 16]),
            STANDARD.encode([0_u8; 32]),
            encrypt_raw(lying),
            encrypt_raw(not_utf8),
        ];
        for (row, ciphertext) in table.iter().enumerate() {
            assert_eq!(keys.open(ciphertext, APP_ID).err(), Some(NotOpened), "row {row}");
        }
        for app_id in ["", "wxdemo0000000002", "wxdemo000000000", "wxdemo00000000011"] {
            assert_eq!(keys.open(&good, app_id).err(), Some(NotOpened), "{app_id}");
        }
        assert_eq!(keys.app_id_inside(&good).as_deref(), Some(APP_ID));
        assert!(self::keys(OTHER, None).app_id_inside(&good).is_none(), "another key finds nothing");
        assert!(table.iter().all(|broken| keys.app_id_inside(broken).is_none_or(|found| found == APP_ID)));
    }

    #[test]
    fn twenty_thousand_changed_envelopes_never_open_to_the_same_message() {
        let keys = keys(OTHER, Some(KEY));
        let random = SeededRandom::new(11);
        let good = Key::parse(KEY).unwrap().seal(RANDOM, &"账单".repeat(20), APP_ID);
        for _ in 0..20_000 {
            let mut dice = [0_u8; 4];
            random.fill(&mut dice);
            let mut bytes = good.clone().into_bytes();
            let index = usize::from(u16::from_le_bytes([dice[0], dice[1]])) % bytes.len();
            match dice[2] % 3 {
                0 => bytes.truncate(index),
                1 => bytes.insert(index, dice[3] & 0x7F),
                _ => bytes[index] ^= (dice[3] & 0x7F).max(1),
            }
            let changed = String::from_utf8(bytes).unwrap();
            let opened = keys.open(&changed, APP_ID);
            // A changed block garbles itself and flips bits in the next: the envelope may still open (the signature
            // is what refuses it), but never to the same message.
            assert!(opened.is_err() || opened.is_ok_and(|(message, _)| *message != "账单".repeat(20)));
        }
    }
}
