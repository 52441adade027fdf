-- Locks: the rows. Index: none, there is one row of each objective.
DELETE FROM plimsoll.evidence WHERE at < $1
