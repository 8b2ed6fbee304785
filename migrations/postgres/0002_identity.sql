-- How often a customer's page binding changed hands in one account. The row is written first in each such commit,
-- so that two followers who bind the same customer at once come one after the other on every engine.
CREATE TABLE customer_holder (
    account     TEXT NOT NULL,
    customer_ix BYTEA NOT NULL,
    version     BIGINT NOT NULL,
    PRIMARY KEY (account, customer_ix)
);

-- Browser sessions of H5 pages. Only the SHA-256 of the cookie is known here.
CREATE TABLE h5_session (
    cookie_hash  BYTEA NOT NULL PRIMARY KEY,
    account      TEXT NOT NULL,
    fkey         BYTEA NOT NULL,
    version      BIGINT NOT NULL,
    state_sealed BYTEA NOT NULL,
    created_ms   BIGINT NOT NULL,
    seen_ms      BIGINT NOT NULL
);
CREATE INDEX h5_session_follower ON h5_session (account, fkey);
CREATE INDEX h5_session_created ON h5_session (created_ms);

-- Journeys to WeChat's authorisation page that have not come back.
CREATE TABLE oauth_state (
    state_hash   BYTEA NOT NULL PRIMARY KEY,
    account      TEXT NOT NULL,
    browser_hash BYTEA NOT NULL,
    page         TEXT NOT NULL,
    link_sealed  BYTEA,
    expires_ms   BIGINT NOT NULL
);
CREATE INDEX oauth_state_expires ON oauth_state (expires_ms);

-- One-time links that did their work.
CREATE TABLE used_ticket (
    nonce      BYTEA NOT NULL PRIMARY KEY,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX used_ticket_expires ON used_ticket (expires_ms);

-- Starts of identity checks and one-time codes, counted per follower.
CREATE TABLE page_start (
    start_id TEXT NOT NULL PRIMARY KEY,
    account  TEXT NOT NULL,
    fkey     BYTEA NOT NULL,
    kind     TEXT NOT NULL,
    at_ms    BIGINT NOT NULL
);
CREATE INDEX page_start_follower ON page_start (account, fkey, kind, at_ms);
CREATE INDEX page_start_at ON page_start (at_ms);

-- A card application that is being filled in: one a follower, erased after 7 days.
CREATE TABLE application_draft (
    account      TEXT NOT NULL,
    fkey         BYTEA NOT NULL,
    draft_id     TEXT NOT NULL,
    version      BIGINT NOT NULL,
    draft_sealed BYTEA NOT NULL,
    created_ms   BIGINT NOT NULL,
    PRIMARY KEY (account, fkey)
);
CREATE INDEX application_draft_created ON application_draft (created_ms);

-- Applications that the core took in, so that the chat can tell their progress.
CREATE TABLE application (
    application_id TEXT NOT NULL PRIMARY KEY,
    account        TEXT NOT NULL,
    fkey           BYTEA NOT NULL,
    number_sealed  BYTEA NOT NULL,
    submitted_ms   BIGINT NOT NULL
);
CREATE INDEX application_follower ON application (account, fkey, submitted_ms);
