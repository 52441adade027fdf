-- The orders whose fate the broker has not told, the longest unasked first.
-- Locks: none. Index: orders_unsettled. Rows: at most $2.
SELECT id, account, underlying, expiry, strike, option_right, side, quantity, limit_price, status, idempotency_key
FROM orders
WHERE status IN ('pending', 'unconfirmed') AND asked_at < $1
ORDER BY asked_at
LIMIT $2
