-- Locks: none. Index: the primary key, up to the hour. Rows: what an objective looks back.
SELECT minute, sum(good)::bigint, sum(bad)::bigint, max(measured), instance = 'hour'
FROM plimsoll.minutes
WHERE objective = $1 AND counted = $2 AND minute > $3::bigint - 60 AND instance <> $4
GROUP BY minute, instance = 'hour'
ORDER BY minute
