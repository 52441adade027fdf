-- Locks: the database, for the transaction around it. Index: minutes_apart. Rows: those that were added up.
DELETE FROM minutes WHERE instance <> '' AND instance <> 'hour' AND minute < ?1
