-- Moves an order to another state, and notes when the broker was last asked about it.
-- Locks: the order's row, which the transaction holds already. Index: primary key. Rows: 1.
UPDATE orders SET status = $1, asked_at = $2 WHERE id = $3
