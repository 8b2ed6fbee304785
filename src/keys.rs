//! Sealing of personal data: envelope encryption and keyed lookups.
//!
//! A master key (file or environment now, a key service later) wraps data keys that live in the database.
//! Columns are sealed with AES-256-GCM under a data key; the additional data names table, column and row, so
//! that a sealed value moved elsewhere does not open. Lookups go through a keyed hash, never an unkeyed one.

use std::collections::BTreeMap;
use std::path::Path;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::clock::{Random, SharedRandom};

/// Why a key or a sealed value could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The key file could not be read or written.
    #[error("key file {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file does not hold 32 bytes in base64.
    #[error(
        "key file {0} does not hold 32 bytes in base64; make one with `head -c 32 /dev/urandom | base64`"
    )]
    Form(String),
    /// No configured master key opens this data key.
    #[error("no configured master key opens data key {0}; name the older key file in keys.previous_files")]
    Unwrap(i64),
    /// A sealed value does not open: wrong key, wrong place, or changed bytes.
    #[error("a sealed value of {place} does not open")]
    Open {
        /// `table.column`.
        place: &'static str,
    },
    /// Sealing failed inside the cipher.
    #[error("sealing failed")]
    Seal,
}

/// The door to whatever keeps the master key: a file today, a key service or a cipher machine tomorrow.
pub trait Keys: Send + Sync {
    /// Wraps a data key.
    ///
    /// # Errors
    /// When the cipher or the service refuses.
    fn wrap(&self, data_key: &[u8; 32]) -> Result<Vec<u8>, KeysError>;

    /// Unwraps a data key; `id` is for the message only.
    ///
    /// # Errors
    /// When no known master key opens it.
    fn unwrap(&self, id: i64, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeysError>;

    /// Whether the master key of today wraps it, and not an older one.
    fn is_current(&self, wrapped: &[u8]) -> bool;
}

/// Master keys in memory, read from files.
pub struct SoftKeys {
    current: Zeroizing<[u8; 32]>,
    previous: Vec<Zeroizing<[u8; 32]>>,
    random: SharedRandom,
}

impl SoftKeys {
    /// From key bytes. Older keys only unwrap.
    #[must_use]
    pub fn new(
        current: Zeroizing<[u8; 32]>,
        previous: Vec<Zeroizing<[u8; 32]>>,
        random: SharedRandom,
    ) -> Self {
        Self { current, previous, random }
    }
}

const WRAP_PLACE: &[u8] = b"data_key.wrapped";

impl Keys for SoftKeys {
    fn wrap(&self, data_key: &[u8; 32]) -> Result<Vec<u8>, KeysError> {
        encrypt(&cipher(&self.current), self.random.as_ref(), WRAP_PLACE, data_key)
    }

    fn unwrap(&self, id: i64, wrapped: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeysError> {
        std::iter::once(&self.current)
            .chain(&self.previous)
            .find_map(|key| {
                let plain = decrypt(&cipher(key), WRAP_PLACE, wrapped)?;
                Some(Zeroizing::new(<[u8; 32]>::try_from(plain.as_slice()).ok()?))
            })
            .ok_or(KeysError::Unwrap(id))
    }

    fn is_current(&self, wrapped: &[u8]) -> bool {
        decrypt(&cipher(&self.current), WRAP_PLACE, wrapped).is_some()
    }
}

/// Reads a master key from a file: 32 bytes in base64, white space around them ignored.
///
/// # Errors
/// When the file cannot be read or holds something else.
pub fn read_master(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeysError> {
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|source| KeysError::File { path: path.display().to_string(), source })?;
    parse_master(&text).ok_or_else(|| KeysError::Form(path.display().to_string()))
}

/// Reads a master key from text: 32 bytes in base64, white space around them ignored.
#[must_use]
pub fn parse_master(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new).ok()?;
    <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new).ok()
}

/// Makes a master key file readable by its owner only. Fails when the file is there already.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn create_master(path: &Path, random: &dyn Random) -> Result<(), KeysError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut key = Zeroizing::new([0_u8; 32]);
    random.fill(&mut key[..]);
    let line = Zeroizing::new(format!("{}\n", STANDARD.encode(&key[..])));
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(line.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| KeysError::File { path: path.display().to_string(), source })
}

