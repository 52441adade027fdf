-- What an account holds or has open.
-- Locks: none. Index: primary key, by account. Rows: at most contracts_max of the account, because each one
-- that is returned adds at least one contract to the exposure.
SELECT underlying, expiry, strike, option_right, net, open_buy, open_sell
FROM positions
WHERE account = $1 AND (net <> 0 OR open_buy <> 0 OR open_sell <> 0)
ORDER BY underlying, expiry, strike, option_right
