-- Locks: the database, for the transaction around it. Index: the primary key. Rows: 1.
INSERT INTO leader (one, who, fence, until)
VALUES (1, ?1, 1, ?3)
ON CONFLICT (one) DO UPDATE
SET fence = leader.fence + (leader.who <> excluded.who), who = excluded.who, until = max(excluded.until, leader.until)
WHERE leader.who = excluded.who OR leader.until <= ?2
RETURNING fence
