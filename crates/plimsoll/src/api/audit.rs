//! What people did, and programs with a token.

use serde_json::{Value, json};

use super::{Ask, Reply, good};
use crate::civil;

pub(super) fn list(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let limit = ask.limit()?;
    let all: Vec<Value> = ask.backend.record().read(|state| {
        let deeds = state.audit.all().take(limit);
        deeds
            .map(|deed| {
                json!({
                    "id": &*deed.id,
                    "at": civil::moment(deed.at),
                    "author": &*deed.author,
                    "about": &*deed.about,
                    "did": deed.did,
                })
            })
            .collect()
    });
    Ok(good(json!({ "audit": all })))
}
