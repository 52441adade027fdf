//! SQLite: one thread that writes and, for a file, one that reads beside it.
//!
//! SQLite lets one connection write at a time. Giving that connection to one thread turns lock contention into
//! a queue whose length is known: when it is full, the caller is told so at once. Write-ahead logging lets the
//! reader go on meanwhile, and `synchronous = FULL` makes an answered order survive a power cut. A database in
//! memory belongs to its connection, so there the writer also reads.

use std::path::PathBuf;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rusqlite::{Connection, Params, Row, Transaction, TransactionBehavior, params};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::oneshot;

use super::{Account, Placed, SCHEMA, StoreError, decide, read_order, read_position, sql};
use crate::domain::order::{Order, Report, Terms};
use crate::domain::price::Price;
use crate::domain::risk::{Holding, Limits};
use crate::timestamp::Timestamp;

/// At a millisecond per write, what is further back would wait longer than its caller does.
const QUEUE_MAX: usize = 1024;

/// How long to wait for another process that has the file open, a backup for example.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Sqlite {
    writer: Worker,
    reader: Worker,
    threads: Vec<JoinHandle<()>>,
}

impl Sqlite {
    /// Opens a file, or with `None` a database in memory.
    pub(super) async fn open(path: Option<PathBuf>) -> Result<Self, StoreError> {
        tokio::task::spawn_blocking(move || Self::open_blocking(path))
            .await
            .map_err(|_| StoreError::Closed)?
    }

    fn open_blocking(path: Option<PathBuf>) -> Result<Self, StoreError> {
        let Some(path) = path else {
            let (writer, thread) = Worker::start("desk-sqlite", prepared(Connection::open_in_memory())?)?;
            return Ok(Self {
                reader: writer.clone(),
                writer,
                threads: vec![thread],
            });
        };
        let (writer, writing) = Worker::start("desk-sqlite-write", prepared(Connection::open(&path))?)?;
        let (reader, reading) = Worker::start("desk-sqlite-read", prepared(Connection::open(&path))?)?;
        Ok(Self {
            writer,
            reader,
            threads: vec![writing, reading],
        })
    }

    pub(super) async fn place(
        &self,
        order: Order,
        defaults: Limits,
        now: Timestamp,
    ) -> Result<Placed, StoreError> {
        self.writer.run(move |db| place(db, order, defaults, now)).await
    }

    pub(super) async fn order(&self, id: &str) -> Result<Option<Order>, StoreError> {
        let id = id.to_owned();
        self.reader
            .run(move |db| one_order(db, sql::ORDER_BY_ID, [&id]))
            .await
    }

    pub(super) async fn hear(
        &self,
        id: &str,
        report: Report,
        now: Timestamp,
    ) -> Result<Option<Order>, StoreError> {
        let id = id.to_owned();
        self.writer.run(move |db| hear(db, &id, report, now)).await
    }

    pub(super) async fn account(&self, account: &str) -> Result<Option<Account>, StoreError> {
        let account = account.to_owned();
        self.reader
            .run(move |db| read_account(&db.transaction()?, &account))
            .await
    }

    pub(super) async fn unsettled(
        &self,
        asked_before: Timestamp,
        count_max: i64,
    ) -> Result<Vec<Order>, StoreError> {
        let bounds = [asked_before.millis(), count_max];
        self.reader
            .run(move |db| select(db, sql::UNSETTLED_ORDERS, bounds, |row| read_order!(row, get)))
            .await
    }

    pub(super) async fn close(self) {
        let Self {
            writer,
            reader,
            threads,
        } = self;
        drop((writer, reader));
        let joined = tokio::task::spawn_blocking(|| {
            for thread in threads {
                // A thread that panicked has nothing left to close.
                let _ = thread.join();
            }
        });
        let _ = joined.await;
    }
}

/// Brings a fresh connection into the state that every statement relies on.
fn prepared(connection: rusqlite::Result<Connection>) -> Result<Connection, StoreError> {
    let open = |source: rusqlite::Error| StoreError::Open(source.into());
    let mut db = connection.map_err(open)?;
    db.busy_timeout(BUSY_TIMEOUT).map_err(open)?;
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
        .map_err(open)?;
    migrate(&mut db).map_err(open)?;
    Ok(db)
}

fn migrate(db: &mut Connection) -> rusqlite::Result<()> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: u32 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for file in SCHEMA.iter().skip(version as usize) {
        tx.execute_batch(file)?;
    }
    tx.pragma_update(None, "user_version", version.max(SCHEMA.len() as u32))?;
    tx.commit()
}

