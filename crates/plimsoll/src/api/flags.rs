//! Flags: what is served, what an edit would move, and edits, which are changes like any other.

use std::collections::BTreeSet;
use std::sync::Arc;

use change::{Assignment, Cause, Change, Kind, Reversibility, Standing, Step, Transition, Undecided};
use http::StatusCode;
use plimsoll_flags::{Context, Flag, FlagSet, Problem, State as FlagState, moved};
use serde_json::{Map, Value, json};

use super::{Ask, Reply, changes, good, missing, unfit};
use crate::flags::edit::{DEFINITION_MAX, Edit};
use crate::flags::served::Served;
use crate::record::{Said, State};
use crate::rollout::judged::Judged;
use crate::rollout::words::share;

/// Users that a preview draws if nobody names some, and how many may be named.
const USERS: u32 = 10_000;
pub(super) const CONTEXTS_MAX: usize = 10_000;

/// What has to be known of the flags.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) served: Arc<Served>,
    /// What the file says.
    pub(crate) written: Arc<Value>,
    /// The same, with what was changed for good.
    pub(crate) settled: Value,
    /// Where requests carry the targeting key.
    pub(crate) key: Option<String>,
    /// The upstreams that there are.
    pub(crate) upstreams: Vec<String>,
}

#[cfg(test)]
impl Known {
    /// One flag, which half of the users have.
    pub(crate) fn fake() -> Self {
        let written = json!({ "flags": { "new-tax": {
            "state": "ENABLED",
            "variants": { "on": true, "off": false },
            "defaultVariant": "off",
            "targeting": { "fractional": [["on", 50], ["off", 50]] },
        } } });
        let set = FlagSet::compile(&written, plimsoll_flags::Bucketing::V2).unwrap();
        let served = Served::after(&Served::default(), set, &written, 0);
        Self {
            served: served.into(),
            settled: written.clone(),
            written: written.into(),
            key: Some("header:x-user".to_owned()),
            upstreams: vec!["orders".to_owned()],
        }
    }
}

impl Known {
    fn set(&self) -> &FlagSet {
        &self.served.set
    }

    /// What the flag is, but for a change that is under way.
    fn before(&self, flag: &str) -> Option<&Value> {
        self.settled["flags"].get(flag)
    }

    /// All flags, with another definition of this one.
    fn with(&self, flag: &str, definition: &Value) -> Result<FlagSet, Reply> {
        let mut all = self.settled.clone();
        all["flags"][flag] = definition.clone();
        compile(&all, self)
    }
}

fn compile(all: &Value, known: &Known) -> Result<FlagSet, Reply> {
    FlagSet::compile(all, known.set().bucketing()).map_err(|problems| refused(&problems))
}

fn refused(problems: &[Problem]) -> Reply {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    unfit(format!("The definition is wrong. {}", lines.join("; ")))
}

fn known(ask: &Ask<'_>) -> Result<Known, Reply> {
    let detail = "There are no flags: the configuration names no file with their definitions (`flags.file`).";
    ask.backend
        .flags()
        .ok_or_else(|| Reply::Problem(StatusCode::NOT_FOUND, "Not found", detail.to_owned()))
}

/// What changes of a flag are called after. Its key may have anything in it, and a change stands in addresses.
pub(crate) fn target(flag: &str) -> String {
    let mut target = "flag:".to_owned();
    for byte in flag.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            target.push(char::from(byte));
        } else {
            use std::fmt::Write as _;
            _ = write!(target, "~{byte:02x}");
        }
    }
    target
}

pub(super) fn list(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let known = known(ask)?;
    let flags: Vec<Value> = ask.backend.record().read(|state| {
        let all = known.set().flags();
        all.map(|flag| shown(flag, &known, state)).collect()
    });
    Ok(good(json!({
        "bucketing": known.set().bucketing().to_string(),
        "digest": known.served.digest,
        "version": known.served.version,
        "doubts": known.set().doubts().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "flags": flags,
    })))
}

pub(super) fn one(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let known = known(ask)?;
    let flag = known
        .set()
        .flag(ask.name)
        .ok_or_else(|| missing("flag", ask.name))?;
    Ok(good(
        ask.backend.record().read(|state| shown(flag, &known, state)),
    ))
}

