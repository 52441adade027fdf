-- Locks: none (WAL). Index: none, it is all. Rows: one of each objective.
SELECT objective, counted, asked, at, since, found
FROM evidence
ORDER BY objective, counted, asked
