-- What an account holds and has open per contract: kept as running sums, because adding up every order of an
-- account before each new one would make the busiest account the slowest.
CREATE TABLE positions (
    account      TEXT   NOT NULL REFERENCES accounts (account),
    underlying   TEXT   NOT NULL,
    expiry       TEXT   NOT NULL,
    strike       BIGINT NOT NULL,
    option_right TEXT   NOT NULL,
    net          BIGINT NOT NULL,
    open_buy     BIGINT NOT NULL,
    open_sell    BIGINT NOT NULL,
    PRIMARY KEY (account, underlying, expiry, strike, option_right)
);
