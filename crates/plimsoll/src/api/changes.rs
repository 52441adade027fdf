//! Changes: what is rolled out, by what, and what people say to it.

use std::collections::BTreeSet;
use std::time::Duration;

use change::{
    Assignment, Cause, Change, Kind, Phase, Reversibility, Standing, Step, Then, Transition, Undecided,
};
use gateway::plan::WalkKey;
use http::StatusCode;
use plimsoll_slo::{Finding, Weighed};
use serde_json::{Value, json};

use super::{Ask, Reply, good, missing, unfit};
use crate::civil;
use crate::config::value::quantity::Ratio;
use crate::config::{self, ChangesConfig, DriverConfig, Scalar as _};
use crate::record::changes::Line;
use crate::record::{Said, State, who};
use crate::rollout::versions::Deploy;
use crate::rollout::{self, Looked, Usual, words};

/// Endpoints of a candidate, and changes that are shown, at most.
pub(super) const ENDPOINTS_MAX: usize = 16;
pub(super) const STEPS_MAX: usize = 20;

/// What has to be known of an upstream before a version of it can be rolled out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stable {
    pub(crate) name: String,
    /// Where it is, as a configuration would say.
    pub(crate) endpoints: Vec<String>,
    /// Where the file says that it is.
    pub(crate) in_file: Vec<String>,
    pub(crate) version: String,
    pub(crate) usual: Usual,
    /// What starts and stops its versions.
    pub(crate) driver: Option<DriverConfig>,
}

#[cfg(test)]
impl Stable {
    /// An upstream of whose times enough is known.
    pub(crate) fn fake() -> Self {
        let place = vec!["http://127.0.0.1:3000".to_owned()];
        Self {
            name: "orders".to_owned(),
            endpoints: place.clone(),
            in_file: place,
            version: "v1".to_owned(),
            usual: Usual {
                slow_us: Some([20_000, 80_000, 200_000]),
                allowed: Some(0.001),
            },
            driver: None,
        }
    }
}

pub(super) fn list(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let limit = ask.limit()?;
    let all: Vec<Value> = ask.backend.record().read(|state| {
        let all = state.changes.all().into_iter().take(limit);
        all.map(|standing| shown(ask, state, standing)).collect()
    });
    Ok(good(json!({ "changes": all })))
}

pub(super) fn one(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let shown = ask.backend.record().read(|state| {
        let standing = state.changes.machine.get(ask.name)?;
        let mut shown = shown(ask, state, standing);
        let told = state.changes.told(ask.name);
        shown["told"] = told.iter().map(|line| of_line(standing, line)).collect();
        Some(shown)
    });
    shown.map(good).ok_or_else(|| missing("change", ask.name))
}

fn of_line(standing: &Standing, line: &Line) -> Value {
    json!({
        "at": civil::moment(line.at),
        "author": who(&line.author),
        "says": words::sentence(standing, &line.said),
        "said": serde_json::to_value(&line.said).unwrap_or_default(),
    })
}

fn shown(ask: &Ask<'_>, state: &State, standing: &Standing) -> Value {
    let change = &standing.change;
    let looked = ask.backend.looked(&change.id);
    let last = state.changes.told(&change.id).last();
    let steps = change.steps.iter();
    json!({
        "id": change.id,
        "kind": change.kind.word(),
        "target": change.target,
        "to": change.to,
        "phase": standing.phase().word(),
        "step": standing.step().map(|step| step + 1),
        "steps": steps.map(|step| step.share).collect::<Vec<_>>(),
        "exposed": standing.exposed(),
        "proposed_at": civil::moment(standing.proposed_at),
        "since": civil::moment(standing.since()),
        "says": last.map_or_else(String::new, |line| words::sentence(standing, &line.said)),
        "waits": looked.as_ref().and_then(|looked| words::waits(&looked.next)),
        "paused": standing.paused(),
        "verdict": looked.as_ref().and_then(verdict),
        "told": [],
    })
}

