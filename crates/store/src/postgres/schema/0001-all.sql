-- What was counted, by the minute and by the process that counted it.
-- The key leads with what is read together: one objective over many minutes. Rows of the minute that goes on are written
-- every second: `fillfactor` leaves them room to stay on their page.
CREATE TABLE plimsoll.minutes (
    objective text     NOT NULL,
    counted   text     NOT NULL,
    minute    bigint   NOT NULL,
    instance  text     NOT NULL,
    good      bigint   NOT NULL CHECK (good >= 0),
    bad       bigint   NOT NULL CHECK (bad >= 0),
    measured  smallint NOT NULL CHECK (measured BETWEEN 0 AND 60),
    PRIMARY KEY (objective, counted, minute, instance)
) WITH (fillfactor = 90);
-- What is forgotten, and what is added up, is found by the minute: the second holds only what is not added up yet.
CREATE INDEX minutes_minute ON plimsoll.minutes (minute);
CREATE INDEX minutes_apart ON plimsoll.minutes (minute) WHERE instance <> '';

-- What was written of late, by the second, for all who judge it together.
-- `place` is the transaction that wrote it. Those before the oldest that goes on are all there to be seen, so whoever
-- asks again from there misses nothing, whatever the order in which they end.
CREATE TABLE plimsoll.lately (
    objective text     NOT NULL,
    counted   text     NOT NULL,
    minute    bigint   NOT NULL,
    instance  text     NOT NULL,
    place     bigint   NOT NULL,
    good      bigint   NOT NULL,
    bad       bigint   NOT NULL,
    measured  smallint NOT NULL,
    log       bytea,
    PRIMARY KEY (objective, counted, minute, instance)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX lately_place ON plimsoll.lately (place);

-- What evidence had come to before a second (`at`), by whoever has looked since another one.
CREATE TABLE plimsoll.evidence (
    objective text   NOT NULL,
    counted   text   NOT NULL,
    asked     text   NOT NULL,
    at        bigint NOT NULL,
    since     bigint NOT NULL,
    found     bytea  NOT NULL,
    PRIMARY KEY (objective, counted, asked)
);

-- What happened and must not be forgotten. Rows are only ever added, and go when they are old.
-- `place` is the order in which facts became visible: writers take turns (see `note.sql`), so none comes before one that
-- was seen.
CREATE TABLE plimsoll.facts (
    place  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id     text   NOT NULL UNIQUE,
    at     bigint NOT NULL,
    kind   text   NOT NULL,
    about  text   NOT NULL,
    author text   NOT NULL,
    body   text   NOT NULL
);
CREATE INDEX facts_at ON plimsoll.facts (at);
