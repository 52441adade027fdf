-- Adds a change to the running sums of one contract of one account.
-- Locks: the position's row. Index: primary key. Rows: 1.
INSERT INTO positions (account, underlying, expiry, strike, option_right, net, open_buy, open_sell)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (account, underlying, expiry, strike, option_right) DO UPDATE
SET net = positions.net + excluded.net,
    open_buy = positions.open_buy + excluded.open_buy,
    open_sell = positions.open_sell + excluded.open_sell