fn place(db: &mut Connection, order: Order, defaults: Limits, now: Timestamp) -> Result<Placed, StoreError> {
    // Immediate: a transaction that reads first and writes later could find that another process wrote between.
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let terms = &order.terms;
    tx.execute(
        sql::OPEN_ACCOUNT,
        params![
            terms.account,
            defaults.contracts_max,
            defaults.notional_max.ticks()
        ],
    )?;
    let earlier = match &order.idempotency_key {
        Some(key) => one_order(&tx, sql::ORDER_BY_KEY, [&terms.account, key])?,
        None => None,
    };
    let account = read_account(&tx, &terms.account)?.ok_or(StoreError::Corrupt("account"))?;
    let placed = decide(order, earlier, &account);
    if let Placed::New(order) = &placed {
        insert(&tx, order, now)?;
        add_to_position(&tx, &order.terms, Holding::opened(order))?;
        tx.commit()?;
    }
    Ok(placed)
}

fn hear(db: &mut Connection, id: &str, report: Report, now: Timestamp) -> Result<Option<Order>, StoreError> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let Some(mut order) = one_order(&tx, sql::ORDER_BY_ID, [id])? else {
        return Ok(None);
    };
    let before = order.status;
    order.status = before.after(report);
    tx.execute(sql::SET_STATUS, params![order.status.word(), now.millis(), id])?;
    add_to_position(
        &tx,
        &order.terms,
        Holding::moved(&order.terms, before, order.status),
    )?;
    tx.commit()?;
    Ok(Some(order))
}

fn read_account(tx: &Transaction<'_>, account: &str) -> Result<Option<Account>, StoreError> {
    let limits = select(tx, sql::ACCOUNT_LIMITS, [account], |row| {
        Ok(Limits {
            contracts_max: row.get(0)?,
            notional_max: Price::from_ticks(row.get(1)?),
        })
    })?;
    let Some(limits) = limits.into_iter().next() else {
        return Ok(None);
    };
    let positions = select(tx, sql::POSITIONS_OF_ACCOUNT, [account], |row| {
        read_position!(row, get)
    })?;
    Ok(Some(Account { limits, positions }))
}

fn insert(tx: &Transaction<'_>, order: &Order, now: Timestamp) -> Result<(), StoreError> {
    let Terms {
        account,
        contract,
        side,
        quantity,
        limit_price,
    } = &order.terms;
    tx.execute(
        sql::INSERT_ORDER,
        params![
            order.id,
            account,
            contract.underlying,
            contract.expiry.to_string(),
            contract.strike.ticks(),
            contract.right.word(),
            side.word(),
            quantity,
            limit_price.ticks(),
            order.status.word(),
            order.idempotency_key,
            now.millis(),
        ],
    )?;
    Ok(())
}

fn add_to_position(tx: &Transaction<'_>, terms: &Terms, change: Holding) -> Result<(), StoreError> {
    let contract = &terms.contract;
    tx.execute(
        sql::ADD_TO_POSITION,
        params![
            terms.account,
            contract.underlying,
            contract.expiry.to_string(),
            contract.strike.ticks(),
            contract.right.word(),
            change.net,
            change.open_buy,
            change.open_sell,
        ],
    )?;
    Ok(())
}

fn one_order(db: &Connection, sql: &str, params: impl Params) -> Result<Option<Order>, StoreError> {
    Ok(select(db, sql, params, |row| read_order!(row, get))?.pop())
}

fn select<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    db.prepare(sql)?.query_and_then(params, read)?.collect()
}

impl From<rusqlite::Error> for StoreError {
    fn from(source: rusqlite::Error) -> Self {
        Self::Statement(source.into())
    }
}

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A connection on a thread of its own, and the way to it. The thread ends when the last way to it is dropped.
#[derive(Clone, Debug)]
struct Worker {
    jobs: mpsc::Sender<Job>,
}

impl Worker {
    fn start(name: &str, mut db: Connection) -> Result<(Self, JoinHandle<()>), StoreError> {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE_MAX);
        let run = move || {
            while let Some(job) = queue.blocking_recv() {
                job(&mut db);
            }
        };
        let thread = Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map_err(|source| StoreError::Open(source.into()))?;
        Ok((Self { jobs }, thread))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move |db: &mut Connection| {
            // A caller that went away does not need the answer; what was written stays written.
            let _ = answer.send(work(db));
        });
        self.jobs.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Closed(_) => StoreError::Closed,
        })?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}
