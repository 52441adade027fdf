//! Figures of the business.

use serde_json::{Value, json};

use super::{Ask, Reply, good};
use crate::status::{Json, Kpi};

#[expect(clippy::unnecessary_wraps, reason = "like all that answer")]
pub(super) fn list(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let all: Vec<Value> = ask
        .backend
        .kpis()
        .iter()
        .map(|fall| Kpi::of(fall).to_json())
        .collect();
    Ok(good(json!({ "kpis": all })))
}
