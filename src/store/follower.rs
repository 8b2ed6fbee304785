//! Followers, what goes on after a page, and the shared access token.

use zeroize::Zeroizing;

use super::value::statements;
use super::{Conflict, Row, Store, StoreError, Write, follower_row};
use crate::domain::ids::{AccountId, FollowerKey, Openid};
use crate::domain::secret::{Personal, Secret};
use crate::domain::time::UnixMs;
use crate::keys::Place;

const OPENID: Place = Place("follower.openid");
const WISH: Place = Place("resume.wish");
const TOKEN: Place = Place("wechat_token.token");

statements! {
    UPSERT = "INSERT INTO follower (account, fkey, openid_sealed, following, followed_ms, left_ms) \
        VALUES ($1, $2, $3, $4, $5, NULL) ON CONFLICT (account, fkey) \
        DO UPDATE SET openid_sealed = $3, following = $4, followed_ms = $5, left_ms = NULL";
    INSERT_IF_NEW = "INSERT INTO follower (account, fkey, openid_sealed, following, followed_ms, left_ms) \
        VALUES ($1, $2, $3, 1, $4, NULL) ON CONFLICT (account, fkey) DO NOTHING";
    OPENID_OF = "SELECT openid_sealed, following FROM follower WHERE account = $1 AND fkey = $2";
    SET_LEFT = "UPDATE follower SET following = 0, left_ms = $3 WHERE account = $1 AND fkey = $2";
    SET_BACK = "UPDATE follower SET following = 1, left_ms = NULL WHERE account = $1 AND fkey = $2 AND following = 0";
    DELETE = "DELETE FROM follower WHERE account = $1 AND fkey = $2";
    INSERT_RESUME = "INSERT INTO resume (resume_id, account, fkey, due_ms, tries, wish_sealed) \
        VALUES ($1, $2, $3, $4, 0, $5) ON CONFLICT (resume_id) DO NOTHING";
    RESUMES_OF = "SELECT resume_id, account, fkey, tries, wish_sealed FROM resume WHERE account = $1 AND fkey = $2 \
        ORDER BY due_ms LIMIT 4";
    DUE_RESUMES = "SELECT resume_id, account, fkey, tries, wish_sealed FROM resume WHERE due_ms <= $1 \
        ORDER BY due_ms LIMIT 32";
    DELAY_RESUME = "UPDATE resume SET tries = tries + 1, due_ms = $3 WHERE resume_id = $1 AND tries = $2";
    END_RESUME = "DELETE FROM resume WHERE resume_id = $1";
    ERASE_RESUMES = "DELETE FROM resume WHERE account = $1 AND fkey = $2";
    TOKEN_ROW = "SELECT token_sealed, expires_ms FROM wechat_token WHERE app_id = $1";
    CREATE_TOKEN_ROW = "INSERT INTO wechat_token (app_id, token_sealed, expires_ms, owner, lease_until_ms) \
        VALUES ($1, NULL, 0, '', 0) ON CONFLICT (app_id) DO NOTHING";
    LEASE_TOKEN = "UPDATE wechat_token SET owner = $2, lease_until_ms = $3 \
        WHERE app_id = $1 AND (lease_until_ms < $4 OR owner = $2)";
    SAVE_TOKEN = "UPDATE wechat_token SET token_sealed = $3, expires_ms = $4, lease_until_ms = 0 \
        WHERE app_id = $1 AND owner = $2";
}

/// A question that goes on once its binding is done.
#[derive(Clone, Debug)]
pub struct Resume {
    /// Its id.
    pub resume_id: String,
    /// The account.
    pub account: AccountId,
    /// The follower.
    pub follower: FollowerKey,
    /// How often it was tried.
    pub tries: i64,
    /// The dialogue's wish as JSON. Empty where it cannot be opened.
    pub wish: Personal,
}

