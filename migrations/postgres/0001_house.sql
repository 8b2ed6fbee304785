-- Times are milliseconds since 1970 UTC. Columns that end in _sealed are AES-256-GCM under a data key,
-- columns that end in _ix are keyed hashes, fkey is the keyed hash of (AppID, openid).

CREATE TABLE data_key (
    key_id     BIGINT NOT NULL PRIMARY KEY,
    purpose    TEXT NOT NULL,
    wrapped    BYTEA NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE TABLE follower (
    account       TEXT NOT NULL,
    fkey          BYTEA NOT NULL,
    openid_sealed BYTEA NOT NULL,
    following     BIGINT NOT NULL,
    followed_ms   BIGINT,
    left_ms       BIGINT,
    PRIMARY KEY (account, fkey)
);

-- One row a follower: everything that one message needs to know and may change, under one version.
CREATE TABLE conversation (
    account           TEXT NOT NULL,
    fkey              BYTEA NOT NULL,
    version           BIGINT NOT NULL,
    turn              BIGINT NOT NULL,
    open_turns        BIGINT NOT NULL,
    seq               BIGINT NOT NULL,
    stage             TEXT NOT NULL,
    case_id           TEXT,
    dialogue_sealed   BYTEA,
    say_next_sealed   BYTEA,
    message_ms        BIGINT NOT NULL,
    message_used      BIGINT NOT NULL,
    tap_ms            BIGINT NOT NULL,
    tap_used          BIGINT NOT NULL,
    changed_ms        BIGINT NOT NULL,
    PRIMARY KEY (account, fkey)
);

-- Deduplication keys with the place of the answer in the log; kept 7 days.
CREATE TABLE push (
    account      TEXT NOT NULL,
    push_key     TEXT NOT NULL,
    fkey         BYTEA NOT NULL,
    turn         BIGINT NOT NULL,
    outcome      TEXT NOT NULL,
    received_ms  BIGINT NOT NULL,
    reply_seq    BIGINT,
    PRIMARY KEY (account, push_key)
);
CREATE INDEX push_received ON push (received_ms);

-- Pushes that are being worked on: only while they are.
CREATE TABLE open_push (
    account        TEXT NOT NULL,
    push_key       TEXT NOT NULL,
    fkey           BYTEA NOT NULL,
    turn           BIGINT NOT NULL,
    owed           BIGINT NOT NULL,
    owner          TEXT NOT NULL,
    epoch          BIGINT NOT NULL,
    lease_until_ms BIGINT NOT NULL,
    received_ms    BIGINT NOT NULL,
    push_sealed    BYTEA NOT NULL,
    PRIMARY KEY (account, push_key)
);
CREATE INDEX open_push_follower ON open_push (account, fkey, turn);
CREATE INDEX open_push_lease ON open_push (lease_until_ms);

-- What was said, in order.
CREATE TABLE message (
    account        TEXT NOT NULL,
    fkey           BYTEA NOT NULL,
    seq            BIGINT NOT NULL,
    direction      TEXT NOT NULL,
    author         TEXT NOT NULL,
    channel        TEXT NOT NULL,
    content_sealed BYTEA NOT NULL,
    at_ms          BIGINT NOT NULL,
    state          TEXT NOT NULL,
    PRIMARY KEY (account, fkey, seq)
);

CREATE TABLE binding (
    account         TEXT NOT NULL,
    fkey            BYTEA NOT NULL,
    customer_ix     BYTEA NOT NULL,
    customer_sealed BYTEA NOT NULL,
    profile_sealed  BYTEA NOT NULL,
    default_card    TEXT NOT NULL,
    alerts          BIGINT NOT NULL,
    hide_amounts    BIGINT NOT NULL,
    consent_hash    TEXT,
    consent_ms      BIGINT,
    source          TEXT NOT NULL,
    bound_ms        BIGINT NOT NULL,
    PRIMARY KEY (account, fkey)
);
CREATE INDEX binding_customer ON binding (customer_ix);

-- Work that goes on after the follower did something outside the chat (finished a binding).
CREATE TABLE resume (
    resume_id    TEXT NOT NULL PRIMARY KEY,
    account      TEXT NOT NULL,
    fkey         BYTEA NOT NULL,
    due_ms       BIGINT NOT NULL,
    tries        BIGINT NOT NULL,
    wish_sealed  BYTEA NOT NULL
);
CREATE INDEX resume_due ON resume (due_ms);

-- The shared access token of each account, and who may fetch the next.
CREATE TABLE wechat_token (
    app_id       TEXT NOT NULL PRIMARY KEY,
    token_sealed BYTEA,
    expires_ms   BIGINT NOT NULL,
    owner        TEXT NOT NULL,
    lease_until_ms BIGINT NOT NULL
);

CREATE TABLE audit (
    audit_id       TEXT NOT NULL PRIMARY KEY,
    at_ms          BIGINT NOT NULL,
    actor          TEXT NOT NULL,
    action         TEXT NOT NULL,
    account        TEXT NOT NULL,
    fkey           BYTEA,
    detail_sealed  BYTEA
);
CREATE INDEX audit_at ON audit (at_ms);
