-- What was written of late, by the second, for all who judge it together.
-- `place` is the order of writing: a row that is written again comes again, at the end.
CREATE TABLE lately (
    place     INTEGER PRIMARY KEY AUTOINCREMENT,
    objective TEXT NOT NULL,
    counted   TEXT NOT NULL,
    minute    INTEGER NOT NULL,
    instance  TEXT NOT NULL,
    good      INTEGER NOT NULL,
    bad       INTEGER NOT NULL,
    measured  INTEGER NOT NULL,
    log       BLOB,
    UNIQUE (objective, counted, minute, instance)
) STRICT;
-- What evidence had come to before a second (`at`), by whoever has looked since another one.
CREATE TABLE evidence (
    objective TEXT NOT NULL,
    counted   TEXT NOT NULL,
    asked     TEXT NOT NULL,
    at        INTEGER NOT NULL,
    since     INTEGER NOT NULL,
    found     BLOB NOT NULL,
    PRIMARY KEY (objective, counted, asked)
) WITHOUT ROWID, STRICT;
-- What is forgotten, and what is added up, is found by the minute: the second holds only what is not added up yet.
CREATE INDEX minutes_minute ON minutes (minute);
CREATE INDEX minutes_apart ON minutes (minute) WHERE instance <> '';
