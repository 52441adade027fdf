-- Locks: the rows. Index: the primary key. Rows: those of one change.
DELETE FROM plimsoll.shared WHERE about = $1
