-- Locks: none. Index: the primary key. Rows: up to the limit.
SELECT place, id, at, kind, about, author, body
FROM plimsoll.facts
WHERE place > $1
ORDER BY place
LIMIT $2
