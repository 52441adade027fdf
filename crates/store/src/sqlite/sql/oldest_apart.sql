-- Locks: the database, for the transaction around it. Index: minutes_apart. Rows: 1.
SELECT min(minute) FROM minutes WHERE instance <> '' AND instance <> 'hour'
