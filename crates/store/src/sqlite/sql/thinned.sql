-- Locks: the database, for the transaction around it. Index: minutes_minute. Rows: those of the hour.
DELETE FROM minutes WHERE minute >= ?1 AND minute < ?1 + 60 AND instance = ''
