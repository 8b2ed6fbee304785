-- The log under ids that grow with time, and no other index: each entry names its follower's entry before it, and the
-- conversation the newest. An index by follower changed a page of its own for nearly each message.

CREATE TABLE message_at_end (
    message_id     INTEGER NOT NULL PRIMARY KEY,
    previous_id    INTEGER,
    account        TEXT NOT NULL,
    fkey           BLOB NOT NULL,
    seq            INTEGER NOT NULL,
    direction      TEXT NOT NULL,
    author         TEXT NOT NULL,
    channel        TEXT NOT NULL,
    content_sealed BLOB NOT NULL,
    at_ms          INTEGER NOT NULL,
    state          TEXT NOT NULL
) STRICT;
INSERT INTO message_at_end SELECT message_id, lag(message_id) OVER (PARTITION BY account, fkey ORDER BY seq), account, fkey,
    seq, direction, author, channel, content_sealed, at_ms, state
    FROM (SELECT row_number() OVER (ORDER BY at_ms, account, fkey, seq) AS message_id, account, fkey, seq, direction,
        author, channel, content_sealed, at_ms, state FROM message) AS numbered
    ORDER BY message_id;

ALTER TABLE conversation ADD COLUMN last_message_id INTEGER;
UPDATE conversation SET last_message_id = newest.message_id
    FROM (SELECT account, fkey, message_id, row_number() OVER (PARTITION BY account, fkey ORDER BY seq DESC) AS place
        FROM message_at_end) AS newest
    WHERE newest.place = 1 AND newest.account = conversation.account AND newest.fkey = conversation.fkey;

DROP TABLE message;
ALTER TABLE message_at_end RENAME TO message;
