-- People who work with Weikefu. The name is what they sign in with, not what customers call them.
CREATE TABLE staff (
    name          TEXT NOT NULL PRIMARY KEY,
    role          TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_ms    BIGINT NOT NULL,
    changed_ms    BIGINT NOT NULL
);

-- Signed-in browsers. The token itself is only in the browser; here is its SHA-256.
CREATE TABLE staff_session (
    token_hash BYTEA NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    active_ms  BIGINT NOT NULL
);
CREATE INDEX staff_session_name ON staff_session (name);
CREATE INDEX staff_session_active ON staff_session (active_ms);

-- Failed sign-ins of one name from one address, so that a stranger locks out nobody but himself.
CREATE TABLE staff_attempt (
    attempt_ix BYTEA NOT NULL PRIMARY KEY,
    failures   BIGINT NOT NULL,
    retry_ms   BIGINT NOT NULL,
    last_ms    BIGINT NOT NULL
);
CREATE INDEX staff_attempt_last ON staff_attempt (last_ms);
