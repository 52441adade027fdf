-- Locks: the row, for this statement. Index: the primary key. Rows: 1.
INSERT INTO plimsoll.leader AS known (one, who, fence, until)
VALUES (1, $1, 1, $3)
ON CONFLICT (one) DO UPDATE
SET fence = known.fence + (known.who <> excluded.who)::integer, who = excluded.who,
    until = greatest(excluded.until, known.until)
WHERE known.who = excluded.who OR known.until <= $2
RETURNING fence
