-- Locks: the database. Index: the primary key. Rows: those of a minute.
DELETE FROM lately WHERE place <= ?1
