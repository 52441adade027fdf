-- Locks: the database, for the transaction around it. Index: the primary key. Rows: 1.
INSERT INTO shared (about, part, instance, said, body)
VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (about, part, instance) DO UPDATE
SET said = excluded.said, body = excluded.body
WHERE excluded.said >= shared.said
