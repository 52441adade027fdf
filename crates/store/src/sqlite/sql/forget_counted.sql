-- Locks: the database. Index: minutes_minute. Rows: those of one hour; it walks those of a day.
DELETE FROM minutes WHERE minute >= ?2 - 1440 AND minute < ?2 AND counted = ?1
