-- Times are milliseconds since 1970 UTC. Columns that end in _sealed are AES-256-GCM under a data key,
-- columns that end in _ix are keyed hashes, fkey is the keyed hash of (AppID, openid).

CREATE TABLE data_key (
    key_id     INTEGER NOT NULL PRIMARY KEY,
    purpose    TEXT NOT NULL,
    wrapped    BLOB NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE follower (
    account       TEXT NOT NULL,
    fkey          BLOB NOT NULL,
    openid_sealed BLOB NOT NULL,
    following     INTEGER NOT NULL,
    followed_ms   INTEGER,
    left_ms       INTEGER,
    PRIMARY KEY (account, fkey)
) STRICT, WITHOUT ROWID;

-- One row a follower: everything that one message needs to know and may change, under one version.
CREATE TABLE conversation (
    account           TEXT NOT NULL,
    fkey              BLOB NOT NULL,
    version           INTEGER NOT NULL,
    turn              INTEGER NOT NULL,
    open_turns        INTEGER NOT NULL,
    seq               INTEGER NOT NULL,
    stage             TEXT NOT NULL,
    case_id           TEXT,
    dialogue_sealed   BLOB,
    say_next_sealed   BLOB,
    message_ms        INTEGER NOT NULL,
    message_used      INTEGER NOT NULL,
    tap_ms            INTEGER NOT NULL,
    tap_used          INTEGER NOT NULL,
    changed_ms        INTEGER NOT NULL,
    PRIMARY KEY (account, fkey)
) STRICT, WITHOUT ROWID;

-- Deduplication keys with the place of the answer in the log; kept 7 days.
CREATE TABLE push (
    account      TEXT NOT NULL,
    push_key     TEXT NOT NULL,
    fkey         BLOB NOT NULL,
    turn         INTEGER NOT NULL,
    outcome      TEXT NOT NULL,
    received_ms  INTEGER NOT NULL,
    reply_seq    INTEGER,
    PRIMARY KEY (account, push_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX push_received ON push (received_ms);

-- Pushes that are being worked on: only while they are.
CREATE TABLE open_push (
    account        TEXT NOT NULL,
    push_key       TEXT NOT NULL,
    fkey           BLOB NOT NULL,
    turn           INTEGER NOT NULL,
    owed           INTEGER NOT NULL,
    owner          TEXT NOT NULL,
    epoch          INTEGER NOT NULL,
    lease_until_ms INTEGER NOT NULL,
    received_ms    INTEGER NOT NULL,
    push_sealed    BLOB NOT NULL,
    PRIMARY KEY (account, push_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX open_push_follower ON open_push (account, fkey, turn);
CREATE INDEX open_push_lease ON open_push (lease_until_ms);

-- What was said, in order.
CREATE TABLE message (
    account        TEXT NOT NULL,
    fkey           BLOB NOT NULL,
    seq            INTEGER NOT NULL,
    direction      TEXT NOT NULL,
    author         TEXT NOT NULL,
    channel        TEXT NOT NULL,
    content_sealed BLOB NOT NULL,
    at_ms          INTEGER NOT NULL,
    state          TEXT NOT NULL,
    PRIMARY KEY (account, fkey, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE binding (
    account         TEXT NOT NULL,
    fkey            BLOB NOT NULL,
    customer_ix     BLOB NOT NULL,
    customer_sealed BLOB NOT NULL,
    profile_sealed  BLOB NOT NULL,
    default_card    TEXT NOT NULL,
    alerts          INTEGER NOT NULL,
    hide_amounts    INTEGER NOT NULL,
    consent_hash    TEXT,
    consent_ms      INTEGER,
    source          TEXT NOT NULL,
    bound_ms        INTEGER NOT NULL,
    PRIMARY KEY (account, fkey)
) STRICT, WITHOUT ROWID;
CREATE INDEX binding_customer ON binding (customer_ix);

-- Work that goes on after the follower did something outside the chat (finished a binding).
CREATE TABLE resume (
    resume_id    TEXT NOT NULL PRIMARY KEY,
    account      TEXT NOT NULL,
    fkey         BLOB NOT NULL,
    due_ms       INTEGER NOT NULL,
    tries        INTEGER NOT NULL,
    wish_sealed  BLOB NOT NULL
) STRICT;
CREATE INDEX resume_due ON resume (due_ms);

-- The shared access token of each account, and who may fetch the next.
CREATE TABLE wechat_token (
    app_id       TEXT NOT NULL PRIMARY KEY,
    token_sealed BLOB,
    expires_ms   INTEGER NOT NULL,
    owner        TEXT NOT NULL,
    lease_until_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE audit (
    audit_id       TEXT NOT NULL PRIMARY KEY,
    at_ms          INTEGER NOT NULL,
    actor          TEXT NOT NULL,
    action         TEXT NOT NULL,
    account        TEXT NOT NULL,
    fkey           BLOB,
    detail_sealed  BLOB
) STRICT;
CREATE INDEX audit_at ON audit (at_ms);
