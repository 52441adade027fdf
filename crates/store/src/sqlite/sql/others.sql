-- Locks: none (WAL). Index: the primary key, up to the minute. Rows: the minutes that an objective looks back.
SELECT minute, sum(good), sum(bad), max(measured)
FROM minutes
WHERE objective = ?1 AND counted = ?2 AND minute >= ?3 AND instance <> ?4
GROUP BY minute
ORDER BY minute
