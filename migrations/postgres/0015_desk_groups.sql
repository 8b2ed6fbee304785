-- Groups, agents, ratings and complaints of the desk.

-- Whom a waiting case prefers, for a while: the agent who knew the customer last, or whom it was transferred to.
ALTER TABLE desk_case ADD COLUMN prefer TEXT;
ALTER TABLE desk_case ADD COLUMN prefer_until_ms BIGINT;
-- What the customer thought of it, 1 to 5.
ALTER TABLE desk_case ADD COLUMN score BIGINT;
ALTER TABLE desk_case ADD COLUMN rated_ms BIGINT;
-- When anything that a screen shows of it changed last: screens of other instances look here.
ALTER TABLE desk_case ADD COLUMN touched_ms BIGINT NOT NULL DEFAULT 0;
-- The queue of one group; what was kept for one agent; what changed; what a report reads.
CREATE INDEX desk_case_group ON desk_case (account, state, skill, rank_ms);
CREATE INDEX desk_case_prefer ON desk_case (prefer, state);
CREATE INDEX desk_case_touched ON desk_case (touched_ms);
CREATE INDEX desk_case_opened ON desk_case (account, opened_ms);
CREATE INDEX desk_case_claimed ON desk_case (claimed_by, claimed_ms);

-- How one person works at the desk. Nobody has to have a row: then he serves every group.
CREATE TABLE desk_agent (
    name       TEXT NOT NULL PRIMARY KEY,
    -- Ids separated by commas; empty: every group.
    skills     TEXT NOT NULL,
    capacity   BIGINT NOT NULL,
    -- Whether cases come by themselves.
    ready      BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL
);

-- A complaint and its clock. It outlives its case.
CREATE TABLE complaint (
    complaint_id  TEXT NOT NULL PRIMARY KEY,
    account       TEXT NOT NULL,
    fkey          BYTEA NOT NULL,
    case_id       TEXT NOT NULL,
    reason_sealed BYTEA NOT NULL,
    registered_by TEXT NOT NULL,
    registered_ms BIGINT NOT NULL,
    settled_by    TEXT,
    settled_ms    BIGINT
);
-- At most one of a case.
CREATE UNIQUE INDEX complaint_case ON complaint (case_id);
CREATE INDEX complaint_open ON complaint (account, registered_ms) WHERE settled_ms IS NULL;

-- What customers and agents sent as files, fetched before WeChat forgets it.
CREATE TABLE desk_media (
    account       TEXT NOT NULL,
    fkey          BYTEA NOT NULL,
    seq           BIGINT NOT NULL,
    -- wanted, kept, lost
    state         TEXT NOT NULL,
    -- WeChat's name of it.
    media_id      TEXT NOT NULL,
    due_ms        BIGINT NOT NULL,
    tries         BIGINT NOT NULL,
    content_type  TEXT,
    -- SHA-256 of the plain bytes.
    sha256        BYTEA,
    bytes_sealed  BYTEA,
    PRIMARY KEY (account, fkey, seq)
);
CREATE INDEX desk_media_wanted ON desk_media (due_ms) WHERE state = 'wanted';
