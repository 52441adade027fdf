-- Locks: none. Index: minutes_hours, then minutes_minute. Rows: 1.
SELECT min(minute) FROM minutes
WHERE minute >= (SELECT coalesce(max(minute) + 60, 0) FROM minutes WHERE instance = 'hour')
