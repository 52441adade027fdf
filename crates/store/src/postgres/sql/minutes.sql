-- Locks: none. Index: the primary key. Rows: up to the limit.
SELECT objective, counted, minute, instance, good, bad, measured
FROM plimsoll.minutes
WHERE (objective, counted, minute, instance) > ($1, $2, $3, $4)
ORDER BY objective, counted, minute, instance
LIMIT $5
