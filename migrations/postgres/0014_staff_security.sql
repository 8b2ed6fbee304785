-- The audit log is append-only, and its lines are chained: each writer's lines have one chain of their own, in which a
-- line's link is a keyed hash of itself and of the link before. NULL in lines from before.
ALTER TABLE audit ADD COLUMN chain BIGINT;
ALTER TABLE audit ADD COLUMN seq BIGINT;
ALTER TABLE audit ADD COLUMN link BYTEA;
CREATE UNIQUE INDEX audit_chain_seq ON audit (chain, seq);
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$;
CREATE TRIGGER audit_keeps_its_lines BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_loses_no_line BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- Where each chain ends, under a keyed seal; written in the commit of its last line.
CREATE TABLE audit_chain (
    chain     BIGINT NOT NULL PRIMARY KEY,
    opened_ms BIGINT NOT NULL,
    entries   BIGINT NOT NULL,
    link      BYTEA NOT NULL,
    seal      BYTEA NOT NULL
);
-- How many chains there are, under a keyed seal. One row.
CREATE TABLE audit_root (
    root   BIGINT NOT NULL PRIMARY KEY,
    chains BIGINT NOT NULL,
    seal   BYTEA NOT NULL
);

-- What a session is good for: everything, or only the second step of signing in.
ALTER TABLE staff_session ADD COLUMN stage TEXT NOT NULL DEFAULT 'full';

-- Second factors. The secret is what the person's phone has too; each step of time is good for one sign-in.
CREATE TABLE staff_factor (
    name          TEXT NOT NULL PRIMARY KEY,
    secret_sealed BYTEA NOT NULL,
    created_ms    BIGINT NOT NULL,
    last_step     BIGINT NOT NULL
);
-- Codes for the day when the phone is lost, as keyed hashes; each is good once.
CREATE TABLE staff_recovery (
    name    TEXT NOT NULL,
    code_ix BYTEA NOT NULL,
    PRIMARY KEY (name, code_ix)
);
