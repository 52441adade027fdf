-- Locks: the rows, which several write: in the order of their keys, so that none waits for another in a circle. Index: the
-- primary key. Rows: one of each objective, once a minute.
INSERT INTO plimsoll.evidence AS known (objective, counted, asked, at, since, found)
SELECT *
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bytea[])
    AS r (objective, counted, asked, at, since, found)
ORDER BY objective, counted, asked
ON CONFLICT (objective, counted, asked)
DO UPDATE SET at = excluded.at, since = excluded.since, found = excluded.found
WHERE excluded.at >= known.at AND excluded.since <= known.since OR excluded.at > known.at + 300
