-- How often a customer's page binding changed hands in one account. The row is written first in each such commit,
-- so that two followers who bind the same customer at once come one after the other on every engine.
CREATE TABLE customer_holder (
    account     TEXT NOT NULL,
    customer_ix BLOB NOT NULL,
    version     INTEGER NOT NULL,
    PRIMARY KEY (account, customer_ix)
) STRICT, WITHOUT ROWID;

-- Browser sessions of H5 pages. Only the SHA-256 of the cookie is known here.
CREATE TABLE h5_session (
    cookie_hash  BLOB NOT NULL PRIMARY KEY,
    account      TEXT NOT NULL,
    fkey         BLOB NOT NULL,
    version      INTEGER NOT NULL,
    state_sealed BLOB NOT NULL,
    created_ms   INTEGER NOT NULL,
    seen_ms      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX h5_session_follower ON h5_session (account, fkey);
CREATE INDEX h5_session_created ON h5_session (created_ms);

-- Journeys to WeChat's authorisation page that have not come back.
CREATE TABLE oauth_state (
    state_hash   BLOB NOT NULL PRIMARY KEY,
    account      TEXT NOT NULL,
    browser_hash BLOB NOT NULL,
    page         TEXT NOT NULL,
    link_sealed  BLOB,
    expires_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX oauth_state_expires ON oauth_state (expires_ms);

-- One-time links that did their work.
CREATE TABLE used_ticket (
    nonce      BLOB NOT NULL PRIMARY KEY,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX used_ticket_expires ON used_ticket (expires_ms);

-- Starts of identity checks and one-time codes, counted per follower.
CREATE TABLE page_start (
    start_id TEXT NOT NULL PRIMARY KEY,
    account  TEXT NOT NULL,
    fkey     BLOB NOT NULL,
    kind     TEXT NOT NULL,
    at_ms    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX page_start_follower ON page_start (account, fkey, kind, at_ms);
CREATE INDEX page_start_at ON page_start (at_ms);

-- A card application that is being filled in: one a follower, erased after 7 days.
CREATE TABLE application_draft (
    account      TEXT NOT NULL,
    fkey         BLOB NOT NULL,
    draft_id     TEXT NOT NULL,
    version      INTEGER NOT NULL,
    draft_sealed BLOB NOT NULL,
    created_ms   INTEGER NOT NULL,
    PRIMARY KEY (account, fkey)
) STRICT, WITHOUT ROWID;
CREATE INDEX application_draft_created ON application_draft (created_ms);

-- Applications that the core took in, so that the chat can tell their progress.
CREATE TABLE application (
    application_id TEXT NOT NULL PRIMARY KEY,
    account        TEXT NOT NULL,
    fkey           BLOB NOT NULL,
    number_sealed  BLOB NOT NULL,
    submitted_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX application_follower ON application (account, fkey, submitted_ms);
