-- What of a day's calls of one API of an account was drawn by the instances that send, in blocks; days are Beijing's,
-- counted from 1970. calls_max: what WeChat allows, once it has said so.

CREATE TABLE quota (
    account   TEXT NOT NULL,
    api       TEXT NOT NULL,
    day       INTEGER NOT NULL,
    calls_max INTEGER,
    drawn     INTEGER NOT NULL,
    PRIMARY KEY (account, api, day)
) STRICT, WITHOUT ROWID;

-- What waits is read by the way it leaves, so that a way that is closed for the day hides nothing of the others.
DROP INDEX outbox_due;
CREATE INDEX outbox_way ON outbox (account, channel, lane, due_ms, order_no) WHERE settled = 0;
CREATE INDEX outbox_events ON outbox (due_ms, order_no) WHERE settled = 0 AND lane = 4;
