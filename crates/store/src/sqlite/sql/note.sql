-- Locks: the database, for the transaction around it. Index: the unique id. Rows: 1, or none if it is known.
INSERT INTO facts (id, at, kind, about, author, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (id) DO NOTHING
