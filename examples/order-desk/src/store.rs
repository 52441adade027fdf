//! What the desk must not forget, kept in SQLite or in Postgres.
//!
//! Placing an order is one transaction: open the account, look for an earlier order under the same idempotency
//! key, weigh the risk, write the order and its exposure. A crash leaves all of it or nothing. Orders of one
//! account are judged one at a time (SQLite: one writer; Postgres: the account's row is locked), so that two
//! of them cannot both take the last of a limit.
//!
//! Both adapters run the same statements in the same order and leave every judgement to [`decide`] and to the
//! domain; `conformance.rs` holds them to the same behaviour. A queue that is full and a database that is gone
//! are errors of the caller's request, never a wait without end.

#[cfg(test)]
mod conformance;
mod postgres;
mod sqlite;

use std::error::Error;
use std::path::PathBuf;

use crate::domain::date::Date;
use crate::domain::order::{Order, Report};
use crate::domain::risk::{self, Breach, Limits, Position};
use crate::timestamp::Timestamp;

/// Where the desk keeps its orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file, which is created if it is missing.
    SqliteFile(PathBuf),
    /// Gone when the desk stops.
    SqliteMemory,
    /// A `postgres://` URL, or libpq's `key=value` words. The connection is not encrypted.
    Postgres(String),
}

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("open the database")]
    Open(#[source] Box<dyn Error + Send + Sync>),
    #[error("run a statement")]
    Statement(#[source] Box<dyn Error + Send + Sync>),
    #[error("too many requests wait for the database")]
    Busy,
    #[error("the database is closed")]
    Closed,
    #[error("read back a stored {0}")]
    Corrupt(&'static str),
}

/// What became of an order that was to be placed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    New(Order),
    /// The account placed the same order under the same key before; this is that order as it stands now.
    Replayed(Order),
    /// The account placed a different order under this key before.
    KeyReused,
    Refused(Breach),
}

/// An account as risk sees it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) limits: Limits,
    pub(crate) positions: Vec<Position>,
}

/// What placing an order comes to, given what the database holds.
fn decide(order: Order, earlier: Option<Order>, account: &Account) -> Placed {
    match earlier {
        Some(earlier) if earlier.terms == order.terms => Placed::Replayed(earlier),
        Some(_) => Placed::KeyReused,
        None => match risk::check(account.limits, &account.positions, &order) {
            Ok(()) => Placed::New(order),
            Err(breach) => Placed::Refused(breach),
        },
    }
}

#[derive(Debug)]
pub(crate) enum Store {
    Sqlite(sqlite::Sqlite),
    Postgres(Box<postgres::Postgres>),
}

impl Store {
    pub(crate) async fn open(database: &Database) -> Result<Self, StoreError> {
        match database {
            Database::SqliteFile(path) => sqlite::Sqlite::open(Some(path.clone())).await.map(Self::Sqlite),
            Database::SqliteMemory => sqlite::Sqlite::open(None).await.map(Self::Sqlite),
            Database::Postgres(url) => Ok(Self::Postgres(Box::new(postgres::Postgres::open(url).await?))),
        }
    }

    /// Writes a new order down, unless its key or its risk stands against it.
    pub(crate) async fn place(
        &self,
        order: Order,
        defaults: Limits,
        now: Timestamp,
    ) -> Result<Placed, StoreError> {
        match self {
            Self::Sqlite(store) => store.place(order, defaults, now).await,
            Self::Postgres(store) => store.place(order, defaults, now).await,
        }
    }

    pub(crate) async fn order(&self, id: &str) -> Result<Option<Order>, StoreError> {
        match self {
            Self::Sqlite(store) => store.order(id).await,
            Self::Postgres(store) => store.order(id).await,
        }
    }

    /// Takes down what the broker said about an order and returns the order as it then stands.
    pub(crate) async fn hear(
        &self,
        id: &str,
        report: Report,
        now: Timestamp,
    ) -> Result<Option<Order>, StoreError> {
        match self {
            Self::Sqlite(store) => store.hear(id, report, now).await,
            Self::Postgres(store) => store.hear(id, report, now).await,
        }
    }

