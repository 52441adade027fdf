-- Locks: the database. Index: the primary key. Rows: those of one change.
DELETE FROM shared WHERE about = ?1
