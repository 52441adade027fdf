-- The limits of an account.
-- Locks: none; for placing, Postgres adds FOR NO KEY UPDATE, so that an account's orders are judged one at a time.
-- Index: primary key. Rows: at most 1.
SELECT contracts_max, notional_max FROM accounts WHERE account = $1
