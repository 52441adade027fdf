-- Accounts, with the limits they were opened under, and their orders.
-- One text for SQLite and Postgres: BIGINT and TEXT mean the same in both. Prices are ticks, times are Unix
-- milliseconds. Never edited after release: a change is a new file.
CREATE TABLE accounts (
    account       TEXT   NOT NULL PRIMARY KEY,
    contracts_max BIGINT NOT NULL,
    notional_max  BIGINT NOT NULL
);

CREATE TABLE orders (
    id              TEXT   NOT NULL PRIMARY KEY,
    account         TEXT   NOT NULL REFERENCES accounts (account),
    underlying      TEXT   NOT NULL,
    expiry          TEXT   NOT NULL,
    strike          BIGINT NOT NULL,
    option_right    TEXT   NOT NULL,
    side            TEXT   NOT NULL,
    quantity        BIGINT NOT NULL,
    limit_price     BIGINT NOT NULL,
    status          TEXT   NOT NULL,
    idempotency_key TEXT,
    asked_at        BIGINT NOT NULL,
    UNIQUE (account, idempotency_key)
);

-- Only the few orders whose fate is open are in it, so asking for them costs nothing when there are none.
CREATE INDEX orders_unsettled ON orders (asked_at) WHERE status IN ('pending', 'unconfirmed');
