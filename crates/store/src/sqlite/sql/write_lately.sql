-- Locks: the database, for the transaction around it. Index: the unique one. Rows: 1, if the minute was written.
INSERT OR REPLACE INTO lately (objective, counted, minute, instance, good, bad, measured, log)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
