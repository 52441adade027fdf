-- Locks: the database, for the transaction around it. Index: the primary key. Rows: 1, or none if more is known.
INSERT INTO evidence (objective, counted, asked, at, since, found)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (objective, counted, asked)
DO UPDATE SET at = excluded.at, since = excluded.since, found = excluded.found
WHERE excluded.at >= at AND excluded.since <= since OR excluded.at > at + 300
