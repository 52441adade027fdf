-- Locks: none. Index: the primary key, all of it. Rows: of each change on its way one for each step and process.
SELECT about, part, instance, said, body FROM shared WHERE instance <> ?1 ORDER BY about, part, instance
