-- Locks: rows of an instance that is gone. Index: the primary key. Rows: some thousands.
INSERT INTO plimsoll.minutes AS known (objective, counted, minute, instance, good, bad, measured)
SELECT *
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::smallint[])
    AS r (objective, counted, minute, instance, good, bad, measured)
ON CONFLICT (objective, counted, minute, instance)
DO UPDATE SET good = excluded.good, bad = excluded.bad, measured = excluded.measured
WHERE excluded.good >= known.good AND excluded.bad >= known.bad AND excluded.measured >= known.measured
