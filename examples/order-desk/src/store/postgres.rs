//! Postgres: a few connections, each with its statements prepared.
//!
//! A connection that broke is thrown away and the next caller opens another, so the desk needs no restart when
//! the database had one. Waiting for a free connection and every statement have a bound; what exceeds it is an
//! error of that one request. Where SQLite relies on its single writer, rows are locked: the account's while an
//! order is judged, the order's while its status changes; then the position's, last in both, so that no two
//! transactions can wait for each other.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row, Statement, Transaction};

use super::{Account, Placed, SCHEMA, StoreError, decide, read_order, read_position, sql};
use crate::domain::order::{Order, Report, Terms};
use crate::domain::price::Price;
use crate::domain::risk::{Holding, Limits};
use crate::timestamp::Timestamp;

/// Enough to keep a small database busy; more would only queue inside it.
const CONNECTIONS_MAX: usize = 4;

/// A caller that waits longer for a connection than this has a database to worry about, not a queue.
const ACQUIRE_MAX: Duration = Duration::from_secs(2);

const CONNECT_MAX: Duration = Duration::from_secs(3);

/// Postgres gives up by itself, so that a lock held elsewhere cannot hold a connection of ours for good.
const SESSION: &str = "SET statement_timeout = '2s'; SET idle_in_transaction_session_timeout = '5s'";

const LOCK_ACCOUNT: &str = concat!(include_str!("sql/account_limits.sql"), "FOR NO KEY UPDATE");
const LOCK_ORDER: &str = concat!(include_str!("sql/order_by_id.sql"), "FOR NO KEY UPDATE");

const STATEMENTS: [&str; 11] = [
    sql::OPEN_ACCOUNT,
    sql::ACCOUNT_LIMITS,
    sql::ORDER_BY_ID,
    sql::ORDER_BY_KEY,
    sql::INSERT_ORDER,
    sql::SET_STATUS,
    sql::ADD_TO_POSITION,
    sql::POSITIONS_OF_ACCOUNT,
    sql::UNSETTLED_ORDERS,
    LOCK_ACCOUNT,
    LOCK_ORDER,
];

#[derive(Debug)]
pub(crate) struct Postgres {
    config: Config,
    permits: Semaphore,
    idle: Mutex<Vec<Session>>,
}

#[derive(Debug)]
struct Session {
    client: Client,
    statements: HashMap<&'static str, Statement>,
}

impl Postgres {
    pub(super) async fn open(url: &str) -> Result<Self, StoreError> {
        let mut config: Config = url
            .parse()
            .map_err(|source: tokio_postgres::Error| StoreError::Open(source.into()))?;
        config.application_name("order-desk").connect_timeout(CONNECT_MAX);
        let mut client = connect(&config).await?;
        migrate(&mut client)
            .await
            .map_err(|source| StoreError::Open(source.into()))?;
        Ok(Self {
            config,
            permits: Semaphore::new(CONNECTIONS_MAX),
            idle: Mutex::default(),
        })
    }

    pub(super) async fn place(
        &self,
        order: Order,
        defaults: Limits,
        now: Timestamp,
    ) -> Result<Placed, StoreError> {
        let mut lease = self.acquire().await?;
        let (tx, statements) = lease.begin().await?;
        let name = &order.terms.account;
        let limits: [&(dyn ToSql + Sync); 3] =
            [name, &defaults.contracts_max, &defaults.notional_max.ticks()];
        tx.execute(&statements[sql::OPEN_ACCOUNT], &limits).await?;
        let limits = tx.query_one(&statements[LOCK_ACCOUNT], &[name]).await?;
        let earlier = match &order.idempotency_key {
            Some(key) => tx.query_opt(&statements[sql::ORDER_BY_KEY], &[name, key]).await?,
            None => None,
        };
        let earlier = earlier.as_ref().map(order_from).transpose()?;
        let positions = tx.query(&statements[sql::POSITIONS_OF_ACCOUNT], &[name]).await?;
        let placed = decide(order, earlier, &account_from(&limits, &positions)?);
        if let Placed::New(order) = &placed {
            insert(&tx, &statements[sql::INSERT_ORDER], order, now).await?;
            let position = &statements[sql::ADD_TO_POSITION];
            add_to_position(&tx, position, &order.terms, Holding::opened(order)).await?;
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
        Ok(placed)
    }

    pub(super) async fn hear(
        &self,
        id: &str,
        report: Report,
        now: Timestamp,
    ) -> Result<Option<Order>, StoreError> {
        let mut lease = self.acquire().await?;
        let (tx, statements) = lease.begin().await?;
        let Some(row) = tx.query_opt(&statements[LOCK_ORDER], &[&id]).await? else {
            return Ok(None);
        };
        let mut order = order_from(&row)?;
        let before = order.status;
        order.status = before.after(report);
        let status: [&(dyn ToSql + Sync); 3] = [&order.status.word(), &now.millis(), &id];
        tx.execute(&statements[sql::SET_STATUS], &status).await?;
        let change = Holding::moved(&order.terms, before, order.status);
        add_to_position(&tx, &statements[sql::ADD_TO_POSITION], &order.terms, change).await?;
        tx.commit().await?;
        Ok(Some(order))
    }

    pub(super) async fn order(&self, id: &str) -> Result<Option<Order>, StoreError> {
        let lease = self.acquire().await?;
        let session = lease.session();
        let row = session
            .client
            .query_opt(&session.statements[sql::ORDER_BY_ID], &[&id])
            .await?;
        row.as_ref().map(order_from).transpose()
    }

    pub(super) async fn account(&self, account: &str) -> Result<Option<Account>, StoreError> {
        let lease = self.acquire().await?;
        let Session { client, statements } = lease.session();
        let Some(limits) = client
            .query_opt(&statements[sql::ACCOUNT_LIMITS], &[&account])
            .await?
        else {
            return Ok(None);
        };
        let positions = client
            .query(&statements[sql::POSITIONS_OF_ACCOUNT], &[&account])
            .await?;
        account_from(&limits, &positions).map(Some)
    }

    pub(super) async fn unsettled(
        &self,
        asked_before: Timestamp,
        count_max: i64,
    ) -> Result<Vec<Order>, StoreError> {
        let lease = self.acquire().await?;
        let Session { client, statements } = lease.session();
        let bounds: [&(dyn ToSql + Sync); 2] = [&asked_before.millis(), &count_max];
        let rows = client.query(&statements[sql::UNSETTLED_ORDERS], &bounds).await?;
        rows.iter().map(order_from).collect()
    }

    async fn acquire(&self) -> Result<Lease<'_>, StoreError> {
        let permit = tokio::time::timeout(ACQUIRE_MAX, self.permits.acquire()).await;
        let permit = permit
            .map_err(|_| StoreError::Busy)?
            .map_err(|_| StoreError::Closed)?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let session = match idle {
            Some(session) if !session.client.is_closed() => session,
            _ => Session::open(&self.config).await?,
        };
        Ok(Lease {
            pool: self,
            session: Some(session),
            _permit: permit,
        })
    }
}

