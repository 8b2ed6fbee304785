-- Messages that were not understood at once, masked and sealed, until staff make examples of them or drop them; kept for a
-- bounded time. `chosen` is the service that the customer himself chose from those offered.
CREATE TABLE review (
    review_id   TEXT NOT NULL PRIMARY KEY,
    account     TEXT NOT NULL,
    fkey        BYTEA NOT NULL,
    kind        TEXT NOT NULL,
    nearest     TEXT NOT NULL,
    chosen      TEXT,
    said_ms     BIGINT NOT NULL,
    text_sealed BYTEA NOT NULL
);
CREATE INDEX review_said ON review (said_ms);
CREATE INDEX review_follower ON review (account, fkey);
