-- Locks: the database. Index: facts_at. Rows: those of one hour, after the first.
DELETE FROM facts WHERE at < ?1 AND instr(?2, char(10) || about || char(10)) = 0
