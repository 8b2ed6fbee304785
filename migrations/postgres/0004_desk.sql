-- A case: one talk of one customer with people, from the first wish to its end. At most one case of a
-- conversation is open at a time; the conversation row names it.
CREATE TABLE desk_case (
    case_id          TEXT NOT NULL PRIMARY KEY,
    account          TEXT NOT NULL,
    fkey             BYTEA NOT NULL,
    state            TEXT NOT NULL,
    skill            TEXT NOT NULL,
    priority         BIGINT NOT NULL,
    reason           TEXT NOT NULL,
    opened_ms        BIGINT NOT NULL,
    opened_seq       BIGINT NOT NULL,
    queued_ms        BIGINT NOT NULL,
    rank_ms          BIGINT NOT NULL,
    claimed_by       TEXT,
    claimed_ms       BIGINT,
    first_reply_ms   BIGINT,
    last_reply_ms    BIGINT,
    last_customer_ms BIGINT,
    unread           BIGINT NOT NULL,
    transfers        BIGINT NOT NULL,
    closed_ms        BIGINT,
    close_reason     TEXT
);
-- The queue in its order; how many wait before somebody.
CREATE INDEX desk_case_queue ON desk_case (account, state, rank_ms);
CREATE INDEX desk_case_agent ON desk_case (claimed_by, state);
CREATE INDEX desk_case_follower ON desk_case (account, fkey, opened_ms);

-- Answers of open cases by the browser's key, so that a request sent twice is one message.
CREATE TABLE desk_answer (
    case_id   TEXT NOT NULL,
    answer_id TEXT NOT NULL,
    seq       BIGINT NOT NULL,
    PRIMARY KEY (case_id, answer_id)
);
