//! Corrections of what was counted, and maintenance that is announced.

use http::StatusCode;
use plimsoll_slo::Corrected;
use serde_json::{Value, json};

use super::{Ask, Reply, good, missing, unfit};
use crate::civil;
use crate::record::Said;
use crate::record::corrections::{CORRECTIONS_MAX, Made};
use crate::record::entry::Added;

/// As far back as anything is judged, as far ahead as anybody plans, and as long as one may be; in milliseconds.
const BACK_MAX: u64 = 92 * 86_400_000;
const AHEAD_MAX: u64 = 31 * 86_400_000;
const LONG_MAX: u64 = 7 * 86_400_000;

pub(super) fn list(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let limit = ask.limit()?;
    let all: Vec<Value> = ask.backend.record().read(|state| {
        let all = state.corrections.all().take(limit);
        all.map(|(id, made)| shown(id, made)).collect()
    });
    Ok(good(json!({ "corrections": all })))
}

pub(super) fn make(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let (objective, reason) = (ask.text("objective")?, ask.text("reason")?);
    let all = ask.backend.objectives();
    match all.iter().find(|reading| *reading.name == *objective) {
        None => return Err(unfit(format!("No objective is called `{objective}`."))),
        Some(reading) if !reading.members.is_empty() => {
            let detail =
                format!("`{objective}` counts nothing itself; correct the objectives that it is made of.");
            return Err(unfit(detail));
        }
        Some(_) => {}
    }
    let (from, to, now) = (ask.time("from")?, ask.time("to")?, ask.now());
    if to <= from || to - from > LONG_MAX {
        return Err(unfit("`to` has to be after `from`, by up to seven days."));
    }
    if from + BACK_MAX < now || to > now + AHEAD_MAX {
        return Err(unfit("It has to be within the last 92 days and the next 31."));
    }
    let added = added(ask)?;
    if added.is_some() && from / 60_000 >= now / 60_000 {
        return Err(unfit("Events are added to a minute that is over; `from` is not."));
    }
    let record = ask.backend.record();
    if record.read(|state| state.corrections.all().count()) >= CORRECTIONS_MAX {
        let detail = format!("{CORRECTIONS_MAX} hold already; withdraw one that is over.");
        return Err(Reply::Problem(
            StatusCode::CONFLICT,
            "There are too many corrections",
            detail,
        ));
    }
    let said = Said::CorrectionMade {
        objective: objective.to_owned(),
        from: from / 60_000,
        // A minute that has begun is meant as a whole.
        to: to.div_ceil(60_000),
        added,
        reason: reason.to_owned(),
    };
    let id = record.say_for(&ask.author(), ask.backend.wall(), None, said);
    let made = record.read(|state| state.corrections.get(&id).map(|made| shown(&id, made)));
    Ok(Reply::Json(StatusCode::CREATED, made.unwrap_or_default()))
}

/// `None` excludes the time.
fn added(ask: &Ask<'_>) -> Result<Option<Added>, Reply> {
    let number = |field: &str| match &ask.body[field] {
        Value::Null => Ok(None),
        value => {
            let number = value.as_i64().filter(|number| number.abs() <= 1_000_000_000);
            let wrong = || {
                unfit(format!(
                    "`{field}` has to be a whole number, less than 0 for events that were none."
                ))
            };
            number.map(Some).ok_or_else(wrong)
        }
    };
    Ok(match (number("good")?, number("bad")?) {
        (None, None) => None,
        (good, bad) => Some(Added {
            good: good.unwrap_or(0),
            bad: bad.unwrap_or(0),
        }),
    })
}

pub(super) fn withdraw(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let record = ask.backend.record();
    let made = record.read(|state| state.corrections.get(ask.name).map(|made| shown(ask.name, made)));
    let made = made.ok_or_else(|| missing("correction", ask.name))?;
    let reason = ask.text("reason")?.to_owned();
    let said = Said::CorrectionWithdrawn { reason };
    record.say_for(&ask.author(), ask.backend.wall(), Some(ask.name), said);
    Ok(good(made))
}

fn shown(id: &str, made: &Made) -> Value {
    let (good, bad) = match made.correction.what {
        Corrected::Excluded => (None, None),
        Corrected::Added { good, bad } => (Some(good), Some(bad)),
    };
    json!({
        "id": id,
        "objective": made.objective,
        "from": civil::moment(60_000 * made.correction.from),
        "to": civil::moment(60_000 * made.correction.to),
        "excludes": good.is_none(),
        "good": good,
        "bad": bad,
        "author": &*made.author,
        "reason": made.reason,
        "at": civil::moment(made.at),
    })
}
