-- Locks: the rows, which nobody writes any more. Index: minutes_minute. Rows: those of one hour; it walks those of a day.
DELETE FROM plimsoll.minutes WHERE minute >= $2::bigint - 1440 AND minute < $2::bigint AND counted = $1
