-- Locks: none. Index: none. The oldest transaction that goes on: whatever one before it has written is there to be seen.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint
