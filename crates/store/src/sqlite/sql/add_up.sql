-- Locks: the database, for the transaction around it. Index: minutes_apart. Rows: those of an hour.
INSERT INTO minutes (objective, counted, minute, instance, good, bad, measured)
SELECT objective, counted, minute, '', sum(good), sum(bad), max(measured)
FROM minutes
WHERE instance <> '' AND instance <> 'hour' AND minute < ?1
GROUP BY objective, counted, minute
ON CONFLICT (objective, counted, minute, instance)
DO UPDATE SET
    good = good + excluded.good,
    bad = bad + excluded.bad,
    measured = max(measured, excluded.measured)
