-- Locks: the database, for the transaction around it. Index: minutes_minute. Rows: one for each objective.
INSERT INTO minutes (objective, counted, minute, instance, good, bad, measured)
SELECT objective, counted, ?1, 'hour', sum(good), sum(bad), (sum(measured) + 30) / 60
FROM minutes
WHERE minute >= ?1 AND minute < ?1 + 60 AND instance = ''
GROUP BY objective, counted
ON CONFLICT (objective, counted, minute, instance)
DO UPDATE SET
    good = good + excluded.good,
    bad = bad + excluded.bad,
    measured = min(60, measured + excluded.measured)