impl Store {
    /// Notes that WeChat knows this follower; an older row is brought up to date.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn upsert_follower(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        openid: &Openid,
        following: bool,
        at: UnixMs,
    ) -> Result<Write, StoreError> {
        let sealed =
            self.vault().seal(OPENID, &follower_row(account, follower), openid.reveal().as_bytes())?;
        let args = vec![account.as_str().into(), follower.into(), sealed.into(), following.into(), at.into()];
        Ok(Write::new(UPSERT, args))
    }

    /// Notes a follower on his first message; a row that is there stays as it is.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn meet_follower(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        openid: &Openid,
        at: UnixMs,
    ) -> Result<Write, StoreError> {
        let sealed =
            self.vault().seal(OPENID, &follower_row(account, follower), openid.reveal().as_bytes())?;
        Ok(Write::new(
            INSERT_IF_NEW,
            vec![account.as_str().into(), follower.into(), sealed.into(), at.into()],
        ))
    }

    /// The name under which WeChat knows a follower; `None` when he is unknown or erased.
    ///
    /// # Errors
    /// When the database fails or the value does not open.
    pub async fn openid(
        &self,
        account: &AccountId,
        follower: FollowerKey,
    ) -> Result<Option<Openid>, StoreError> {
        let row = self.fetch_one(OPENID_OF, vec![account.as_str().into(), follower.into()]).await?;
        row.map_or(Ok(None), |row| self.opened_openid(account, follower, &row, 0))
    }

    /// The openid in a column of a row; `None` where there is none.
    pub(super) fn opened_openid(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        row: &Row,
        column: usize,
    ) -> Result<Option<Openid>, StoreError> {
        let Some(sealed) = row.blob_opt(column)? else { return Ok(None) };
        let plain = self.vault().open(OPENID, &follower_row(account, follower), sealed)?;
        Ok(Openid::parse(&row.utf8(column, &plain)?))
    }

    /// Whether he follows, as far as WeChat has said; `None` when he is unknown.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_following(
        &self,
        account: &AccountId,
        follower: FollowerKey,
    ) -> Result<Option<bool>, StoreError> {
        let row = self.fetch_one(OPENID_OF, vec![account.as_str().into(), follower.into()]).await?;
        row.map(|row| row.flag(1)).transpose()
    }

    /// He writes, so he follows, whatever WeChat said of him before.
    #[must_use]
    pub fn set_back(&self, account: &AccountId, follower: FollowerKey) -> Write {
        Write::new(SET_BACK, vec![account.as_str().into(), follower.into()])
    }

    /// Notes that WeChat says he does not follow; nothing is erased.
    #[must_use]
    pub fn set_left(&self, account: &AccountId, follower: FollowerKey, at: UnixMs) -> Write {
        Write::new(SET_LEFT, vec![account.as_str().into(), follower.into(), at.into()])
    }

    /// Erases the follower's row, and with it his openid.
    #[must_use]
    pub fn erase_follower(&self, account: &AccountId, follower: FollowerKey) -> Write {
        Write::new(DELETE, vec![account.as_str().into(), follower.into()])
    }

    /// Notes a question that goes on at `due` at the latest.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn insert_resume(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        wish: &Personal,
        due: UnixMs,
    ) -> Result<Write, StoreError> {
        let id = self.new_id();
        let sealed = self.vault().seal(WISH, id.as_bytes(), wish.reveal().as_bytes())?;
        let args = vec![id.into(), account.as_str().into(), follower.into(), due.into(), sealed.into()];
        Ok(Write::new(INSERT_RESUME, args))
    }

    /// The waiting questions of one follower.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn resumes_of(
        &self,
        account: &AccountId,
        follower: FollowerKey,
    ) -> Result<Vec<Resume>, StoreError> {
        let rows = self.fetch(RESUMES_OF, vec![account.as_str().into(), follower.into()]).await?;
        rows.iter().map(|row| self.resume(row)).collect()
    }

    /// Questions that are due, at most 32.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn due_resumes(&self, now: UnixMs) -> Result<Vec<Resume>, StoreError> {
        let rows = self.fetch(DUE_RESUMES, vec![now.into()]).await?;
        rows.iter().map(|row| self.resume(row)).collect()
    }

    fn resume(&self, row: &super::Row) -> Result<Resume, StoreError> {
        let id = row.text(0)?;
        // One damaged row must not hide the others. It is given up, because nothing stands in it.
        let plain = self.vault().open(WISH, id.as_bytes(), row.blob(4)?).unwrap_or_else(|error| {
            tracing::error!(resume = id, %error, retry = "never", "a question that waited for a binding does not open and is given up. Was a master key taken away?");
            Zeroizing::default()
        });
        Ok(Resume {
            resume_id: id.to_owned(),
            account: AccountId::new(row.text(1)?),
            follower: row.follower(2)?,
            tries: row.int(3)?,
            wish: Personal::new(row.utf8(4, &plain)?),
        })
    }

    /// Takes one try at a question; [`Conflict::Lost`] when another instance is at it.
    #[must_use]
    pub fn delay_resume(&self, resume: &Resume, until: UnixMs) -> Write {
        let args = vec![resume.resume_id.as_str().into(), resume.tries.into(), until.into()];
        Write::one(DELAY_RESUME, args, Conflict::Lost)
    }

    /// Ends a question; [`Conflict::Lost`] when it was answered elsewhere.
    #[must_use]
    pub fn end_resume(&self, resume_id: &str) -> Write {
        Write::one(END_RESUME, vec![resume_id.into()], Conflict::Lost)
    }

    /// Erases the waiting questions of one follower.
    #[must_use]
    pub fn erase_resumes(&self, account: &AccountId, follower: FollowerKey) -> Write {
        Write::new(ERASE_RESUMES, vec![account.as_str().into(), follower.into()])
    }

    /// The shared access token and when it expires.
    ///
    /// # Errors
    /// When the database fails or the value does not open.
    pub async fn access_token(&self, app_id: &str) -> Result<Option<(Secret, UnixMs)>, StoreError> {
        let Some(row) = self.fetch_one(TOKEN_ROW, vec![app_id.into()]).await? else { return Ok(None) };
        let Some(sealed) = row.blob_opt(0)? else { return Ok(None) };
        let plain = self.vault().open(TOKEN, app_id.as_bytes(), sealed)?;
        Ok(Some((Secret::new(row.utf8(0, &plain)?), row.time(1)?)))
    }

    /// Writes that make `owner` the one who fetches the next token; [`Conflict::Lost`] when another is at it.
    #[must_use]
    pub fn lease_access_token(&self, app_id: &str, owner: &str, now: UnixMs, until: UnixMs) -> [Write; 2] {
        [
            Write::new(CREATE_TOKEN_ROW, vec![app_id.into()]),
            Write::one(
                LEASE_TOKEN,
                vec![app_id.into(), owner.into(), until.into(), now.into()],
                Conflict::Lost,
            ),
        ]
    }

    /// Shares a fetched token; [`Conflict::Lost`] when the lease went to another.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn save_access_token(
        &self,
        app_id: &str,
        owner: &str,
        token: &Secret,
        expires: UnixMs,
    ) -> Result<Write, StoreError> {
        let sealed = self.vault().seal(TOKEN, app_id.as_bytes(), token.reveal().as_bytes())?;
        let args = vec![app_id.into(), owner.into(), sealed.into(), expires.into()];
        Ok(Write::one(SAVE_TOKEN, args, Conflict::Lost))
    }
}
