-- Locks: the rows, which nobody writes any more, and whoever else would do so. Index: minutes_hours, then minutes_minute.
-- Rows: those of the oldest hour that is kept by the minute.
WITH oldest AS (
    SELECT min(minute) / 60 * 60 AS hour
    FROM plimsoll.minutes
    WHERE minute >= (SELECT coalesce(max(minute) + 60, 0) FROM plimsoll.minutes WHERE instance = 'hour')
),
whole AS (
    DELETE FROM plimsoll.minutes
    WHERE minute >= (SELECT hour FROM oldest)
        AND minute < (SELECT hour + 60 FROM oldest WHERE hour + 60 <= $1)
        AND instance = ''
    RETURNING objective, counted, minute, good, bad, measured
)
INSERT INTO plimsoll.minutes AS known (objective, counted, minute, instance, good, bad, measured)
SELECT objective, counted, min(minute) / 60 * 60, 'hour', sum(good)::bigint, sum(bad)::bigint, ((sum(measured) + 30) / 60)::smallint
FROM whole
GROUP BY objective, counted
ON CONFLICT (objective, counted, minute, instance)
DO UPDATE SET
    good = known.good + excluded.good,
    bad = known.bad + excluded.bad,
    measured = least(60, known.measured + excluded.measured)
