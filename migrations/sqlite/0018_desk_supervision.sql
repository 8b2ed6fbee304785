-- What supervisors count, judge and see.

-- When followers turned to the bot: who and when, nothing else. Reports count those after whom nobody was needed.
CREATE TABLE contact (
    account  TEXT NOT NULL,
    fkey     BLOB NOT NULL,
    began_ms INTEGER NOT NULL,
    PRIMARY KEY (account, fkey, began_ms)
) STRICT, WITHOUT ROWID;
CREATE INDEX contact_began ON contact (account, began_ms);

-- A supervisor's judgement of a case, drawn by lot.
CREATE TABLE desk_quality (
    case_id     TEXT NOT NULL PRIMARY KEY,
    account     TEXT NOT NULL,
    agent       TEXT NOT NULL,
    -- 1 to 5
    points      INTEGER NOT NULL,
    note_sealed BLOB NOT NULL,
    judged_by   TEXT NOT NULL,
    judged_ms   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX desk_quality_judged ON desk_quality (account, judged_ms);

-- Who has a conversation before him at this moment.
CREATE TABLE desk_looking (
    case_id TEXT NOT NULL,
    name    TEXT NOT NULL,
    at_ms   INTEGER NOT NULL,
    PRIMARY KEY (case_id, name)
) STRICT, WITHOUT ROWID;
