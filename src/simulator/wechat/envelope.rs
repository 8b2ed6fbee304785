//! Signature and AES envelope, written from the platform's documents and from nothing of ours: a fault in the
//! server's own code must not be able to hide behind the same fault here.

use aes::Aes256;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use sha1::{Digest, Sha1};

const BLOCK_BYTES: usize = 32;
const HEAD_BYTES: usize = 20;

/// An EncodingAESKey has 43 characters, so its last one carries two bits that belong to nothing.
const LOOSE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// Lowercase hexadecimal SHA-1 over the parts, sorted by bytes and put together.
pub(crate) fn signature(parts: &[&str]) -> String {
    let mut sorted = parts.to_vec();
    sorted.sort_unstable_by_key(|part| part.as_bytes());
    hex::encode(Sha1::digest(sorted.concat().as_bytes()))
}

/// Seals and opens messages of one account.
#[derive(Clone)]
pub(crate) struct Cipher {
    key: [u8; 32],
    app_id: String,
}

impl Cipher {
    /// `None` when the key is not 43 characters of base64.
    pub(crate) fn new(encoding_aes_key: &str, app_id: &str) -> Option<Self> {
        let key = LOOSE.decode(encoding_aes_key).ok()?.try_into().ok()?;
        Some(Self { key, app_id: app_id.to_owned() })
    }

    /// The text of `Encrypt`.
    pub(crate) fn seal(&self, random: [u8; 16], message: &str) -> String {
        let mut clear = Vec::with_capacity(message.len() + self.app_id.len() + 2 * BLOCK_BYTES);
        clear.extend_from_slice(&random);
        clear.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
        clear.extend_from_slice(message.as_bytes());
        clear.extend_from_slice(self.app_id.as_bytes());
        let padding = BLOCK_BYTES - clear.len() % BLOCK_BYTES;
        clear.resize(clear.len() + padding, u8::try_from(padding).unwrap_or_default());
        let (key, iv) = (self.key.into(), self.iv().into());
        STANDARD.encode(cbc::Encryptor::<Aes256>::new(&key, &iv).encrypt_padded_vec::<NoPadding>(&clear))
    }

    /// The message inside, or what is wrong with the envelope.
    pub(crate) fn open(&self, encrypted: &str) -> Result<String, &'static str> {
        let sealed = STANDARD.decode(encrypted).map_err(|_| "Encrypt 不是有效的 Base64")?;
        if sealed.is_empty() || !sealed.len().is_multiple_of(BLOCK_BYTES) {
            return Err("Encrypt 的长度不是 32 字节的整数倍");
        }
        let (key, iv) = (self.key.into(), self.iv().into());
        let clear = cbc::Decryptor::<Aes256>::new(&key, &iv)
            .decrypt_padded_vec::<NoPadding>(&sealed)
            .map_err(|_| "Encrypt 无法解密")?;
        let clear = unpad(&clear).ok_or("填充不符合 PKCS#7（32 字节块）")?;
        let (head, rest) = clear.split_at_checked(HEAD_BYTES).ok_or("密文内容过短")?;
        let length = head.last_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (message, app_id) = rest.split_at_checked(length).ok_or("msg_len 超出密文内容")?;
        if app_id != self.app_id.as_bytes() {
            return Err("密文中的 AppID 不是本账号");
        }
        String::from_utf8(message.to_vec()).map_err(|_| "密文内容不是 UTF-8")
    }

    fn iv(&self) -> [u8; 16] {
        let mut iv = [0; 16];
        iv.copy_from_slice(&self.key[..16]);
        iv
    }
}

fn unpad(clear: &[u8]) -> Option<&[u8]> {
    let last = *clear.last()?;
    let padding = usize::from(last);
    let (message, tail) = clear.split_at_checked(clear.len().checked_sub(padding)?)?;
    ((1..=BLOCK_BYTES).contains(&padding) && tail.iter().all(|byte| *byte == last)).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    // From the platform's own documents and samples.
    const ZERO_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const SAMPLE_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";

    #[test]
    fn the_documented_signatures_are_reproduced() {
        let table = [
            (&["AAAAA", "1714036504", "1514711492"][..], "f464b24fc39322e44b38aa78f5edd27bd1441696"),
            (&["AAAAA", "1714037059", "486452656"], "899cf89e464efb63f54ddac96b0a0a235f53aa78"),
        ];
        for (parts, expected) in table {
            assert_eq!(signature(parts), expected);
        }
    }

    #[test]
    fn the_documented_reply_is_sealed_to_the_same_bytes() {
        let cipher = Cipher::new(ZERO_KEY, "wxba5fad812f8e6fb9").unwrap();
        let sealed = cipher.seal(*b"707722b803182950", "{\"demo_resp\":\"good luck\"}");
        assert_eq!(
            sealed,
            "ELGduP2YcVatjqIS+eZbp80MNLoAUWvzzyJxgGzxZO/5sAvd070Bs6qrLARC9nVHm48Y4hyRbtzve1L32tmxSQ=="
        );
        let signed = signature(&["AAAAA", "1713424427", "415670741", &sealed]);
        assert_eq!(signed, "1b9339964ed2e271e7c7b6ff2b0ef902fc94dea1");
    }

    #[test]
    fn a_key_with_loose_trailing_bits_seals_and_opens_the_official_sample() {
        let cipher = Cipher::new(SAMPLE_KEY, "wxb11529c136998cb6").unwrap();
        let sealed =
            "jn1L23DB+6ELqJ+6bruv21Y6MD7KeIfP82D6gU39rmkgczbWwt5+3bnyg5K55bgVtVzd832WzZGMhkP72vVOfg==";
        assert_eq!(cipher.seal(*b"aaaabbbbccccdddd", "我是中文abcd123"), sealed);
        assert_eq!(cipher.open(sealed).unwrap(), "我是中文abcd123");
        assert!(Cipher::new(SAMPLE_KEY, "wxother").unwrap().open(sealed).is_err());
    }

    #[test]
    fn every_message_length_survives_and_a_flipped_bit_does_not() {
        let cipher = Cipher::new(SAMPLE_KEY, "wxdemo").unwrap();
        for length in 0..70 {
            let message = "x".repeat(length);
            assert_eq!(cipher.open(&cipher.seal([7; 16], &message)).unwrap(), message);
        }
        let mut bytes = STANDARD.decode(cipher.seal([7; 16], "hello")).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert!(cipher.open(&STANDARD.encode(bytes)).is_err());
        assert!(cipher.open("AAAA").is_err());
        assert!(Cipher::new("short", "wxdemo").is_none());
    }
}
