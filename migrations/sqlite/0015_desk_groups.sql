-- Groups, agents, ratings and complaints of the desk.

-- Whom a waiting case prefers, for a while: the agent who knew the customer last, or whom it was transferred to.
ALTER TABLE desk_case ADD COLUMN prefer TEXT;
ALTER TABLE desk_case ADD COLUMN prefer_until_ms INTEGER;
-- What the customer thought of it, 1 to 5.
ALTER TABLE desk_case ADD COLUMN score INTEGER;
ALTER TABLE desk_case ADD COLUMN rated_ms INTEGER;
-- When anything that a screen shows of it changed last: screens of other instances look here.
ALTER TABLE desk_case ADD COLUMN touched_ms INTEGER NOT NULL DEFAULT 0;
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
    capacity   INTEGER NOT NULL,
    -- Whether cases come by themselves.
    ready      INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A complaint and its clock. It outlives its case.
CREATE TABLE complaint (
    complaint_id  TEXT NOT NULL PRIMARY KEY,
    account       TEXT NOT NULL,
    fkey          BLOB NOT NULL,
    case_id       TEXT NOT NULL,
    reason_sealed BLOB NOT NULL,
    registered_by TEXT NOT NULL,
    registered_ms INTEGER NOT NULL,
    settled_by    TEXT,
    settled_ms    INTEGER
) STRICT, WITHOUT ROWID;
-- At most one of a case.
CREATE UNIQUE INDEX complaint_case ON complaint (case_id);
CREATE INDEX complaint_open ON complaint (account, registered_ms) WHERE settled_ms IS NULL;

-- What customers and agents sent as files, fetched before WeChat forgets it.
CREATE TABLE desk_media (
    account       TEXT NOT NULL,
    fkey          BLOB NOT NULL,
    seq           INTEGER NOT NULL,
    -- wanted, kept, lost
    state         TEXT NOT NULL,
    -- WeChat's name of it.
    media_id      TEXT NOT NULL,
    due_ms        INTEGER NOT NULL,
    tries         INTEGER NOT NULL,
    content_type  TEXT,
    -- SHA-256 of the plain bytes.
    sha256        BLOB,
    bytes_sealed  BLOB,
    PRIMARY KEY (account, fkey, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX desk_media_wanted ON desk_media (due_ms) WHERE state = 'wanted';
