-- Locks: the rows, which nobody writes any more. Index: none, it walks the table; asked once an hour. Rows: those of an
-- hour, after the first. Of several who forget, all but one find nothing.
DELETE FROM plimsoll.minutes WHERE minute < $1
