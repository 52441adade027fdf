-- Locks: none. Index: lately_place. Rows: those of the last second or two, or of 20 minutes at a start.
SELECT objective, counted, minute, instance, good, bad, measured, log
FROM plimsoll.lately
WHERE place >= $1 AND ($2::text IS NULL OR NOT starts_with(instance, $2))
