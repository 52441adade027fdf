-- Locks: the rows, which nobody else writes. Index: the primary key. Rows: one for each step of a change on its way.
INSERT INTO plimsoll.shared AS known (about, part, instance, said, body)
SELECT * FROM unnest($1::text[], $2::integer[], $3::text[], $4::bigint[], $5::bytea[])
ON CONFLICT (about, part, instance) DO UPDATE
SET said = excluded.said, body = excluded.body
WHERE excluded.said >= known.said
