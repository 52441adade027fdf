-- Locks: none. Index: lately_place. Rows: those of the last second, or of 20 minutes at a start. While a transaction goes on for
-- long, of anybody in this cluster, it walks what was written since that began, and leaves out what was seen before.
SELECT objective, counted, minute, instance, good, bad, measured, log
FROM plimsoll.lately
WHERE place >= $1
    AND ($2::text IS NULL OR NOT starts_with(instance, $2))
    AND ($3::text IS NULL OR NOT pg_visible_in_snapshot(place::text::xid8, $3::text::pg_snapshot))
