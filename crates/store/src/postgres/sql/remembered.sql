-- Locks: none. Index: none, it is all. Rows: one of each objective.
SELECT objective, counted, asked, at, since, found
FROM plimsoll.evidence
ORDER BY objective, counted, asked
