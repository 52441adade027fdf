-- Locks: none (WAL). Index: the primary key. Rows: up to the limit.
SELECT objective, counted, minute, instance, good, bad, measured
FROM minutes
WHERE (objective, counted, minute, instance) > (?1, ?2, ?3, ?4)
ORDER BY objective, counted, minute, instance
LIMIT ?5
