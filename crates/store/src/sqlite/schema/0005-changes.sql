-- Who leads, by whose word more may be exposed; and what several count of a change, each for itself.
CREATE TABLE leader (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    who   TEXT    NOT NULL,
    fence INTEGER NOT NULL,
    until INTEGER NOT NULL
) STRICT;
CREATE TABLE shared (
    about    TEXT    NOT NULL,
    part     INTEGER NOT NULL,
    instance TEXT    NOT NULL,
    said     INTEGER NOT NULL,
    body     BLOB    NOT NULL,
    PRIMARY KEY (about, part, instance)
) STRICT, WITHOUT ROWID;
