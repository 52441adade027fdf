-- Locks: the rows, which nobody writes any more. Index: lately_place. Rows: those of a minute.
DELETE FROM plimsoll.lately WHERE place < $1
