//! What stands behind H5 pages: browser sessions, journeys to WeChat's authorisation page, used links, counted starts.

use zeroize::Zeroizing;

use super::value::statements;
use super::{Conflict, Store, StoreError, Write};
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;
use crate::keys::Place;

const STATE: Place = Place("h5_session.state");
const LINK: Place = Place("oauth_state.link");

statements! {
    CREATE_SESSION = "INSERT INTO h5_session (cookie_hash, account, fkey, version, state_sealed, created_ms, seen_ms) \
        VALUES ($1, $2, $3, 1, $4, $5, $5) ON CONFLICT (cookie_hash) DO NOTHING";
    FIND_SESSION = "SELECT account, fkey, version, state_sealed, created_ms, seen_ms FROM h5_session \
        WHERE cookie_hash = $1";
    SAVE_SESSION = "UPDATE h5_session SET version = $2 + 1, state_sealed = $3, seen_ms = $4 \
        WHERE cookie_hash = $1 AND version = $2";
    TOUCH_SESSION = "UPDATE h5_session SET seen_ms = $2 WHERE cookie_hash = $1 AND seen_ms < $2";
    ERASE_SESSIONS = "DELETE FROM h5_session WHERE account = $1 AND fkey = $2";
    OLD_SESSIONS = "DELETE FROM h5_session WHERE created_ms < $1 OR seen_ms < $2";
    CREATE_STATE = "INSERT INTO oauth_state (state_hash, account, browser_hash, page, link_sealed, expires_ms) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (state_hash) DO NOTHING";
    FIND_STATE = "SELECT account, browser_hash, page, link_sealed, expires_ms FROM oauth_state WHERE state_hash = $1";
    USE_STATE = "DELETE FROM oauth_state WHERE state_hash = $1";
    OLD_STATES = "DELETE FROM oauth_state WHERE expires_ms < $1";
    USE_TICKET = "INSERT INTO used_ticket (nonce, expires_ms) VALUES ($1, $2) ON CONFLICT (nonce) DO NOTHING";
    FIND_TICKET = "SELECT expires_ms FROM used_ticket WHERE nonce = $1";
    OLD_TICKETS = "DELETE FROM used_ticket WHERE expires_ms < $1";
    START = "INSERT INTO page_start (start_id, account, fkey, kind, at_ms) SELECT $1, $2, $3, $4, $5 \
        WHERE (SELECT count(*) FROM page_start WHERE account = $2 AND fkey = $3 AND kind = $4 AND at_ms > $6) < $7";
    TAKE_BACK_START = "DELETE FROM page_start WHERE start_id = $1";
    ERASE_STARTS = "DELETE FROM page_start WHERE account = $1 AND fkey = $2";
    OLD_STARTS = "DELETE FROM page_start WHERE at_ms < $1";
}

/// A browser session. Its cookie is known by its SHA-256 only.
#[derive(Clone)]
pub struct StoredSession {
    /// SHA-256 of the cookie.
    pub cookie_hash: [u8; 32],
    /// The account whose pages it opens.
    pub account: AccountId,
    /// The follower whom WeChat named.
    pub follower: FollowerKey,
    /// Save it under this version, or read again.
    pub version: i64,
    /// What the pages remember, as JSON.
    pub state: Zeroizing<Vec<u8>>,
    /// When it began.
    pub created: UnixMs,
    /// When it was last used, to the minute.
    pub seen: UnixMs,
}

/// A journey to WeChat's authorisation page.
#[derive(Clone)]
pub struct StoredJourney {
    /// The account it began at.
    pub account: AccountId,
    /// SHA-256 of the cookie of the browser it began in.
    pub browser_hash: [u8; 32],
    /// The page it goes back to.
    pub page: String,
    /// The signed link with which it began.
    pub link: Option<Secret>,
    /// When it is too late to come back.
    pub expires: UnixMs,
}

