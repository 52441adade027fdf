-- Locks: the rows. Index: facts_at. Rows: those of one hour, after the first.
DELETE FROM plimsoll.facts WHERE at < $1 AND about <> ALL ($2)