impl Session {
    async fn open(config: &Config) -> Result<Self, StoreError> {
        let client = connect(config).await?;
        let mut statements = HashMap::with_capacity(STATEMENTS.len());
        for text in STATEMENTS {
            statements.insert(text, client.prepare(text).await?);
        }
        Ok(Self { client, statements })
    }
}

async fn connect(config: &Config) -> Result<Client, StoreError> {
    let open = |source: Box<dyn Error + Send + Sync>| StoreError::Open(source);
    // The configured timeout bounds the TCP handshake only; this one bounds the whole.
    let connected = tokio::time::timeout(CONNECT_MAX, config.connect(NoTls)).await;
    let (client, connection) = connected
        .map_err(|late| open(late.into()))?
        .map_err(|source| open(source.into()))?;
    // It ends with the client, and its error is the one that the client's next statement reports.
    tokio::spawn(connection);
    client
        .batch_execute(SESSION)
        .await
        .map_err(|source| open(source.into()))?;
    Ok(client)
}

/// A session on loan. Dropping it gives it back, unless its connection broke.
struct Lease<'a> {
    pool: &'a Postgres,
    session: Option<Session>,
    _permit: SemaphorePermit<'a>,
}

impl Lease<'_> {
    fn session(&self) -> &Session {
        self.session.as_ref().expect("the session is taken only by drop")
    }

    async fn begin(&mut self) -> Result<(Transaction<'_>, &HashMap<&'static str, Statement>), StoreError> {
        let session = self.session.as_mut().expect("the session is taken only by drop");
        Ok((session.client.transaction().await?, &session.statements))
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take().filter(|session| !session.client.is_closed()) {
            self.pool
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(session);
        }
    }
}

async fn migrate(client: &mut Client) -> Result<(), tokio_postgres::Error> {
    let tx = client.transaction().await?;
    // Two desks may start at once; the number is arbitrary and only has to be ours.
    tx.batch_execute(
        "SELECT pg_advisory_xact_lock(7068726); CREATE TABLE IF NOT EXISTS schema_files (applied BIGINT)",
    )
    .await?;
    let applied: i64 = tx
        .query_one("SELECT count(*) FROM schema_files", &[])
        .await?
        .try_get(0)?;
    for file in SCHEMA.iter().skip(usize::try_from(applied).unwrap_or_default()) {
        tx.batch_execute(file).await?;
        tx.batch_execute("INSERT INTO schema_files SELECT count(*) + 1 FROM schema_files")
            .await?;
    }
    tx.commit().await
}

async fn insert(
    tx: &Transaction<'_>,
    statement: &Statement,
    order: &Order,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Terms {
        account,
        contract,
        side,
        quantity,
        limit_price,
    } = &order.terms;
    let values: [&(dyn ToSql + Sync); 12] = [
        &order.id,
        account,
        &contract.underlying,
        &contract.expiry.to_string(),
        &contract.strike.ticks(),
        &contract.right.word(),
        &side.word(),
        quantity,
        &limit_price.ticks(),
        &order.status.word(),
        &order.idempotency_key,
        &now.millis(),
    ];
    tx.execute(statement, &values).await?;
    Ok(())
}

async fn add_to_position(
    tx: &Transaction<'_>,
    statement: &Statement,
    terms: &Terms,
    change: Holding,
) -> Result<(), StoreError> {
    let contract = &terms.contract;
    let values: [&(dyn ToSql + Sync); 8] = [
        &terms.account,
        &contract.underlying,
        &contract.expiry.to_string(),
        &contract.strike.ticks(),
        &contract.right.word(),
        &change.net,
        &change.open_buy,
        &change.open_sell,
    ];
    tx.execute(statement, &values).await?;
    Ok(())
}

fn order_from(row: &Row) -> Result<Order, StoreError> {
    read_order!(row, try_get)
}

fn account_from(limits: &Row, positions: &[Row]) -> Result<Account, StoreError> {
    let limits = Limits {
        contracts_max: limits.try_get(0)?,
        notional_max: Price::from_ticks(limits.try_get(1)?),
    };
    let positions = positions
        .iter()
        .map(|row| read_position!(row, try_get))
        .collect::<Result<_, StoreError>>()?;
    Ok(Account { limits, positions })
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(source: tokio_postgres::Error) -> Self {
        Self::Statement(source.into())
    }
}
