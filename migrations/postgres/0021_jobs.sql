-- Work that is done once in the whole cluster at each tick of time: which tick was begun last, by whom, and whether it is done.
CREATE TABLE job (
    name     TEXT NOT NULL PRIMARY KEY,
    tick     BIGINT NOT NULL,
    owner    TEXT NOT NULL,
    until_ms BIGINT NOT NULL,
    done     BIGINT NOT NULL,
    -- How many ticks were begun since the first.
    runs     BIGINT NOT NULL
);
