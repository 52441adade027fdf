-- Locks: none (WAL). Index: none, it is one row. The place that was given last, be its row there or not.
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'lately'), 0)
