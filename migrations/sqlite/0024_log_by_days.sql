-- Only PostgreSQL keeps the days of the log apart: here they go in small deletions.

-- Days of a log (Beijing's, counted from 1970) that `weikefu archive` has written to a file.
CREATE TABLE archived_day (
    log         TEXT NOT NULL,
    day         INTEGER NOT NULL,
    entries     INTEGER NOT NULL,
    -- Of the file, in hexadecimal.
    sha256      TEXT NOT NULL,
    archived_ms INTEGER NOT NULL,
    PRIMARY KEY (log, day)
) STRICT;
