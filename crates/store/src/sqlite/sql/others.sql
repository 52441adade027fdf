-- Locks: none (WAL). Index: the primary key, up to the hour. Rows: what an objective looks back.
SELECT minute, sum(good), sum(bad), max(measured), instance = 'hour'
FROM minutes
WHERE objective = ?1 AND counted = ?2 AND minute > ?3 - 60 AND instance <> ?4
GROUP BY minute, instance = 'hour'
ORDER BY minute
