//! Alerts, open and closed.

use serde_json::{Value, json};

use super::{Ask, Reply, good, missing};
use crate::civil;
use crate::record::State;
use crate::record::alerts::Alert;

pub(super) fn list(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let (limit, now) = (ask.limit()?, ask.now());
    let all: Vec<Value> = ask.backend.record().read(|state| {
        let all = state.alerts.all().take(limit);
        all.map(|alert| shown(alert, state, now)).collect()
    });
    Ok(good(json!({ "alerts": all })))
}

pub(super) fn one(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let now = ask.now();
    let one = ask.backend.record().read(|state| {
        let alert = state.alerts.get(ask.name)?;
        Some(shown(alert, state, now))
    });
    one.map(good).ok_or_else(|| missing("alert", ask.name))
}

fn shown(alert: &Alert, state: &State, now: u64) -> Value {
    let closed = alert.closed.as_ref();
    json!({
        "id": &*alert.id,
        "opened_at": civil::moment(alert.opened_at),
        "closed_at": closed.map(|(at, _)| civil::moment(*at)),
        "closed_because": closed.map(|(_, why)| why),
        "began_at": alert.opened.began.map(|began| civil::moment(1_000 * began)),
        "incident": state.incidents.of_alert(&alert.id).map(|incident| &*incident.id),
        "silenced_by": state.silences.of(&alert.opened.objective, now).map(|silence| &*silence.id),
        "told": &alert.told,
        "alert": &alert.opened,
    })
}