/// What the comparison says now.
fn verdict(looked: &Looked) -> Option<Value> {
    let found = looked.comparison?;
    let (candidate, stable) = looked.evidence.as_ref()?.of_step();
    let arm =
        |seen: plimsoll_slo::Seen| json!({ "events": seen.events, "failed": seen.failed, "slow": seen.slow });
    let sign = |weighed: &Weighed| {
        json!({
            "sign": weighed.sign.word(),
            "ratio": weighed.ratio,
            "worse": finite(weighed.worse),
            "as_good": weighed.as_good.map(finite),
        })
    };
    Some(json!({
        "finding": match found.finding {
            Finding::Bad(_) => "bad",
            Finding::Good => "good",
            Finding::Undecided => "undecided",
        },
        "worse": finite(found.worse),
        "more": found.more,
        "candidate": arm(candidate),
        "stable": arm(stable),
        "signs": found.signs.iter().map(sign).collect::<Vec<_>>(),
    }))
}

/// JSON has no infinity, and nobody tells a million from it.
fn finite(evidence: f64) -> f64 {
    evidence.min(1e6)
}

pub(super) fn propose(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let defaults = ask.backend.changes();
    let stable = upstream(ask)?;
    let version = ask.text("version")?;
    if version == stable.version || !is_label(version) {
        return Err(unfit(format!(
            "`version` has to be a name of letters, digits, `-`, `_` and `.` that is not that of what runs, `{}`.",
            stable.version
        )));
    }
    let endpoints = candidate(ask, &stable, version)?;
    // What a driver has yet to start cannot answer.
    let reached = if stable.driver.is_some() {
        Ok(())
    } else {
        ask.backend.reach(&endpoints)
    };
    if let Err(why) = reached {
        return Err(unfit(format!("The candidate does not answer: {why}.")));
    }
    let key = key(ask)?;
    let (steps, hold_back) = steps(ask, &defaults, key.is_some())?;
    let deploy = Deploy {
        upstream: stable.name.clone(),
        endpoints,
        replaces: stable.endpoints.clone(),
        in_file: stable.in_file.clone(),
        key,
        slow_us: stable.usual.slow_us,
        alpha: defaults.alpha,
        tolerated: defaults.tolerated,
        tolerated_slow: defaults.tolerated_slow,
        allowed: stable.usual.allowed,
        from: Some(stable.version.clone()),
        driven: stable.driver.is_some(),
    };
    let record = ask.backend.record();
    let change = Change {
        id: record.read(|state| state.changes.next_id(&stable.name)),
        kind: Kind::Deploy,
        target: stable.name.clone(),
        to: version.to_owned(),
        steps,
        needs: names(ask, "needs")?,
        offers: names(ask, "offers")?,
        undecided: undecided(ask, &defaults)?,
        probation_ms: duration(ask, "probation", defaults.probation)?.as_millis() as u64,
        hold_back,
        relief: false,
        how: serde_json::to_string(&deploy).unwrap_or_default(),
    };
    accept(ask, &change)?;
    let id = change.id.clone();
    record.say_for(
        &ask.author(),
        ask.backend.wall(),
        Some(&id),
        Said::ChangeWent(Box::new(Transition::Proposed(Box::new(change)))),
    );
    Ok(made(ask, &id))
}

/// Refuses a change that cannot be taken on.
pub(super) fn accept(ask: &Ask<'_>, change: &Change) -> Result<(), Reply> {
    let record = ask.backend.record();
    let accepted = record.read(|state| state.changes.machine.accept(change, &BTreeSet::new()));
    accepted.map_err(|refusal| {
        let title = "The change is not taken on";
        Reply::Problem(StatusCode::CONFLICT, title, format!("{refusal}."))
    })
}

/// The answer to whoever has made a change.
pub(super) fn made(ask: &Ask<'_>, id: &str) -> Reply {
    let made = ask.backend.record().read(|state| {
        let standing = state.changes.machine.get(id)?;
        Some(shown(ask, state, standing))
    });
    Reply::Json(StatusCode::CREATED, made.unwrap_or_default())
}

fn is_label(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    name.len() <= 63 && name.bytes().all(is_plain)
}

fn upstream(ask: &Ask<'_>) -> Result<Stable, Reply> {
    let name = ask.text("upstream")?;
    ask.backend
        .stable(name)
        .ok_or_else(|| unfit(format!("No upstream is called `{name}`.")))
}

