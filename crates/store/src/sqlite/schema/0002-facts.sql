-- What happened and must not be forgotten. Rows are only ever added, and go when they are old.
-- `place` is the order in which facts became visible: writers take turns here, so none comes before one that was seen.
CREATE TABLE facts (
    place  INTEGER PRIMARY KEY AUTOINCREMENT,
    id     TEXT NOT NULL UNIQUE,
    at     INTEGER NOT NULL,
    kind   TEXT NOT NULL,
    about  TEXT NOT NULL,
    author TEXT NOT NULL,
    body   TEXT NOT NULL
) STRICT;
CREATE INDEX facts_at ON facts (at);
