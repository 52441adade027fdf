-- One order.
-- Locks: none; for changing its status, Postgres adds FOR NO KEY UPDATE. Index: primary key. Rows: at most 1.
SELECT id, account, underlying, expiry, strike, option_right, side, quantity, limit_price, status, idempotency_key
FROM orders
WHERE id = $1
