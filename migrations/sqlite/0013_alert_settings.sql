-- What a follower settled about his alerts beyond on and off: per card, thresholds, quiet hours; sealed JSON, NULL where
-- he settled nothing. It lives and dies with his binding.
ALTER TABLE binding ADD COLUMN settings_sealed BLOB;

-- What the planner decided on a notice, step by step (JSON, bounded), so that every item can say what became of it and why.
ALTER TABLE notice ADD COLUMN plan TEXT;

-- Notices that wait for the end of a follower's quiet hours, and the message that carried them together afterwards.
CREATE TABLE held (
    family    TEXT NOT NULL,
    notice_id TEXT NOT NULL,
    account   TEXT NOT NULL,
    fkey      BLOB NOT NULL,
    part      INTEGER NOT NULL,
    due_ms    INTEGER NOT NULL,
    outbox_id TEXT,
    state     TEXT NOT NULL,
    reason    TEXT,
    PRIMARY KEY (family, notice_id, account, fkey)
) STRICT, WITHOUT ROWID;
CREATE INDEX held_due ON held (due_ms) WHERE outbox_id IS NULL AND state = 'pending';
CREATE INDEX held_follower ON held (account, fkey) WHERE outbox_id IS NULL AND state = 'pending';
CREATE INDEX held_outbox ON held (outbox_id) WHERE outbox_id IS NOT NULL;
