-- A case: one talk of one customer with people, from the first wish to its end. At most one case of a
-- conversation is open at a time; the conversation row names it.
CREATE TABLE desk_case (
    case_id          TEXT NOT NULL PRIMARY KEY,
    account          TEXT NOT NULL,
    fkey             BLOB NOT NULL,
    state            TEXT NOT NULL,
    skill            TEXT NOT NULL,
    priority         INTEGER NOT NULL,
    reason           TEXT NOT NULL,
    opened_ms        INTEGER NOT NULL,
    opened_seq       INTEGER NOT NULL,
    queued_ms        INTEGER NOT NULL,
    rank_ms          INTEGER NOT NULL,
    claimed_by       TEXT,
    claimed_ms       INTEGER,
    first_reply_ms   INTEGER,
    last_reply_ms    INTEGER,
    last_customer_ms INTEGER,
    unread           INTEGER NOT NULL,
    transfers        INTEGER NOT NULL,
    closed_ms        INTEGER,
    close_reason     TEXT
) STRICT, WITHOUT ROWID;
-- The queue in its order; how many wait before somebody.
CREATE INDEX desk_case_queue ON desk_case (account, state, rank_ms);
CREATE INDEX desk_case_agent ON desk_case (claimed_by, state);
CREATE INDEX desk_case_follower ON desk_case (account, fkey, opened_ms);

-- Answers of open cases by the browser's key, so that a request sent twice is one message.
CREATE TABLE desk_answer (
    case_id   TEXT NOT NULL,
    answer_id TEXT NOT NULL,
    seq       INTEGER NOT NULL,
    PRIMARY KEY (case_id, answer_id)
) STRICT, WITHOUT ROWID;
