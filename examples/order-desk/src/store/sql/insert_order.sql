-- Writes down a new order. The unique key refuses a second order under one idempotency key.
-- Locks: the new row. Index: primary key, unique key, orders_unsettled. Rows: 1.
INSERT INTO orders (id, account, underlying, expiry, strike, option_right, side, quantity, limit_price, status,
                    idempotency_key, asked_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
