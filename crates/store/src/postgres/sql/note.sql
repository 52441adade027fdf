-- Locks: all who note, for this transaction: places are given and become visible in the same order. Index: the unique id.
-- Rows: a few.
INSERT INTO plimsoll.facts (id, at, kind, about, author, body)
SELECT id, at, kind, about, author, body
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[])
    WITH ORDINALITY AS r (id, at, kind, about, author, body, said)
ORDER BY said
ON CONFLICT (id) DO NOTHING
