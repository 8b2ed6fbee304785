//! Files of customers and agents: wanted until they are fetched, then sealed with the hash of what they were.

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::value::statements;
use super::{Conflict, Row, Store, StoreError, Write, follower_row};
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::time::UnixMs;
use crate::keys::Place;

const BYTES: Place = Place("desk_media.bytes");

statements! {
    WANT = "INSERT INTO desk_media (account, fkey, seq, state, media_id, due_ms, tries) \
        VALUES ($1, $2, $3, 'wanted', $4, $5, 0) ON CONFLICT (account, fkey, seq) DO NOTHING";
    DUE = "SELECT account, fkey, seq, media_id, due_ms, tries FROM desk_media \
        WHERE state = 'wanted' AND due_ms <= $1 ORDER BY due_ms LIMIT $2";
    LEASE = "UPDATE desk_media SET due_ms = $5, tries = tries + 1 \
        WHERE account = $1 AND fkey = $2 AND seq = $3 AND state = 'wanted' AND due_ms = $4";
    KEEP = "UPDATE desk_media SET state = 'kept', content_type = $4, sha256 = $5, bytes_sealed = $6 \
        WHERE account = $1 AND fkey = $2 AND seq = $3";
    PUT = "INSERT INTO desk_media (account, fkey, seq, state, media_id, due_ms, tries, content_type, sha256, \
        bytes_sealed) VALUES ($1, $2, $3, 'kept', $4, $5, 0, $6, $7, $8) ON CONFLICT (account, fkey, seq) DO NOTHING";
    LOSE = "UPDATE desk_media SET state = 'lost' WHERE account = $1 AND fkey = $2 AND seq = $3 AND state = 'wanted'";
    FIND = "SELECT state, content_type, sha256, bytes_sealed FROM desk_media \
        WHERE account = $1 AND fkey = $2 AND seq = $3";
    ERASE = "DELETE FROM desk_media WHERE account = $1 AND fkey = $2";
}

/// A file that WeChat still has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedMedia {
    /// The account.
    pub account: AccountId,
    /// The follower.
    pub follower: FollowerKey,
    /// The entry of the log that it belongs to.
    pub seq: i64,
    /// WeChat's name of it.
    pub media_id: String,
    /// When it may be tried.
    pub due: UnixMs,
    /// How often it was.
    pub tries: i64,
}

/// What became of a file.
pub enum StoredMedia {
    /// It is still to be fetched.
    Wanted,
    /// WeChat had it no more, or it was nothing that is kept.
    Lost,
    /// Here it is.
    Kept {
        /// What its bytes say it is.
        content_type: String,
        /// The bytes.
        bytes: Zeroizing<Vec<u8>>,
    },
}

impl Store {
    /// Wants a file that belongs to an entry of the log.
    #[must_use]
    pub fn want_media(&self, account: &AccountId, follower: FollowerKey, seq: i64, media_id: &str) -> Write {
        let mut args = name_of(account, follower, seq);
        args.extend([media_id.into(), self.clock().now().into()]);
        Write::new(WANT, args)
    }

    /// Files that may be fetched now, the longest due first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_media(&self, limit: u32) -> Result<Vec<WantedMedia>, StoreError> {
        let rows = self.fetch(DUE, vec![self.clock().now().into(), limit.into()]).await?;
        let read = |row: &Row| {
            Ok(WantedMedia {
                account: AccountId::new(row.text(0)?),
                follower: row.follower(1)?,
                seq: row.int(2)?,
                media_id: row.text(3)?.to_owned(),
                due: row.time(4)?,
                tries: row.int(5)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Takes a file for fetching until a moment; [`Conflict::Lost`] when another instance has.
    #[must_use]
    pub fn lease_media(&self, wanted: &WantedMedia, until: UnixMs) -> Write {
        let mut args = name_of(&wanted.account, wanted.follower, wanted.seq);
        args.extend([wanted.due.into(), until.into()]);
        Write::one(LEASE, args, Conflict::Lost)
    }

    /// Keeps what was fetched, sealed.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn keep_media(
        &self,
        wanted: &WantedMedia,
        content_type: &str,
        bytes: &[u8],
    ) -> Result<Write, StoreError> {
        let mut args = name_of(&wanted.account, wanted.follower, wanted.seq);
        let (hash, sealed) = self.sealed(&wanted.account, wanted.follower, wanted.seq, bytes)?;
        args.extend([content_type.into(), hash.into(), sealed.into()]);
        Ok(Write::new(KEEP, args))
    }

    /// Keeps what an agent sent, sealed.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn put_media(
        &self,
        sent: &WantedMedia,
        content_type: &str,
        bytes: &[u8],
    ) -> Result<Write, StoreError> {
        let mut args = name_of(&sent.account, sent.follower, sent.seq);
        let (hash, sealed) = self.sealed(&sent.account, sent.follower, sent.seq, bytes)?;
        args.extend([
            sent.media_id.as_str().into(),
            sent.due.into(),
            content_type.into(),
            hash.into(),
            sealed.into(),
        ]);
        Ok(Write::new(PUT, args))
    }

    /// Gives a file up.
    #[must_use]
    pub fn lose_media(&self, wanted: &WantedMedia) -> Write {
        Write::new(LOSE, name_of(&wanted.account, wanted.follower, wanted.seq))
    }

    /// The file of an entry of the log; `None`: it has none, or its bytes are not those that were kept.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn media(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        seq: i64,
    ) -> Result<Option<StoredMedia>, StoreError> {
        let Some(row) = self.fetch_one(FIND, name_of(account, follower, seq)).await? else { return Ok(None) };
        match row.text(0)? {
            "wanted" => Ok(Some(StoredMedia::Wanted)),
            "kept" => {
                let bytes = self.vault().open(BYTES, &entry_row(account, follower, seq), row.blob(3)?)?;
                let is_whole = Sha256::digest(&*bytes).as_slice() == row.blob(2)?;
                let kept = || {
                    Ok::<_, StoreError>(StoredMedia::Kept { content_type: row.text(1)?.to_owned(), bytes })
                };
                is_whole.then(kept).transpose()
            }
            _ => Ok(Some(StoredMedia::Lost)),
        }
    }

    /// Removes every file of a follower.
    #[must_use]
    pub fn erase_media(&self, account: &AccountId, follower: FollowerKey) -> Write {
        Write::new(ERASE, vec![account.as_str().into(), follower.into()])
    }

    fn sealed(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        seq: i64,
        bytes: &[u8],
    ) -> Result<([u8; 32], Vec<u8>), StoreError> {
        let sealed = self.vault().seal(BYTES, &entry_row(account, follower, seq), bytes)?;
        Ok((Sha256::digest(bytes).into(), sealed))
    }
}

fn name_of(account: &AccountId, follower: FollowerKey, seq: i64) -> Vec<super::Value> {
    vec![account.as_str().into(), follower.into(), seq.into()]
}

fn entry_row(account: &AccountId, follower: FollowerKey, seq: i64) -> Vec<u8> {
    let mut row = follower_row(account, follower);
    row.extend_from_slice(&seq.to_be_bytes());
    row
}