fn shown(flag: &Flag, known: &Known, state: &State) -> Value {
    let target = target(flag.key());
    let machine = &state.changes.machine;
    let is_known = |standing: &&Standing| standing.change.target == target;
    let in_force = machine.in_force().find(is_known);
    let id = |standing: &Standing| standing.change.id.clone();
    let is_in_file = known.written["flags"].get(flag.key()) == known.before(flag.key());
    json!({
        "key": flag.key(),
        "state": match flag.state() {
            FlagState::Enabled => "ENABLED",
            FlagState::Disabled => "DISABLED",
        },
        "kind": format!("{:?}", flag.kind()).to_lowercase(),
        "variants": flag.variants().map(|(name, value)| (name.to_owned(), value.clone())).collect::<Map<_, _>>(),
        "default_variant": match known.before(flag.key()) {
            // A ramp has no default, and is a rule for everybody.
            Some(before) => before["defaultVariant"].as_str(),
            None => flag.default_variant(),
        },
        "reads": flag.variables().collect::<Vec<_>>(),
        "definition": flag.definition(),
        "is_in_file": is_in_file,
        "under_way": machine.under_way(&target).map(id),
        "in_force": in_force.filter(|_| !is_in_file).map(id),
    })
}

pub(super) fn evaluate(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let known = known(ask)?;
    let context = context(&ask.body["context"])?;
    let now_s = ask.backend.wall().as_secs();
    let found = known.set().evaluate(ask.name, &context, now_s);
    Ok(good(json!({
        "key": ask.name,
        "value": found.value,
        "variant": found.variant,
        "reason": found.reason.as_str(),
        "error": found.error.map(|(code, why)| json!({ "code": code.as_str(), "says": why })),
    })))
}

fn context(value: &Value) -> Result<Context, Reply> {
    match value {
        Value::Null => Ok(Context::default()),
        Value::Object(_) => Context::try_from(value.clone())
            .map_err(|_| unfit("`context` has to be an object, and its `targetingKey` a text.")),
        _ => Err(unfit(
            "`context` has to be an object, and its `targetingKey` a text.",
        )),
    }
}

/// What is asked for: a definition, or the variant that is to be everybody's but for whom a rule says otherwise.
fn wanted(ask: &Ask<'_>, known: &Known) -> Result<Value, Reply> {
    let (definition, variant) = (&ask.body["definition"], changes::optional(ask, "variant")?);
    // A page sends it as text.
    let definition = match definition {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        other => other.clone(),
    };
    let wanted = match (&definition, variant) {
        (Value::Object(_), None) => definition,
        (Value::Null, Some(variant)) => {
            let mut flag = known
                .before(ask.name)
                .cloned()
                .ok_or_else(|| missing("flag", ask.name))?;
            flag["defaultVariant"] = json!(variant);
            flag["state"] = json!("ENABLED");
            flag
        }
        _ => {
            return Err(unfit(
                "Either `definition` has to be there, an object as in the file, or `variant`, the name of one.",
            ));
        }
    };
    if wanted.to_string().len() > DEFINITION_MAX {
        return Err(unfit(format!("`definition` may have {DEFINITION_MAX} bytes.")));
    }
    Ok(wanted)
}

pub(super) fn preview(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let known = known(ask)?;
    let after = wanted(ask, &known)?;
    let (before, after) = (compile(&known.settled, &known)?, known.with(ask.name, &after)?);
    let contexts = match &ask.body["contexts"] {
        Value::Null => (0..USERS)
            .map(|user| Context::new(format!("user-{user}")))
            .collect(),
        Value::Array(all) if all.len() <= CONTEXTS_MAX => {
            all.iter().map(context).collect::<Result<Vec<_>, _>>()?
        }
        _ => {
            return Err(unfit(format!(
                "`contexts` has to be a list of {CONTEXTS_MAX} contexts at most."
            )));
        }
    };
    let moved = moved(&before, &after, ask.name, &contexts, ask.backend.wall().as_secs());
    let named = |variant: &Option<String>| variant.clone().unwrap_or_else(|| "the code's default".to_owned());
    let from_to = moved
        .from_to
        .iter()
        .map(|((from, to), users)| json!({ "from": named(from), "to": named(to), "users": users }));
    let reads: BTreeSet<&str> = [&before, &after]
        .into_iter()
        .filter_map(|set| set.flag(ask.name))
        .flat_map(Flag::variables)
        .collect();
    Ok(good(json!({
        "of": moved.of,
        "moved": moved.moved,
        "share": if moved.of == 0 { 0.0 } else { moved.moved as f64 / moved.of as f64 },
        "failed": moved.failed,
        "from_to": from_to.collect::<Vec<_>>(),
        "reads": reads,
        "drawn": ask.body["contexts"].is_null(),
    })))
}

