//! The schema, and how a database comes to have it.

use tokio_postgres::Client;

use super::answer;
use crate::StoreError;

/// Every version of the schema, in order.
const SCHEMA: &[&str] = &[
    include_str!("schema/0001-all.sql"),
    include_str!("schema/0002-hours.sql"),
    include_str!("schema/0003-changes.sql"),
];

/// Name of the lock that those of a database share who migrate it.
const MIGRATING: i64 = 0x706c_696d_0001;

/// Brings the schema to the version that is known, if it may. Of several that do so at once, one does and the others find
/// it done.
pub(super) async fn migrate(client: &mut Client, may: bool) -> Result<(), StoreError> {
    let migrating = async {
        let tx = client.transaction().await?;
        tx.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATING])
            .await?;
        let is_there = "SELECT to_regclass('plimsoll.version') IS NOT NULL";
        let found: i32 = if tx.query_one(is_there, &[]).await?.get(0) {
            tx.query_one("SELECT version FROM plimsoll.version", &[])
                .await?
                .get(0)
        } else {
            0
        };
        let found = found.unsigned_abs();
        let newer = SCHEMA.get(found as usize..).unwrap_or_default();
        if newer.is_empty() || !may {
            return Ok(found);
        }
        if found == 0 {
            // Whoever may not make one in this database may be given one.
            let given = "SELECT to_regnamespace('plimsoll') IS NOT NULL";
            if !tx.query_one(given, &[]).await?.get::<_, bool>(0) {
                tx.batch_execute("CREATE SCHEMA plimsoll").await?;
            }
            let version = "CREATE TABLE plimsoll.version (version integer NOT NULL); \
                           INSERT INTO plimsoll.version VALUES (0)";
            tx.batch_execute(version).await?;
        }
        for version in newer {
            tx.batch_execute(version).await?;
        }
        let known = i32::try_from(SCHEMA.len()).unwrap_or(i32::MAX);
        tx.execute("UPDATE plimsoll.version SET version = $1", &[&known])
            .await?;
        tx.commit().await?;
        Ok(known.unsigned_abs())
    };
    let found = answer(migrating).await.map_err(StoreError::Open)?;
    let known = SCHEMA.len() as u32;
    match found {
        0 => Err(StoreError::Open("there is no state of Plimsoll's in it".into())),
        found if found > known => Err(StoreError::TooNew { found, known }),
        _ => Ok(()),
    }
}
