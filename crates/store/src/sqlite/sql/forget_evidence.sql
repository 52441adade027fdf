-- Locks: the database. Index: none, there is one row of each objective.
DELETE FROM evidence WHERE at < ?1