/// What a preview has found, in lines for people.
pub(crate) fn moved_in_words(answer: &Value) -> Vec<String> {
    let (of, is_drawn) = (&answer["of"], answer["drawn"] == true);
    let whom = if is_drawn {
        " users that were drawn"
    } else {
        " users"
    };
    let share = share(answer["share"].as_f64().unwrap_or_default());
    let mut lines = vec![format!("This moves {} of {of}{whom}: {share}", answer["moved"])];
    let pairs = answer["from_to"].as_array().into_iter().flatten();
    lines.extend(pairs.map(|pair| {
        let side = |field: &str| pair[field].as_str().unwrap_or_default().to_owned();
        format!("{} from {} to {}", pair["users"], side("from"), side("to"))
    }));
    let reads = answer["reads"].as_array().into_iter().flatten();
    let reads: Vec<&str> = reads
        .filter_map(Value::as_str)
        .filter(|name| *name != "targetingKey")
        .collect();
    if is_drawn && !reads.is_empty() {
        lines.push(format!(
            "The rule reads {}, which users that are drawn do not have: name some contexts.",
            reads.join(", ")
        ));
    }
    if answer["failed"] != 0 {
        lines.push(format!(
            "For {} of them it could not be evaluated.",
            answer["failed"]
        ));
    }
    lines
}

pub(super) fn ramp(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let known = known(ask)?;
    let after = wanted(ask, &known)?;
    let Some(key) = known.key.clone() else {
        return Err(unfit(
            "A flag that is ramped is judged by the requests of those who have it, and nothing says where requests carry the targeting key (`flags.key`). `kill` takes effect at once, for everybody.",
        ));
    };
    let defaults = ask.backend.changes();
    let upstreams = upstreams(ask, &known)?;
    let usual = ask.backend.usual(&upstreams);
    let judged = Judged {
        key: Some(key),
        slow_us: usual.slow_us,
        alpha: defaults.alpha,
        tolerated: defaults.tolerated,
        tolerated_slow: defaults.tolerated_slow,
        allowed: usual.allowed,
    };
    let (steps, hold_back) = changes::steps(ask, &defaults, true)?;
    let change = Change {
        steps,
        hold_back,
        undecided: changes::undecided(ask, &defaults)?,
        probation_ms: changes::duration(ask, "probation", defaults.probation)?.as_millis() as u64,
        needs: changes::names(ask, "needs")?,
        offers: changes::names(ask, "offers")?,
        ..edit(ask, &known, after, upstreams, judged)?
    };
    let id = propose(ask, change, &[])?;
    Ok(changes::made(ask, &id))
}

/// The upstreams by whose requests it is judged: all, unless some are named.
fn upstreams(ask: &Ask<'_>, known: &Known) -> Result<Vec<String>, Reply> {
    let named = changes::names(ask, "upstreams")?;
    if let Some(unknown) = named.iter().find(|name| !known.upstreams.contains(name)) {
        return Err(unfit(format!("No upstream is called `{unknown}`.")));
    }
    Ok(if named.is_empty() {
        known.upstreams.clone()
    } else {
        named
    })
}

