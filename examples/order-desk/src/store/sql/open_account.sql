-- Opens an account at its first order, under the desk's default limits.
-- Locks: the new row, until the transaction ends. Index: primary key. Rows: 1.
INSERT INTO accounts (account, contracts_max, notional_max)
VALUES ($1, $2, $3)
ON CONFLICT (account) DO NOTHING