    pub(crate) async fn account(&self, account: &str) -> Result<Option<Account>, StoreError> {
        match self {
            Self::Sqlite(store) => store.account(account).await,
            Self::Postgres(store) => store.account(account).await,
        }
    }

    /// Orders whose fate is open and that were last asked about before a time, the longest unasked first.
    pub(crate) async fn unsettled(
        &self,
        asked_before: Timestamp,
        count_max: i64,
    ) -> Result<Vec<Order>, StoreError> {
        match self {
            Self::Sqlite(store) => store.unsettled(asked_before, count_max).await,
            Self::Postgres(store) => store.unsettled(asked_before, count_max).await,
        }
    }

    /// Finishes what is queued and closes the database.
    pub(crate) async fn close(self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => drop(store),
        }
    }
}

/// The schema, oldest first. A database remembers how many of these it has.
const SCHEMA: [&str; 2] = [
    include_str!("store/schema/001_orders.sql"),
    include_str!("store/schema/002_positions.sql"),
];

/// The statements that both databases run as they stand.
///
/// SQLite numbers `$n` in order of first appearance, so each statement names its parameters in ascending order.
mod sql {
    pub(super) const OPEN_ACCOUNT: &str = include_str!("store/sql/open_account.sql");
    pub(super) const ACCOUNT_LIMITS: &str = include_str!("store/sql/account_limits.sql");
    pub(super) const ORDER_BY_ID: &str = include_str!("store/sql/order_by_id.sql");
    pub(super) const ORDER_BY_KEY: &str = include_str!("store/sql/order_by_key.sql");
    pub(super) const INSERT_ORDER: &str = include_str!("store/sql/insert_order.sql");
    pub(super) const SET_STATUS: &str = include_str!("store/sql/set_status.sql");
    pub(super) const ADD_TO_POSITION: &str = include_str!("store/sql/add_to_position.sql");
    pub(super) const POSITIONS_OF_ACCOUNT: &str = include_str!("store/sql/positions_of_account.sql");
    pub(super) const UNSETTLED_ORDERS: &str = include_str!("store/sql/unsettled_orders.sql");
}

/// Reads a contract from four columns, starting at `$first`, of either database's row.
macro_rules! read_contract {
    ($row:expr, $get:ident, $first:expr) => {
        $crate::domain::order::Contract {
            underlying: $row.$get($first)?,
            expiry: $crate::store::day(&$row.$get::<_, String>($first + 1)?)?,
            strike: $crate::domain::price::Price::from_ticks($row.$get($first + 2)?),
            right: $crate::store::word(
                $crate::domain::order::Right::from_word,
                &$row.$get::<_, String>($first + 3)?,
            )?,
        }
    };
}

/// Reads an order from the columns that every statement on orders selects.
macro_rules! read_order {
    ($row:expr, $get:ident) => {
        Ok($crate::domain::order::Order {
            id: $row.$get(0)?,
            terms: $crate::domain::order::Terms {
                account: $row.$get(1)?,
                contract: $crate::store::read_contract!($row, $get, 2),
                side: $crate::store::word(
                    $crate::domain::order::Side::from_word,
                    &$row.$get::<_, String>(6)?,
                )?,
                quantity: $row.$get(7)?,
                limit_price: $crate::domain::price::Price::from_ticks($row.$get(8)?),
            },
            status: $crate::store::word(
                $crate::domain::order::Status::from_word,
                &$row.$get::<_, String>(9)?,
            )?,
            idempotency_key: $row.$get(10)?,
        })
    };
}

/// Reads a position from the columns of `positions_of_account.sql`.
macro_rules! read_position {
    ($row:expr, $get:ident) => {
        Ok($crate::domain::risk::Position {
            contract: $crate::store::read_contract!($row, $get, 0),
            held: $crate::domain::risk::Holding {
                net: $row.$get(4)?,
                open_buy: $row.$get(5)?,
                open_sell: $row.$get(6)?,
            },
        })
    };
}
use {read_contract, read_order, read_position};

fn day(text: &str) -> Result<Date, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt("date"))
}

fn word<T>(read: impl Fn(&str) -> Option<T>, text: &str) -> Result<T, StoreError> {
    read(text).ok_or(StoreError::Corrupt("word"))
}
