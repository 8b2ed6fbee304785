-- Outgoing work: who owns which partition, what is to be sent, what became of it, and what the bank asked us to tell.
-- Names and units as in 0001. Unsettled rows are found by partial indexes, so that history costs the worker nothing.

CREATE TABLE instance (
    owner        TEXT NOT NULL PRIMARY KEY,
    heartbeat_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row a partition, from the start. Only a change of owner raises the epoch.
CREATE TABLE part_lease (
    part     INTEGER NOT NULL PRIMARY KEY,
    owner    TEXT NOT NULL,
    epoch    INTEGER NOT NULL,
    until_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX part_lease_owner ON part_lease (owner);

WITH RECURSIVE parts (part) AS (SELECT 0 UNION ALL SELECT part + 1 FROM parts WHERE part < 255)
INSERT INTO part_lease (part, owner, epoch, until_ms) SELECT part, '', 0, 0 FROM parts;

CREATE TABLE outbox (
    outbox_id      TEXT NOT NULL PRIMARY KEY,
    part           INTEGER NOT NULL,
    account        TEXT NOT NULL,
    fkey           BLOB,
    customer_ix    BLOB,
    lane           INTEGER NOT NULL,
    channel        TEXT NOT NULL,
    order_no       INTEGER NOT NULL,
    cause_kind     TEXT NOT NULL,
    cause_id       TEXT NOT NULL,
    log_seq        INTEGER,
    sender         TEXT,
    client_msg_id  TEXT,
    due_ms         INTEGER NOT NULL,
    expires_ms     INTEGER NOT NULL,
    attempts       INTEGER NOT NULL,
    settled        INTEGER NOT NULL,
    state          TEXT NOT NULL,
    reason         TEXT,
    msgid          TEXT,
    created_ms     INTEGER NOT NULL,
    settled_ms     INTEGER,
    payload_sealed BLOB
) STRICT;
CREATE INDEX outbox_due ON outbox (lane, due_ms, order_no) WHERE settled = 0;
CREATE INDEX outbox_expires ON outbox (expires_ms) WHERE settled = 0;
CREATE INDEX outbox_follower ON outbox (account, fkey, channel, order_no) WHERE settled = 0;
CREATE INDEX outbox_cause ON outbox (cause_kind, cause_id);
CREATE INDEX outbox_msgid ON outbox (account, msgid) WHERE msgid IS NOT NULL;
CREATE INDEX outbox_settled ON outbox (settled_ms) WHERE settled = 1;

-- Every try, with what came of it.
CREATE TABLE attempt (
    outbox_id   TEXT NOT NULL,
    number      INTEGER NOT NULL,
    at_ms       INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    outcome     TEXT NOT NULL,
    errcode     INTEGER,
    PRIMARY KEY (outbox_id, number)
) STRICT, WITHOUT ROWID;

-- What is about to be sent, written before it is: what is left over after a crash was perhaps sent.
-- A customer-service message has an intent of its own, named like its row.
CREATE TABLE intent (
    intent_id TEXT NOT NULL PRIMARY KEY,
    part      INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,
    owner     TEXT NOT NULL,
    at_ms     INTEGER NOT NULL,
    ids       TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX intent_part ON intent (part);

-- An API of an account that WeChat has closed for the day or the minute.
CREATE TABLE quota_pause (
    account  TEXT NOT NULL,
    api      TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (account, api)
) STRICT, WITHOUT ROWID;

-- What WeChat reported of a template message; it may come before the send's own answer.
CREATE TABLE receipt (
    account TEXT NOT NULL,
    msgid   TEXT NOT NULL,
    status  TEXT NOT NULL,
    at_ms   INTEGER NOT NULL,
    PRIMARY KEY (account, msgid)
) STRICT, WITHOUT ROWID;
CREATE INDEX receipt_at ON receipt (at_ms);

-- What the bank asked us to tell: `family` is transaction or notice, each with ids of its own.
-- look_ms: when its state must be looked at again; NULL once nothing more can change it.
CREATE TABLE notice (
    family         TEXT NOT NULL,
    notice_id      TEXT NOT NULL,
    part           INTEGER NOT NULL,
    customer_ix    BLOB NOT NULL,
    kind           TEXT NOT NULL,
    lane           INTEGER NOT NULL,
    body_ix        BLOB NOT NULL,
    accepted_ms    INTEGER NOT NULL,
    deadline_ms    INTEGER NOT NULL,
    expires_ms     INTEGER NOT NULL,
    look_ms        INTEGER,
    looks          INTEGER NOT NULL,
    planned        INTEGER NOT NULL,
    fell_back      INTEGER NOT NULL,
    state          TEXT NOT NULL,
    reason         TEXT,
    changed_ms     INTEGER NOT NULL,
    payload_sealed BLOB NOT NULL,
    PRIMARY KEY (family, notice_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX notice_look ON notice (lane, look_ms) WHERE look_ms IS NOT NULL;
CREATE INDEX notice_pending ON notice (part) WHERE state = 'pending';
CREATE INDEX notice_accepted ON notice (accepted_ms);
CREATE INDEX notice_customer ON notice (customer_ix, accepted_ms);

-- A signed call is good once for each method and path; a repeated POST gets the answer that was given.
CREATE TABLE api_request (
    method        TEXT NOT NULL,
    path_ix       BLOB NOT NULL,
    webhook_id    TEXT NOT NULL,
    body_ix       BLOB NOT NULL,
    at_ms         INTEGER NOT NULL,
    status        INTEGER NOT NULL,
    answer_sealed BLOB,
    PRIMARY KEY (method, path_ix, webhook_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX api_request_at ON api_request (at_ms);
