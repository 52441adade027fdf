-- Locks: none. Index: none. The oldest transaction that goes on, and all that do: whatever another one has written is there to
-- be seen.
SELECT pg_snapshot_xmin(s)::text::bigint, s::text
FROM pg_current_snapshot() AS s
