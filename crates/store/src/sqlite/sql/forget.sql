-- Locks: the database. Index: none, it walks the table; asked once an hour. Rows: those of one hour, after the first.
DELETE FROM minutes WHERE minute < ?1
