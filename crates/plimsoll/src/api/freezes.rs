//! Freezes, and the glass that two people break in an emergency.

use http::StatusCode;
use serde_json::{Value, json};

use super::{Ask, Reply, good, missing, unfit};
use crate::civil;
use crate::record::freezes::{Freeze, Glass};
use crate::record::{Said, State, who};

/// A month, and four hours: what takes longer is no emergency.
pub(super) const FREEZE_MINUTES_MAX: u64 = 30 * 1_440;
pub(super) const GLASS_MINUTES_MAX: u64 = 240;

pub(super) fn list(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let (limit, now) = (ask.limit()?, ask.now());
    Ok(good(ask.backend.record().read(|state| {
        let all = state.freezes.all().take(limit).map(|one| of_freeze(one, now));
        json!({ "freezes": all.collect::<Vec<_>>() })
    })))
}

pub(super) fn set(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let (minutes, reason) = (minutes(ask, FREEZE_MINUTES_MAX)?, ask.text("reason")?.to_owned());
    let now = ask.now();
    let said = Said::FreezeSet {
        from: now,
        until: now + 60_000 * minutes,
        reason,
    };
    let made = made(ask, said, |state, id| {
        Some(of_freeze(state.freezes.get(id)?, now))
    });
    Ok(Reply::Json(StatusCode::CREATED, made))
}

pub(super) fn end(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let record = ask.backend.record();
    record
        .read(|state| state.freezes.get(ask.name).map(|_| ()))
        .ok_or_else(|| missing("freeze", ask.name))?;
    record.say_for(
        &ask.author(),
        ask.backend.wall(),
        Some(ask.name),
        Said::FreezeEnded,
    );
    let now = ask.now();
    let shown = record.read(|state| state.freezes.get(ask.name).map(|one| of_freeze(one, now)));
    Ok(good(shown.unwrap_or_default()))
}

pub(super) fn glasses(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let (limit, now) = (ask.limit()?, ask.now());
    Ok(good(ask.backend.record().read(|state| {
        let all = state.freezes.glasses().take(limit).map(|one| of_glass(one, now));
        json!({ "glass": all.collect::<Vec<_>>() })
    })))
}

pub(super) fn ask_for_glass(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let (minutes, reason) = (minutes(ask, GLASS_MINUTES_MAX)?, ask.text("reason")?.to_owned());
    let now = ask.now();
    let said = Said::GlassAsked { minutes, reason };
    let made = made(ask, said, |state, id| {
        Some(of_glass(state.freezes.glass(id)?, now))
    });
    Ok(Reply::Json(StatusCode::CREATED, made))
}

/// Somebody else says so too. Whoever has a token may write for others, so what counts is whose token it was.
pub(super) fn confirm(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let record = ask.backend.record();
    let asked = record.read(|state| state.freezes.glass(ask.name).cloned());
    let asked = asked.ok_or_else(|| missing("glass", ask.name))?;
    let author = ask.author();
    if holder(&author) == holder(&asked.author) {
        let detail = format!(
            "{} has asked for it, so somebody else has to confirm it.",
            holder(&author)
        );
        return Err(Reply::Problem(StatusCode::CONFLICT, "It takes two", detail));
    }
    record.say_for(&author, ask.backend.wall(), Some(ask.name), Said::GlassConfirmed);
    let now = ask.now();
    let shown = record.read(|state| state.freezes.glass(ask.name).map(|one| of_glass(one, now)));
    Ok(good(shown.unwrap_or_default()))
}

/// Whose token somebody has written by; himself if by none.
fn holder(author: &str) -> &str {
    author
        .rsplit_once(", by the token of ")
        .map_or(author, |(_, holder)| holder)
}

fn minutes(ask: &Ask<'_>, most: u64) -> Result<u64, Reply> {
    let minutes = ask.body["minutes"]
        .as_u64()
        .filter(|minutes| (1..=most).contains(minutes));
    minutes.ok_or_else(|| unfit(format!("`minutes` has to be from 1 to {most}.")))
}

fn made(ask: &Ask<'_>, said: Said, show: impl FnOnce(&State, &str) -> Option<Value>) -> Value {
    let record = ask.backend.record();
    let id = record.say_for(&ask.author(), ask.backend.wall(), None, said);
    record.read(|state| show(state, &id)).unwrap_or_default()
}

fn of_freeze(freeze: &Freeze, now: u64) -> Value {
    json!({
        "id": &*freeze.id,
        "author": who(&freeze.author),
        "reason": freeze.reason,
        "from": civil::moment(freeze.from),
        "until": civil::moment(freeze.until),
        "holds": (freeze.from..freeze.until).contains(&now),
    })
}

fn of_glass(glass: &Glass, now: u64) -> Value {
    let confirmed = glass.confirmed.as_ref();
    json!({
        "id": &*glass.id,
        "author": who(&glass.author),
        "reason": glass.reason,
        "minutes": glass.minutes,
        "asked_at": civil::moment(glass.asked_at),
        "confirmed_at": confirmed.map(|(at, _)| civil::moment(*at)),
        "confirmed_by": confirmed.map(|(_, by)| who(by)),
        "broken": glass.is_broken(now),
    })
}
