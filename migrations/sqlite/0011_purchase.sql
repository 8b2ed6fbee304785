-- The one-time code that a follower proved himself with last: for which service, and until when. One a follower; it
-- counts only while he is bound to the customer whose phone got the code.
CREATE TABLE step_up (
    account     TEXT NOT NULL,
    fkey        BLOB NOT NULL,
    customer_ix BLOB NOT NULL,
    scope       TEXT NOT NULL,
    verified_ms INTEGER NOT NULL,
    until_ms    INTEGER NOT NULL,
    PRIMARY KEY (account, fkey)
) STRICT, WITHOUT ROWID;
CREATE INDEX step_up_until ON step_up (until_ms);

-- A change at the core that the customer was promised while the core did not answer: tried until it is done.
CREATE TABLE owed_call (
    call_id        TEXT NOT NULL PRIMARY KEY,
    account        TEXT NOT NULL,
    fkey           BLOB NOT NULL,
    due_ms         INTEGER NOT NULL,
    expires_ms     INTEGER NOT NULL,
    tries          INTEGER NOT NULL,
    request_sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX owed_call_due ON owed_call (due_ms);
CREATE INDEX owed_call_follower ON owed_call (account, fkey);