impl Store {
    /// Begins a session.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn create_session(&self, session: &StoredSession) -> Result<Write, StoreError> {
        let sealed = self.vault().seal(STATE, &session.cookie_hash, &session.state)?;
        let args = vec![
            session.cookie_hash.into(),
            session.account.as_str().into(),
            session.follower.into(),
            sealed.into(),
            session.created.into(),
        ];
        Ok(Write::one(CREATE_SESSION, args, Conflict::Duplicate))
    }

    /// The session of a cookie.
    ///
    /// # Errors
    /// When the database fails or the state does not open.
    pub async fn session(&self, cookie_hash: &[u8; 32]) -> Result<Option<StoredSession>, StoreError> {
        let Some(row) = self.fetch_one(FIND_SESSION, vec![(*cookie_hash).into()]).await? else {
            return Ok(None);
        };
        Ok(Some(StoredSession {
            cookie_hash: *cookie_hash,
            account: AccountId::new(row.text(0)?),
            follower: row.follower(1)?,
            version: row.int(2)?,
            state: self.vault().open(STATE, cookie_hash, row.blob(3)?)?,
            created: row.time(4)?,
            seen: row.time(5)?,
        }))
    }

    /// Saves a session's state as its next version; [`Conflict::Stale`] when it changed or ended since it was read.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn save_session(&self, session: &StoredSession, seen: UnixMs) -> Result<Write, StoreError> {
        let sealed = self.vault().seal(STATE, &session.cookie_hash, &session.state)?;
        let args = vec![session.cookie_hash.into(), session.version.into(), sealed.into(), seen.into()];
        Ok(Write::one(SAVE_SESSION, args, Conflict::Stale))
    }

    /// Notes that a session is in use.
    #[must_use]
    pub fn touch_session(&self, cookie_hash: &[u8; 32], seen: UnixMs) -> Write {
        Write::new(TOUCH_SESSION, vec![(*cookie_hash).into(), seen.into()])
    }

    /// Ends every session of a follower.
    #[must_use]
    pub fn erase_sessions(&self, account: &AccountId, follower: FollowerKey) -> Write {
        Write::new(ERASE_SESSIONS, vec![account.as_str().into(), follower.into()])
    }

    /// Notes a journey under the SHA-256 of its state.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn begin_journey(&self, state_hash: &[u8; 32], journey: &StoredJourney) -> Result<Write, StoreError> {
        let link = journey
            .link
            .as_ref()
            .map(|link| self.vault().seal(LINK, state_hash, link.reveal().as_bytes()))
            .transpose()?;
        let args = vec![
            (*state_hash).into(),
            journey.account.as_str().into(),
            journey.browser_hash.into(),
            journey.page.as_str().into(),
            link.into(),
            journey.expires.into(),
        ];
        Ok(Write::one(CREATE_STATE, args, Conflict::Duplicate))
    }

    /// The journey of a state.
    ///
    /// # Errors
    /// When the database fails or the link does not open.
    pub async fn journey(&self, state_hash: &[u8; 32]) -> Result<Option<StoredJourney>, StoreError> {
        let Some(row) = self.fetch_one(FIND_STATE, vec![(*state_hash).into()]).await? else {
            return Ok(None);
        };
        let link = row
            .blob_opt(3)?
            .map(|sealed| {
                let plain = self.vault().open(LINK, state_hash, sealed)?;
                row.utf8(3, &plain).map(Secret::new)
            })
            .transpose()?;
        let browser_hash = row.blob(1)?.try_into();
        Ok(Some(StoredJourney {
            account: AccountId::new(row.text(0)?),
            browser_hash: browser_hash
                .map_err(|_| StoreError::Decode { statement: FIND_STATE.name, column: 1 })?,
            page: row.text(2)?.to_owned(),
            link,
            expires: row.time(4)?,
        }))
    }

    /// Ends a journey; [`Conflict::Lost`] when somebody ended it before.
    #[must_use]
    pub fn end_journey(&self, state_hash: &[u8; 32]) -> Write {
        Write::one(USE_STATE, vec![(*state_hash).into()], Conflict::Lost)
    }

    /// Uses a one-time link up; [`Conflict::Duplicate`] when it was used before.
    #[must_use]
    pub fn use_ticket(&self, nonce: &[u8; 16], expires: UnixMs) -> Write {
        Write::one(USE_TICKET, vec![(*nonce).into(), expires.into()], Conflict::Duplicate)
    }

    /// Whether a one-time link was used up.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ticket_is_used(&self, nonce: &[u8; 16]) -> Result<bool, StoreError> {
        self.fetch_one(FIND_TICKET, vec![(*nonce).into()]).await.map(|row| row.is_some())
    }

    /// Counts one start of a kind under an id of its own; [`Conflict::Lost`] when the follower has had `starts_max` of them
    /// since `since`.
    #[must_use]
    pub fn count_start(
        &self,
        start_id: &str,
        account: &AccountId,
        follower: FollowerKey,
        kind: &str,
        since: UnixMs,
        starts_max: u32,
    ) -> Write {
        let args = vec![
            start_id.into(),
            account.as_str().into(),
            follower.into(),
            kind.into(),
            self.clock().now().into(),
            since.into(),
            starts_max.into(),
        ];
        Write::one(START, args, Conflict::Lost)
    }

    /// Counts a start no more: nothing came of it.
    #[must_use]
    pub fn take_back_start(&self, start_id: &str) -> Write {
        Write::new(TAKE_BACK_START, vec![start_id.into()])
    }

    /// Forgets what was counted for a follower.
    #[must_use]
    pub fn erase_starts(&self, account: &AccountId, follower: FollowerKey) -> Write {
        Write::new(ERASE_STARTS, vec![account.as_str().into(), follower.into()])
    }

    /// Erases what has had its time: sessions by age and idleness, journeys, used links, counted starts.
    #[must_use]
    pub fn forget_pages(
        &self,
        now: UnixMs,
        session_begun_before: UnixMs,
        session_idle_since: UnixMs,
        started_before: UnixMs,
    ) -> [Write; 4] {
        [
            Write::new(OLD_SESSIONS, vec![session_begun_before.into(), session_idle_since.into()]),
            Write::new(OLD_STATES, vec![now.into()]),
            Write::new(OLD_TICKETS, vec![now.into()]),
            Write::new(OLD_STARTS, vec![started_before.into()]),
        ]
    }
}
