-- Locks: none of its own; in the transaction that notes. Index: the primary key. Rows: 1.
SELECT EXISTS (SELECT 1 FROM leader WHERE fence = ?1)
