-- Locks: none. Index: none, it walks the tables; asked by people.
SELECT
    (SELECT version FROM plimsoll.version),
    count(*),
    count(DISTINCT objective),
    min(minute),
    max(minute),
    (SELECT count(*) FROM plimsoll.facts)
FROM plimsoll.minutes
