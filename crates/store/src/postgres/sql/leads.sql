-- Locks: the row, until what follows is noted: nobody else comes to lead meanwhile. Index: the primary key. Rows: 1.
SELECT 1 FROM plimsoll.leader WHERE fence = $1 FOR UPDATE
