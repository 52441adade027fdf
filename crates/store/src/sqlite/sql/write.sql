-- Locks: the database, for the transaction around it. Index: the primary key. Rows: 1, or none if more is known.
INSERT INTO minutes (objective, counted, minute, instance, good, bad, measured)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (objective, counted, minute, instance)
DO UPDATE SET good = excluded.good, bad = excluded.bad, measured = excluded.measured
WHERE excluded.good >= good AND excluded.bad >= bad AND excluded.measured >= measured
