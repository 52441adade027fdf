-- The order that an account already placed under an idempotency key.
-- Locks: none (the account's row is held). Index: unique (account, idempotency_key). Rows: at most 1.
SELECT id, account, underlying, expiry, strike, option_right, side, quantity, limit_price, status, idempotency_key
FROM orders
WHERE account = $1 AND idempotency_key = $2
