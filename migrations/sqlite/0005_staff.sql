-- People who work with Weikefu. The name is what they sign in with, not what customers call them.
CREATE TABLE staff (
    name          TEXT NOT NULL PRIMARY KEY,
    role          TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_ms    INTEGER NOT NULL,
    changed_ms    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Signed-in browsers. The token itself is only in the browser; here is its SHA-256.
CREATE TABLE staff_session (
    token_hash BLOB NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    active_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX staff_session_name ON staff_session (name);
CREATE INDEX staff_session_active ON staff_session (active_ms);

-- Failed sign-ins of one name from one address, so that a stranger locks out nobody but himself.
CREATE TABLE staff_attempt (
    attempt_ix BLOB NOT NULL PRIMARY KEY,
    failures   INTEGER NOT NULL,
    retry_ms   INTEGER NOT NULL,
    last_ms    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX staff_attempt_last ON staff_attempt (last_ms);
