-- What was counted, by the minute and by the process that counted it.
-- The key leads with what is read together: one objective over many minutes. A month of one process is 43,200 rows.
CREATE TABLE minutes (
    objective TEXT NOT NULL,
    counted   TEXT NOT NULL,
    minute    INTEGER NOT NULL,
    instance  TEXT NOT NULL,
    good      INTEGER NOT NULL CHECK (good >= 0),
    bad       INTEGER NOT NULL CHECK (bad >= 0),
    measured  INTEGER NOT NULL CHECK (measured BETWEEN 0 AND 60),
    PRIMARY KEY (objective, counted, minute, instance)
) WITHOUT ROWID, STRICT;