/// Where a sealed value lives; part of what authenticates it.
#[derive(Clone, Copy, Debug)]
pub struct Place(pub &'static str);

/// Seals, opens and indexes personal data with unwrapped data keys.
pub struct Vault {
    /// With their key schedules made, which would cost more than sealing a chat text.
    sealing: BTreeMap<i64, Aes256Gcm>,
    newest: i64,
    /// Keyed, with nothing hashed yet.
    index: Hmac<Sha256>,
    random: SharedRandom,
}

impl Vault {
    /// From unwrapped keys: sealing keys by id (the largest id seals), and the one index key.
    /// `None` without a sealing key.
    #[must_use]
    pub fn new(
        sealing: BTreeMap<i64, Zeroizing<[u8; 32]>>,
        index: Zeroizing<[u8; 32]>,
        random: SharedRandom,
    ) -> Option<Self> {
        let newest = *sealing.keys().next_back()?;
        let sealing = sealing.into_iter().map(|(id, key)| (id, cipher(&key))).collect();
        let index = Hmac::<Sha256>::new_from_slice(&index[..]).ok()?;
        Some(Self { sealing, newest, index, random })
    }

    /// Seals `plain` for one column of one row.
    ///
    /// # Errors
    /// When the cipher refuses (never for values below 64 GiB).
    pub fn seal(&self, place: Place, row: &[u8], plain: &[u8]) -> Result<Vec<u8>, KeysError> {
        let cipher = self.sealing.get(&self.newest).ok_or(KeysError::Seal)?;
        let mut sealed = self.newest.to_be_bytes().to_vec();
        sealed.extend(encrypt(cipher, self.random.as_ref(), &associated(place, row), plain)?);
        Ok(sealed)
    }

    /// Opens what [`Vault::seal`] made for the same place and row.
    ///
    /// # Errors
    /// When the value was changed, moved, or sealed under a key that is gone.
    pub fn open(&self, place: Place, row: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeysError> {
        let failed = || KeysError::Open { place: place.0 };
        let (id, body) = sealed.split_first_chunk::<8>().ok_or_else(failed)?;
        let cipher = self.sealing.get(&i64::from_be_bytes(*id)).ok_or_else(failed)?;
        decrypt(cipher, &associated(place, row), body).ok_or_else(failed)
    }

    /// The keyed hash of `parts` for a purpose; equal inputs give equal hashes, nothing else shows.
    #[must_use]
    pub fn index(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 16] {
        let whole = self.keyed_hash(purpose, parts);
        let mut short = [0_u8; 16];
        short.copy_from_slice(&whole[..16]);
        short
    }

    /// Like [`Vault::index`] with all 32 bytes.
    #[must_use]
    pub fn keyed_hash(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.index.clone();
        for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

fn associated(place: Place, row: &[u8]) -> Vec<u8> {
    let mut data = place.0.as_bytes().to_vec();
    data.push(0);
    data.extend_from_slice(row);
    data
}

fn cipher(key: &Zeroizing<[u8; 32]>) -> Aes256Gcm {
    Aes256Gcm::new(&Key::<Aes256Gcm>::from(**key))
}

fn encrypt(
    cipher: &Aes256Gcm,
    random: &dyn Random,
    associated: &[u8],
    plain: &[u8],
) -> Result<Vec<u8>, KeysError> {
    let mut nonce = [0_u8; 12];
    random.fill(&mut nonce);
    let body = cipher
        .encrypt(&Nonce::from(nonce), Payload { msg: plain, aad: associated })
        .map_err(|_| KeysError::Seal)?;
    let mut sealed = nonce.to_vec();
    sealed.extend(body);
    Ok(sealed)
}

fn decrypt(cipher: &Aes256Gcm, associated: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, body) = sealed.split_first_chunk::<12>()?;
    cipher.decrypt(&Nonce::from(*nonce), Payload { msg: body, aad: associated }).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SeededRandom;
    use std::sync::Arc;

    fn vault(seed: u64) -> Vault {
        let random = Arc::new(SeededRandom::new(seed));
        Vault::new(
            BTreeMap::from([(1, Zeroizing::new([1; 32])), (2, Zeroizing::new([2; 32]))]),
            Zeroizing::new([9; 32]),
            random,
        )
        .unwrap()
    }

    #[test]
    fn a_sealed_value_opens_only_in_its_own_place_and_unchanged() {
        let vault = vault(1);
        let sealed = vault.seal(Place("message.content"), b"row 1", "查账单".as_bytes()).unwrap();
        assert!(!sealed.windows(3).any(|part| part == "查".as_bytes()));
        let plain = vault.open(Place("message.content"), b"row 1", &sealed).unwrap();
        assert_eq!(plain.as_slice(), "查账单".as_bytes());
        assert!(vault.open(Place("message.content"), b"row 2", &sealed).is_err());
        assert!(vault.open(Place("binding.cards"), b"row 1", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(vault.open(Place("message.content"), b"row 1", &changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn an_older_data_key_still_opens_and_an_older_master_key_still_unwraps() {
        let old = Vault::new(
            BTreeMap::from([(1, Zeroizing::new([1; 32]))]),
            Zeroizing::new([9; 32]),
            Arc::new(SeededRandom::new(3)),
        )
        .unwrap();
        let sealed = old.seal(Place("a.b"), b"r", b"x").unwrap();
        assert_eq!(vault(4).open(Place("a.b"), b"r", &sealed).unwrap().as_slice(), b"x");

        let random: SharedRandom = Arc::new(SeededRandom::new(5));
        let before = SoftKeys::new(Zeroizing::new([7; 32]), vec![], random.clone());
        let wrapped = before.wrap(&[3; 32]).unwrap();
        let rotated = SoftKeys::new(Zeroizing::new([8; 32]), vec![Zeroizing::new([7; 32])], random.clone());
        assert_eq!(*rotated.unwrap(1, &wrapped).unwrap(), [3; 32]);
        assert!(SoftKeys::new(Zeroizing::new([8; 32]), vec![], random).unwrap(1, &wrapped).is_err());
    }

    #[test]
    fn the_blind_index_separates_purposes_and_parts() {
        let vault = vault(6);
        assert_eq!(vault.index("p", &[b"ab", b"c"]), vault.index("p", &[b"ab", b"c"]));
        assert_ne!(vault.index("p", &[b"ab", b"c"]), vault.index("p", &[b"a", b"bc"]));
        assert_ne!(vault.index("p", &[b"a"]), vault.index("q", &[b"a"]));
    }
}
