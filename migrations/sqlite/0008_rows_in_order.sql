-- The log and the conversations as ordinary tables. Ordered by follower, as before, each message changed a page of its
-- own, and a row of more than a quarter of a page a second one; now the log grows at its end.

CREATE TABLE message_in_order (
    account        TEXT NOT NULL,
    fkey           BLOB NOT NULL,
    seq            INTEGER NOT NULL,
    direction      TEXT NOT NULL,
    author         TEXT NOT NULL,
    channel        TEXT NOT NULL,
    content_sealed BLOB NOT NULL,
    at_ms          INTEGER NOT NULL,
    state          TEXT NOT NULL,
    PRIMARY KEY (account, fkey, seq)
) STRICT;
INSERT INTO message_in_order SELECT account, fkey, seq, direction, author, channel, content_sealed, at_ms, state
    FROM message ORDER BY at_ms;
DROP TABLE message;
ALTER TABLE message_in_order RENAME TO message;

CREATE TABLE conversation_in_order (
    account           TEXT NOT NULL,
    fkey              BLOB NOT NULL,
    version           INTEGER NOT NULL,
    turn              INTEGER NOT NULL,
    open_turns        INTEGER NOT NULL,
    seq               INTEGER NOT NULL,
    stage             TEXT NOT NULL,
    case_id           TEXT,
    dialogue_sealed   BLOB,
    say_next_sealed   BLOB,
    message_ms        INTEGER NOT NULL,
    message_used      INTEGER NOT NULL,
    tap_ms            INTEGER NOT NULL,
    tap_used          INTEGER NOT NULL,
    changed_ms        INTEGER NOT NULL,
    PRIMARY KEY (account, fkey)
) STRICT;
INSERT INTO conversation_in_order SELECT account, fkey, version, turn, open_turns, seq, stage, case_id, dialogue_sealed,
    say_next_sealed, message_ms, message_used, tap_ms, tap_used, changed_ms FROM conversation;
DROP TABLE conversation;
ALTER TABLE conversation_in_order RENAME TO conversation;
