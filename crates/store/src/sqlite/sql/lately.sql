-- Locks: none (WAL). Index: the primary key. Rows: those of the last second, or of 20 minutes at a start.
SELECT objective, counted, minute, instance, good, bad, measured, log
FROM lately
WHERE place > ?1 AND (?2 IS NULL OR substr(instance, 1, length(?2)) <> ?2)
ORDER BY place