fn candidate(ask: &Ask<'_>, stable: &Stable, version: &str) -> Result<Vec<String>, Reply> {
    if ask.body["candidate"].is_null()
        && let Some(driver) = &stable.driver
    {
        return placed(stable, driver, version).map(|place| vec![place]);
    }
    let all = ask.body["candidate"].as_array().map_or(&[][..], |all| all);
    let texts: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
    if texts.is_empty() || texts.len() != all.len() || texts.len() > ENDPOINTS_MAX {
        return Err(unfit(format!(
            "`candidate` has to be a list of 1 to {ENDPOINTS_MAX} endpoints."
        )));
    }
    let mut endpoints = Vec::new();
    for text in texts {
        let endpoint: config::Endpoint =
            config::flag(text).map_err(|wrong| unfit(format!("`candidate`: `{text}` is {wrong}.")))?;
        endpoints.push(config::Scalar::render(&endpoint));
    }
    if endpoints
        .iter()
        .any(|endpoint| is_secure(endpoint) != stable.endpoints.iter().any(|text| is_secure(text)))
    {
        let detail = "`candidate`: either all endpoints of the two versions are `https` or none is.";
        return Err(unfit(detail));
    }
    if endpoints
        .iter()
        .any(|endpoint| stable.endpoints.contains(endpoint))
    {
        return Err(unfit("`candidate`: this is where the version is that runs."));
    }
    Ok(endpoints)
}

/// Where a driver is to start a version.
fn placed(stable: &Stable, driver: &DriverConfig, version: &str) -> Result<String, Reply> {
    if driver.at.is_none() {
        let detail =
            "`candidate` has to be there: the driver of the upstream does not say where versions are (`at`).";
        return Err(unfit(detail));
    }
    let taken = |port: u16| {
        let ending = format!(":{port}");
        stable
            .endpoints
            .iter()
            .any(|endpoint| endpoint.ends_with(&ending))
    };
    let place = driver.place(&stable.name, version, |port| {
        !taken(port) && rollout::is_free(port)
    });
    let place = place.and_then(|place| config::Endpoint::parse(&place).map(|place| place.render()));
    place.ok_or_else(|| {
        unfit(format!(
            "There is no place for the version: every port of the driver's (`ports`) is taken, or `{version}` makes no endpoint of `at`."
        ))
    })
}

fn is_secure(text: &str) -> bool {
    text.starts_with("https://")
}

fn key(ask: &Ask<'_>) -> Result<Option<String>, Reply> {
    let Some(text) = optional(ask, "key")? else {
        return Ok(None);
    };
    let key: WalkKey = config::flag(text).map_err(|wrong| unfit(format!("`key` is {wrong}.")))?;
    Ok(Some(config::Scalar::render(&key)))
}

/// The steps, and what is held back after them.
pub(super) fn steps(
    ask: &Ask<'_>,
    defaults: &ChangesConfig,
    by_key: bool,
) -> Result<(Vec<Step>, f64), Reply> {
    if ask.body["at_once"] == true {
        let step = Step {
            share: 1.0,
            assignment: Assignment::Global,
            reversibility: Reversibility::Instant,
        };
        return Ok((vec![step], 0.0));
    }
    let assignment = if by_key {
        Assignment::PerKey
    } else {
        Assignment::PerRequest
    };
    let shares = match &ask.body["steps"] {
        Value::Null => defaults.steps.clone(),
        Value::Array(all) if all.len() <= STEPS_MAX => {
            let share = |text: &Value| config::flag::<Ratio>(text.as_str()?).ok();
            let shares: Option<Vec<f64>> = all.iter().map(|text| Some(share(text)?.0)).collect();
            shares.ok_or_else(|| unfit("`steps` has to be a list of shares such as `5%`."))?
        }
        _ => return Err(unfit("`steps` has to be a list of shares such as `5%`.")),
    };
    Ok((Change::canary(&shares, assignment), defaults.hold_back))
}

