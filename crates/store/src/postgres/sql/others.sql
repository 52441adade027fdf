-- Locks: none. Index: the primary key, up to the minute. Rows: the minutes that an objective looks back.
SELECT minute, sum(good)::bigint, sum(bad)::bigint, max(measured)
FROM plimsoll.minutes
WHERE objective = $1 AND counted = $2 AND minute >= $3 AND instance <> $4
GROUP BY minute
ORDER BY minute
