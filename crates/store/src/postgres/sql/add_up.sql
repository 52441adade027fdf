-- Locks: the rows, which nobody writes any more, and whoever else would add up. Index: minutes_apart, then the primary key.
-- Rows: those of the oldest hour that is not added up.
WITH oldest AS (
    SELECT least($1, min(minute) + 60) AS before
    FROM plimsoll.minutes
    WHERE instance <> '' AND instance <> 'hour'
),
apart AS (
    DELETE FROM plimsoll.minutes
    WHERE instance <> '' AND instance <> 'hour' AND minute < (SELECT before FROM oldest)
    RETURNING objective, counted, minute, good, bad, measured
)
INSERT INTO plimsoll.minutes AS known (objective, counted, minute, instance, good, bad, measured)
SELECT objective, counted, minute, '', sum(good)::bigint, sum(bad)::bigint, max(measured)
FROM apart
GROUP BY objective, counted, minute
ON CONFLICT (objective, counted, minute, instance)
DO UPDATE SET
    good = known.good + excluded.good,
    bad = known.bad + excluded.bad,
    measured = greatest(known.measured, excluded.measured)
