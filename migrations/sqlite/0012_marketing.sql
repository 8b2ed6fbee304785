-- Whether a follower asked for offers: his last word on it, the version of the text that he agreed to, and when. Without a
-- row he did not.
CREATE TABLE marketing_choice (
    account    TEXT NOT NULL,
    fkey       BLOB NOT NULL,
    opted_in   INTEGER NOT NULL,
    version    TEXT NOT NULL,
    changed_ms INTEGER NOT NULL,
    PRIMARY KEY (account, fkey)
) STRICT, WITHOUT ROWID;

-- Offers that a follower was shown, once a day each, so that caps hold; kept as long as caps count.
CREATE TABLE offer_shown (
    account  TEXT NOT NULL,
    fkey     BLOB NOT NULL,
    offer    TEXT NOT NULL,
    day      TEXT NOT NULL,
    shown_ms INTEGER NOT NULL,
    PRIMARY KEY (account, fkey, offer, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX offer_shown_at ON offer_shown (shown_ms);