/// A change of the flag that does nothing yet. It is tried with all other flags, for everybody and for half.
fn edit(
    ask: &Ask<'_>,
    known: &Known,
    after: Value,
    upstreams: Vec<String>,
    judged: Judged,
) -> Result<Change, Reply> {
    let before = known.before(ask.name).cloned();
    if before.as_ref() == Some(&after) {
        return Err(unfit("This is what the flag is already."));
    }
    known.with(ask.name, &after)?;
    let edit = Edit {
        flag: ask.name.to_owned(),
        in_file: known.written["flags"].get(ask.name).cloned(),
        bucketing: known.set().bucketing().to_string(),
        upstreams,
        judged,
        before,
        after,
    };
    let target = target(ask.name);
    let id = ask.backend.record().read(|state| state.changes.next_id(&target));
    let change = Change {
        to: id.clone(),
        id,
        kind: Kind::Flag,
        target,
        steps: Vec::new(),
        needs: Vec::new(),
        offers: Vec::new(),
        undecided: Undecided::default(),
        probation_ms: 0,
        hold_back: 0.0,
        relief: false,
        how: serde_json::to_string(&edit).unwrap_or_default(),
    };
    let half = edit
        .at(&change, edit.before.as_ref(), plimsoll_slo::SLOTS / 2)
        .map_err(|problems| refused(&problems))?;
    known.with(ask.name, &half)?;
    Ok(change)
}

/// Asks for a change, and says what follows at once.
fn propose(ask: &Ask<'_>, change: Change, at_once: &[Transition]) -> Result<String, Reply> {
    let record = ask.backend.record();
    changes::accept(ask, &change)?;
    let id = change.id.clone();
    let proposed = Transition::Proposed(Box::new(change));
    for said in std::iter::once(&proposed).chain(at_once) {
        let said = Said::ChangeWent(Box::new(said.clone()));
        record.say_for(&ask.author(), ask.backend.wall(), Some(&id), said);
    }
    ask.backend.refresh_flags();
    Ok(id)
}

/// A variant for everybody, or none, at once. What is under way at the flag is taken back by it.
pub(super) fn kill(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let known = known(ask)?;
    let why = ask.text("reason")?;
    let mut after = known
        .before(ask.name)
        .cloned()
        .ok_or_else(|| missing("flag", ask.name))?;
    match changes::optional(ask, "variant")? {
        None => after["state"] = json!("DISABLED"),
        Some(variant) => {
            after["state"] = json!("ENABLED");
            after["defaultVariant"] = json!(variant);
            if let Some(after) = after.as_object_mut() {
                after.remove("targeting");
            }
        }
    }
    let defaults = ask.backend.changes();
    let target = target(ask.name);
    let under_way = ask.backend.record().read(|state| {
        let standing = state.changes.machine.under_way(&target);
        standing.map(|standing| standing.change.id.clone())
    });
    // Whatever else there is to say is tried before anything is taken back.
    let change = match edit(ask, &known, after, known.upstreams.clone(), Judged::default()) {
        // It is off already, but for some who have a change that is under way.
        Err(Reply::Problem(..)) if under_way.is_some() && is_killed(ask, &known) => None,
        change => Some(change?),
    };
    if let Some(id) = &under_way {
        let cause = Cause::Asked(format!("the flag is killed: {why}"));
        for said in [
            Transition::Cut {
                cause,
                evidence: None,
            },
            Transition::Undone,
        ] {
            changes::say(ask, id, said);
        }
    }
    let Some(change) = change else {
        ask.backend.refresh_flags();
        return Ok(changes::made(ask, &under_way.unwrap_or_default()));
    };
    let step = Step {
        share: 1.0,
        assignment: Assignment::Global,
        reversibility: Reversibility::Instant,
    };
    let change = Change {
        steps: vec![step],
        probation_ms: defaults.probation.as_millis() as u64,
        relief: true,
        ..change
    };
    let why = why.to_owned();
    let at_once = [
        Transition::Approved { step: 0, why },
        Transition::Armed,
        Transition::Entered {
            step: 0,
            evidence: None,
        },
        Transition::Promoted { evidence: None },
    ];
    let id = propose(ask, change, &at_once)?;
    Ok(changes::made(ask, &id))
}

/// Whether nobody has it but by what is under way.
fn is_killed(ask: &Ask<'_>, known: &Known) -> bool {
    let is_disabled = |flag: &Value| flag["state"] == "DISABLED";
    ask.body["variant"].is_null() && known.before(ask.name).is_some_and(is_disabled)
}
