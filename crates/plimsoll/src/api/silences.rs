//! Silences: somebody says for how long nobody is to be told, and why.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Ask, Reply, good, missing, unfit};
use crate::civil;
use crate::record::Said;
use crate::record::silences::Silence;

/// A month: what nobody wants to hear of for longer is no objective.
pub(super) const MINUTES_MAX: u64 = 30 * 1_440;

pub(super) fn list(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let (limit, now) = (ask.limit()?, ask.now());
    let all: Vec<Value> = ask.backend.record().read(|state| {
        let all = state.silences.all().take(limit);
        all.map(|silence| shown(silence, now)).collect()
    });
    Ok(good(json!({ "silences": all })))
}

pub(super) fn set(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let (objective, reason) = (ask.text("objective")?, ask.text("reason")?);
    let minutes = ask.body["minutes"]
        .as_u64()
        .filter(|minutes| (1..=MINUTES_MAX).contains(minutes));
    let minutes = minutes.ok_or_else(|| unfit(format!("`minutes` has to be from 1 to {MINUTES_MAX}.")))?;
    let named = |name: &str| match objective.strip_suffix('*') {
        Some(begins) => name.starts_with(begins),
        None => name == objective,
    };
    // A silence for a name that is mistyped would keep nobody quiet, and somebody would rely on it.
    if !ask.backend.concerns().iter().any(|name| named(name)) {
        let detail = format!("No objective, and nothing that is watched, is called `{objective}`.");
        return Err(unfit(detail));
    }
    let now = ask.now();
    let said = Said::SilenceSet {
        objective: objective.to_owned(),
        from: now,
        until: now + 60_000 * minutes,
        reason: reason.to_owned(),
    };
    let record = ask.backend.record();
    let id = record.say_for(&ask.author(), ask.backend.wall(), None, said);
    let silence = record.read(|state| state.silences.get(&id).map(|silence| shown(silence, now)));
    Ok(Reply::Json(StatusCode::CREATED, silence.unwrap_or_default()))
}

pub(super) fn end(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let record = ask.backend.record();
    record
        .read(|state| state.silences.get(ask.name).map(|_| ()))
        .ok_or_else(|| missing("silence", ask.name))?;
    record.say_for(
        &ask.author(),
        ask.backend.wall(),
        Some(ask.name),
        Said::SilenceEnded,
    );
    let now = ask.now();
    let silence = record.read(|state| state.silences.get(ask.name).map(|silence| shown(silence, now)));
    Ok(good(silence.unwrap_or_default()))
}

fn shown(silence: &Silence, now: u64) -> Value {
    json!({
        "id": &*silence.id,
        "objective": silence.objective,
        "author": &*silence.author,
        "reason": silence.reason,
        "from": civil::moment(silence.from),
        "until": civil::moment(silence.until),
        "holds": (silence.from..silence.until).contains(&now),
    })
}
