-- The audit log is append-only, and its lines are chained: each writer's lines have one chain of their own, in which a
-- line's link is a keyed hash of itself and of the link before. NULL in lines from before.
ALTER TABLE audit ADD COLUMN chain INTEGER;
ALTER TABLE audit ADD COLUMN seq INTEGER;
ALTER TABLE audit ADD COLUMN link BLOB;
CREATE UNIQUE INDEX audit_chain_seq ON audit (chain, seq);
CREATE TRIGGER audit_keeps_its_lines BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_loses_no_line BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

-- Where each chain ends, under a keyed seal; written in the commit of its last line.
CREATE TABLE audit_chain (
    chain     INTEGER NOT NULL PRIMARY KEY,
    opened_ms INTEGER NOT NULL,
    entries   INTEGER NOT NULL,
    link      BLOB NOT NULL,
    seal      BLOB NOT NULL
) STRICT;
-- How many chains there are, under a keyed seal. One row.
CREATE TABLE audit_root (
    root   INTEGER NOT NULL PRIMARY KEY,
    chains INTEGER NOT NULL,
    seal   BLOB NOT NULL
) STRICT;

-- What a session is good for: everything, or only the second step of signing in.
ALTER TABLE staff_session ADD COLUMN stage TEXT NOT NULL DEFAULT 'full';

-- Second factors. The secret is what the person's phone has too; each step of time is good for one sign-in.
CREATE TABLE staff_factor (
    name          TEXT NOT NULL PRIMARY KEY,
    secret_sealed BLOB NOT NULL,
    created_ms    INTEGER NOT NULL,
    last_step     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Codes for the day when the phone is lost, as keyed hashes; each is good once.
CREATE TABLE staff_recovery (
    name    TEXT NOT NULL,
    code_ix BLOB NOT NULL,
    PRIMARY KEY (name, code_ix)
) STRICT, WITHOUT ROWID;
