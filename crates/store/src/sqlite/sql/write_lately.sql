-- Locks: the database, for the transaction around it. Index: the unique one. Rows: 1, if the minute was written. Who has no
-- log takes none away.
INSERT OR REPLACE INTO lately (objective, counted, minute, instance, good, bad, measured, log)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, coalesce(?8, (
    SELECT log FROM lately WHERE objective = ?1 AND counted = ?2 AND minute = ?3 AND instance = ?4
)))
