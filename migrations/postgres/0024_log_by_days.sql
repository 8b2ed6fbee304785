-- The log by days: what stands there becomes the partition of everything before the bound of 0022, without being copied or
-- read, and each day from there on gets one of its own (src/store/log_days.rs). What no day is made for goes to the default.
-- takes away: nothing; a table of the same name and columns has taken the place when this commits.

SET LOCAL lock_timeout = '3s';
DO $$
DECLARE
    before NAME;
    bound TEXT;
BEGIN
    SELECT conname, substring(pg_get_constraintdef(oid) FROM '[0-9]+') INTO STRICT before, bound FROM pg_constraint
        WHERE conrelid = 'message'::regclass AND conname LIKE 'message\_before\_%';
    EXECUTE format('ALTER TABLE message RENAME TO %I', before);
    EXECUTE format('CREATE TABLE message (LIKE %I INCLUDING DEFAULTS) PARTITION BY RANGE (message_id)', before);
    ALTER TABLE message ADD PRIMARY KEY (message_id);
    EXECUTE format('ALTER TABLE message ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%s)', before, bound);
    CREATE TABLE message_default PARTITION OF message DEFAULT;
END $$;

-- Days of a log (Beijing's, counted from 1970) that `weikefu archive` has written to a file.
CREATE TABLE archived_day (
    log         TEXT NOT NULL,
    day         BIGINT NOT NULL,
    entries     BIGINT NOT NULL,
    -- Of the file, in hexadecimal.
    sha256      TEXT NOT NULL,
    archived_ms BIGINT NOT NULL,
    PRIMARY KEY (log, day)
);