pub(super) fn undecided(ask: &Ask<'_>, defaults: &ChangesConfig) -> Result<Undecided, Reply> {
    let hold = duration(ask, "hold_max", Duration::from_millis(defaults.undecided.hold_ms))?;
    let then = match optional(ask, "undecided")? {
        None => defaults.undecided.then,
        Some("revert") => Then::Revert,
        Some("ask") => Then::Ask,
        Some(_) => return Err(unfit("`undecided` has to be `revert` or `ask`.")),
    };
    Ok(Undecided {
        hold_ms: hold.as_millis() as u64,
        then,
    })
}

pub(super) fn duration(ask: &Ask<'_>, field: &str, usual: Duration) -> Result<Duration, Reply> {
    let Some(text) = optional(ask, field)? else {
        return Ok(usual);
    };
    config::flag(text).map_err(|wrong| unfit(format!("`{field}` is {wrong}.")))
}

pub(super) fn names(ask: &Ask<'_>, field: &str) -> Result<Vec<String>, Reply> {
    let wrong = || unfit(format!("`{field}` has to be a list of names."));
    match &ask.body[field] {
        Value::Null => Ok(Vec::new()),
        Value::Array(all) => {
            let names = all.iter().map(|name| name.as_str().map(str::to_owned));
            names.collect::<Option<Vec<_>>>().ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}

pub(super) fn optional<'a>(ask: &'a Ask<'_>, field: &str) -> Result<Option<&'a str>, Reply> {
    match &ask.body[field] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(unfit(format!("`{field}` has to be a text."))),
    }
}

pub(super) fn revert(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let why = ask.text("reason")?.to_owned();
    let order: Vec<String> = going(ask, |state| {
        let order = state.changes.machine.revert_order(ask.name);
        order.into_iter().map(str::to_owned).collect()
    })?;
    for id in order {
        let cause = if id == ask.name {
            Cause::Asked(why.clone())
        } else {
            Cause::Needed(ask.name.to_owned())
        };
        let said = Transition::Cut {
            cause,
            evidence: None,
        };
        say(ask, &id, said);
    }
    one(ask)
}

pub(super) fn promote(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let why = ask.text("reason")?.to_owned();
    let all = match &ask.body["all"] {
        Value::Null => false,
        Value::Bool(all) => *all,
        _ => return Err(unfit("`all` has to be true or false.")),
    };
    let (next, last) = going(ask, |state| {
        let standing = state.changes.machine.get(ask.name);
        let next = standing.and_then(Standing::step).map_or(0, |step| step + 1);
        (next, standing.map_or(0, |standing| standing.change.steps.len()))
    })?;
    let last = if all { last } else { next };
    for step in next..=last {
        let why = why.clone();
        say(ask, ask.name, Transition::Approved { step, why });
    }
    one(ask)
}

pub(super) fn pause(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let why = ask.text("reason")?.to_owned();
    going(ask, |_| ())?;
    say(ask, ask.name, Transition::Paused { why });
    one(ask)
}

pub(super) fn resume(ask: &Ask<'_>) -> Result<Reply, Reply> {
    going(ask, |_| ())?;
    say(ask, ask.name, Transition::Resumed);
    one(ask)
}

/// Of a change that there is, and that is not over.
fn going<T>(ask: &Ask<'_>, read: impl FnOnce(&State) -> T) -> Result<T, Reply> {
    ask.backend.record().read(|state| {
        let standing = state.changes.machine.get(ask.name);
        let standing = standing.ok_or_else(|| missing("change", ask.name))?;
        let phase = standing.phase();
        if phase.is_over() {
            let title = "The change is over";
            let detail = match phase {
                Phase::Final => format!(
                    "{} is final, and what it has replaced is gone; to go back, deploy the version before.",
                    ask.name
                ),
                _ => format!("{} is {}.", ask.name, phase.word()),
            };
            return Err(Reply::Problem(StatusCode::CONFLICT, title, detail));
        }
        Ok(read(state))
    })
}

pub(super) fn say(ask: &Ask<'_>, id: &str, said: Transition) {
    let said = Said::ChangeWent(Box::new(said));
    ask.backend
        .record()
        .say_for(&ask.author(), ask.backend.wall(), Some(id), said);
}
