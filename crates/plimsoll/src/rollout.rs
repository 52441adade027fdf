//! Changes on their way: what the machine decides is said, and what was said is made so.
//!
//! Ten times a second it looks at every change that is not over. The share that a candidate gets follows from what was
//! said of it, so a process that begins, or hears late, comes to the same; what is counted goes to the comparison; and the
//! machine says what comes next. Everything that it says is a fact of the record, under an id that everybody gives it.
//!
//! **If it is slow or fails**, shares stay what they are; a cut that this process says takes effect in it at once, and
//! waits for no store.

pub(crate) mod sharing;
pub(crate) mod versions;
pub(crate) mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use change::{Evidence, Gate, Health, Next, Phase, Seen, Standing, Transition};
use gateway::plan::Good;
use gateway::splits::{EpochReading, Split, SplitSeen};
use jiff::Timestamp;
use plimsoll_slo::{Comparison, Epoch, Finding, HistogramSnapshot, Instant, Rung, SLOTS, SLOW, Terms};

use self::sharing::Others;
use self::versions::Deploy;
use crate::api::changes::Stable;
use crate::civil;
use crate::config::{self, Endpoint, Scalar as _};
use crate::instance::Parts;
use crate::journal::Value;
use crate::reading::ObjectiveReading;
use crate::record::entry::Calls;
use crate::record::{Said, who};

/// How often it looks.
pub(crate) const LOOKS_EVERY: Duration = Duration::from_millis(100);
/// How long what is under way at a candidate that was cut is waited for.
const UNDONE_AFTER: u64 = 30_000;
/// Milliseconds after which what was drawn for a version is under way there.
const SETTLED_AFTER: u64 = 500;
/// Milliseconds by which what burns may have begun before its cause was noted: clocks differ, and seconds are whole.
const AT_ONCE: u64 = 2_000;

/// Failures in a row that a fuse may ask for: with more to go the next look comes first.
const FUSE_MAX: u64 = 64;

/// What it remembers, and need not outlive the process. Nothing is asked of the record while this is held.
#[derive(Debug, Default)]
pub(crate) struct Rollouts {
    /// Since when nothing of a candidate has answered.
    away: BTreeMap<String, Instant>,
    /// What each change waits for, and what is known of it.
    seen: BTreeMap<String, Looked>,
    /// What others have counted.
    others: Others,
    /// Until when this process leads by the store's word.
    leads_until: Option<Instant>,
    /// When this process looked first, in milliseconds since the Unix epoch, and how many lines of each change were logged.
    began: Option<u64>,
    logged: BTreeMap<String, usize>,
}

/// How long the lead is taken for, in milliseconds, and how long whoever has it relies on it: clocks run apart.
pub(crate) const LED_FOR: u64 = 5_000;
const RELIED_ON: Duration = Duration::from_secs(3);

/// What was seen of a change when it was looked at last.
#[derive(Clone, Debug)]
pub(crate) struct Looked {
    pub(crate) comparison: Option<Comparison>,
    pub(crate) evidence: Option<Evidence>,
    pub(crate) next: Next,
}

impl Rollouts {
    /// What was seen of a change when it was looked at last.
    pub(crate) fn looked(&self, id: &str) -> Option<&Looked> {
        self.seen.get(id)
    }

    /// What others have counted, and whether this process leads, as of `now`.
    pub(crate) fn heard(&mut self, others: Others, leads: bool, now: Instant) {
        self.others = others;
        self.leads_until = leads.then(|| now + RELIED_ON);
    }

    /// The same of all.
    pub(crate) fn all(&self) -> &BTreeMap<String, Looked> {
        &self.seen
    }
}

/// Looks once at all changes.
pub(crate) async fn run_once(parts: &Parts) {
    // What is there has to be there in the gateway before anybody is sent to it.
    let composed = parts.reloader.recompose(|plan| parts.composed(plan)).await;
    if let Err(problem) = composed {
        parts
            .journal
            .error("versions cannot be set up", &[("cause", Value::from(&*problem))]);
    }
    log(parts);
    let active: Vec<Standing> = parts.record.read(|state| {
        let all = state.changes.machine.all();
        all.filter(|standing| !standing.phase().is_over())
            .cloned()
            .collect()
    });
    {
        let mut rollouts = parts.rollouts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = |id: &String| active.iter().any(|standing| standing.change.id == *id);
        rollouts.away.retain(|id, _| is_known(id));
        rollouts.seen.retain(|id, _| is_known(id));
    }
    if active.is_empty() {
        return;
    }
    let readings = {
        let judging = parts.judging.lock().unwrap_or_else(PoisonError::into_inner);
        judging.reading(&parts.reloader.asked().ladder)
    };
    for standing in &active {
        if let Some(deploy) = Deploy::of(&standing.change) {
            look(parts, standing, &deploy, &readings);
        }
    }
    // What was counted and said is for others as well.
    if let Some(keeper) = parts.keeper.get() {
        keeper.unpark();
    }
}

/// Looks at one change, and says what is to be said of it.
fn look(parts: &Parts, standing: &Standing, deploy: &Deploy, readings: &[ObjectiveReading]) {
    let now = parts.gateway.env().wall().as_millis() as u64;
    let running = parts.gateway.running();
    let id = &standing.change.id;
    let split = running.splits.iter().find(|split| *split.plan.change == **id);
    let (mut comparison, mut evidence) = (None, None);
    if let Some(split) = split {
        let compare = || {
            let others = others(parts, id);
            let counted = sharing::together(split.readings(), &others);
            compare(&counted, standing, deploy, readings, &running.plan, now)
        };
        let (compared, kept) = compare();
        if !matches!(compared.finding, Finding::Bad(_)) {
            expose(split, standing, now);
            // By what may have begun just now.
            let (_, begun) = compare();
            split.arm(begun.failures_left(FUSE_MAX));
        }
        (comparison, evidence) = (Some(compared), Some(kept));
    }
    let health = health(parts, standing, split);
    let touched = touched(&running.plan, &deploy.upstream);
    let burning = burning(parts, standing, &touched);
    let closed = closed(parts, now);
    let (needed_by, need_gone) = parts.record.read(|state| {
        let machine = &state.changes.machine;
        let owned = |id: Option<&str>| id.map(str::to_owned);
        (
            owned(machine.needed_by(id)),
            owned(machine.need_gone(id, &BTreeSet::new())),
        )
    });
    let seen = Seen {
        now,
        leads: leads(parts),
        health,
        comparison: comparison.as_ref(),
        replaced_idle: is_idle(parts, standing, deploy, now),
        guarded: is_guarded(standing, comparison.as_ref()),
        burning: burning.as_deref(),
        rung: rung(readings, &touched),
        glass_broken: parts.record.read(|state| state.freezes.is_glass_broken(now)),
        closed: closed.as_deref(),
        needed_by: needed_by.as_deref(),
        need_gone: need_gone.as_deref(),
    };
    let next = standing.decide(&seen);
    if let Next::Say(said) = &next {
        say(parts, standing, said.clone(), evidence.clone());
    }
    let mut rollouts = parts.rollouts.lock().unwrap_or_else(PoisonError::into_inner);
    rollouts.seen.insert(
        id.clone(),
        Looked {
            comparison,
            evidence,
            next,
        },
    );
}

/// The share that follows from what was said.
fn expose(split: &Split, standing: &Standing, now: u64) {
    let boundary = (standing.exposed_at(now) * f64::from(SLOTS)).round() as u16;
    let (epoch, before) = split.current();
    let wanted = if boundary == 0 {
        // What is cut goes on being counted for the epoch in which it was drawn.
        epoch
    } else {
        versions::epoch(standing, now)
    };
    // A fuse that has blown since the last look is judged by what it has counted before the share is set again.
    if (epoch, before) != (wanted, boundary) {
        split.set(wanted, boundary);
    }
}

/// The epochs of a split for a comparison, and the place of the first that is of the epoch `from` or a later one.
fn epochs(readings: &[EpochReading], from: usize) -> (Vec<Epoch>, usize) {
    let mut highest = 0;
    let mut epochs = Vec::new();
    for reading in readings {
        epochs.push(match &reading.seen {
            SplitSeen::Each { stable, candidate } => Epoch {
                share: f64::from(reading.boundary) / f64::from(SLOTS),
                candidate: *candidate,
                stable: *stable,
            },
            SplitSeen::Keys(keys) => keys.epoch(reading.boundary, highest),
        });
        highest = highest.max(reading.boundary);
    }
    let place = readings.iter().position(|reading| reading.epoch >= from);
    (epochs, place.unwrap_or(readings.len()))
}

/// What others have counted of a change.
fn others(parts: &Parts, id: &str) -> Vec<EpochReading> {
    let rollouts = parts.rollouts.lock().unwrap_or_else(PoisonError::into_inner);
    rollouts.others.get(id).cloned().unwrap_or_default()
}

/// Whether this process leads: by the store's word of late, or since there is no store to ask.
fn leads(parts: &Parts) -> bool {
    if parts.keeper.get().is_none() {
        return true;
    }
    let now = parts.gateway.env().now();
    let rollouts = parts.rollouts.lock().unwrap_or_else(PoisonError::into_inner);
    rollouts.leads_until.is_some_and(|until| now < until)
}

fn compare(
    counted: &[EpochReading],
    standing: &Standing,
    deploy: &Deploy,
    readings: &[ObjectiveReading],
    plan: &gateway::Plan,
    now: u64,
) -> (Comparison, Evidence) {
    let (epochs, from) = epochs(counted, versions::epoch(standing, now));
    let touched = touched(plan, &deploy.upstream);
    // With less of the budget left, less may be lost by the next step.
    let harm = if rung(readings, &touched) >= Rung::Careful {
        0.5
    } else {
        1.0
    };
    let terms = Terms {
        alpha: deploy.alpha,
        tolerated: deploy.tolerated,
        tolerated_slow: deploy.tolerated_slow,
        times_known: deploy.slow_us.is_some(),
        allowed: deploy.allowed,
        next: standing.next_share(),
        harm,
        ..Terms::default()
    };
    Evidence::of(&epochs, from, &terms)
}

/// Requests of the stable version that have to be known before it is known what is slow.
const TIMES_KNOWN: u64 = 1_000;
/// How long something may take to be reached.
const REACHED_WITHIN: Duration = Duration::from_secs(1);

/// What is known of the upstream of this name.
pub(crate) fn stable(parts: &Parts, upstream: &str) -> Option<Stable> {
    let running = parts.gateway.running();
    // What was said to be final a moment ago may not run yet.
    let composed = parts.composed(running.plan.clone());
    let mut upstreams = composed.upstreams.iter();
    let plan = upstreams.find(|plan| *plan.name == *upstream)?;
    // A candidate is no upstream of its own.
    if running
        .plan
        .splits
        .iter()
        .any(|split| split.candidate == plan.name)
    {
        return None;
    }
    let mut times = HistogramSnapshot::default();
    for (key, tally) in parts.gateway.ledger().snapshot() {
        if *key.upstream == *upstream && key.version == plan.version {
            times.merge(&tally.latency);
        }
    }
    let unnoticed = parts.reloader.asked().changes.unnoticed;
    let quantile = |share| {
        let time = times.quantile(share)? + unnoticed;
        Some(time.as_micros() as u64)
    };
    let slow_us = match SLOW.map(quantile) {
        [Some(half), Some(most), Some(nearly_all)] if times.count() >= TIMES_KNOWN => {
            Some([half, most, nearly_all])
        }
        _ => None,
    };
    Some(Stable {
        name: upstream.to_owned(),
        endpoints: versions::texts(plan),
        version: plan.version.to_string(),
        slow_us,
        allowed: allowed(parts, &touched(&running.plan, upstream)),
    })
}

/// The least share that an objective about availability allows to fail.
fn allowed(parts: &Parts, touched: &BTreeSet<Arc<str>>) -> Option<f64> {
    let running = parts.gateway.running();
    let counts = |name: &Arc<str>| {
        let mut plans = running.plan.objectives.iter();
        let plan = plans.find(|plan| plan.name == *name);
        plan.is_some_and(|plan| plan.good == Good::Served { latency_max: None } && plan.walk.is_none())
    };
    let asked = parts.reloader.asked();
    let of = asked
        .objectives
        .iter()
        .filter(|one| touched.contains(&one.name) && counts(&one.name) && one.members.is_empty())
        .filter(|one| one.objective.allowed().is_none());
    of.map(|one| one.objective.target.allowance()).reduce(f64::min)
}

/// Whether something listens at each of these endpoints. It blocks for a second for each at most.
///
/// # Errors
/// Where nothing does, and why.
pub(crate) fn reach(endpoints: &[String]) -> Result<(), String> {
    for text in endpoints {
        let reached = match Endpoint::parse(text) {
            Some(Endpoint::Unix(path)) => std::os::unix::net::UnixStream::connect(path).map(|_| ()),
            Some(Endpoint::Host { host, port, .. }) => (host.as_str(), port)
                .to_socket_addrs()
                .and_then(|mut all| all.next().ok_or_else(|| io::ErrorKind::NotFound.into()))
                .and_then(|address| TcpStream::connect_timeout(&address, REACHED_WITHIN).map(|_| ())),
            None => Err(io::ErrorKind::InvalidInput.into()),
        };
        reached.map_err(|error| format!("{text}: {error}"))?;
    }
    Ok(())
}

/// Whether a step without a comparison may be left: it was asked for that the candidate is within its objective, and
/// that is shown by what it did itself.
fn is_guarded(standing: &Standing, comparison: Option<&Comparison>) -> bool {
    let steps = &standing.change.steps;
    let gate = standing
        .step()
        .and_then(|step| steps.get(step))
        .map(change::Step::gate);
    gate == Some(Gate::Guard) && comparison.is_some_and(|found| found.signs[0].as_good >= Some(1.0))
}

/// The names of the objectives whose requests go to this upstream.
pub(crate) fn touched(plan: &gateway::Plan, upstream: &str) -> BTreeSet<Arc<str>> {
    let leads = |(listener, route): &(Arc<str>, Arc<str>)| {
        let mut listeners = plan.listeners.iter().filter(|one| one.name == *listener);
        listeners.any(|listener| {
            let mut routes = listener.routes.iter();
            routes.any(|one| one.name == *route && *one.upstream == *upstream)
        })
    };
    let objectives = plan.objectives.iter();
    let touched = objectives.filter(|objective| objective.routes.iter().any(leads));
    touched.map(|objective| Arc::clone(&objective.name)).collect()
}

/// What may be risked, by the objective that has the least left.
fn rung(readings: &[ObjectiveReading], touched: &BTreeSet<Arc<str>>) -> Rung {
    let of = readings.iter().filter(|reading| touched.contains(&reading.name));
    // Of what is not known yet it says careful; with no objective at all there is no budget to be careful with.
    of.map(|reading| reading.rung).max().unwrap_or(Rung::Free)
}

/// An objective that pages since somebody is exposed.
fn burning(parts: &Parts, standing: &Standing, touched: &BTreeSet<Arc<str>>) -> Option<String> {
    let exposed = standing.exposed_since()?.saturating_sub(AT_ONCE);
    parts.record.read(|state| {
        let mut pages = state.alerts.open().filter(|alert| {
            let began = alert
                .opened
                .began
                .map_or(alert.opened_at, |second| 1_000 * second);
            alert.opened.severity == Calls::Page && began >= exposed
        });
        let page = pages.find(|alert| touched.contains(alert.opened.objective.as_str()));
        page.map(|alert| alert.opened.objective.clone())
    })
}

fn health(parts: &Parts, standing: &Standing, split: Option<&Arc<Split>>) -> Health {
    let env = parts.gateway.env();
    let (now, wall) = (env.now(), env.wall().as_millis() as u64);
    let running = parts.gateway.running();
    let candidate = split.and_then(|split| {
        let mut upstreams = running.upstreams.iter();
        upstreams.find(|upstream| upstream.plan.name == split.plan.candidate)
    });
    let id = &standing.change.id;
    let mut rollouts = parts.rollouts.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(candidate) = candidate else {
        return Health::Gone;
    };
    let endpoints = candidate.state.endpoints();
    let readings: Vec<_> = endpoints.iter().map(|endpoint| endpoint.reading(now)).collect();
    if standing.phase() == Phase::Reverting {
        let pending: u32 = readings.iter().map(|reading| reading.pending).sum();
        let is_late = wall.saturating_sub(standing.since()) >= UNDONE_AFTER;
        return if pending == 0 || is_late {
            Health::Gone
        } else {
            Health::Ready
        };
    }
    if readings.iter().any(|reading| reading.healthy && !reading.ejected) {
        rollouts.away.remove(id);
        return Health::Ready;
    }
    let since = *rollouts.away.entry(id.clone()).or_insert(now);
    Health::Away(now.since(since).as_millis() as u64)
}

/// Why no change may go on at this time, if none may.
fn closed(parts: &Parts, now: u64) -> Option<String> {
    let frozen = parts.record.read(|state| {
        let freeze = state.freezes.holding(now)?;
        let until = civil::moment(freeze.until);
        Some(format!(
            "all is frozen until {until}, by {}: {}",
            who(&freeze.author),
            freeze.reason
        ))
    });
    frozen.or_else(|| {
        let changes = parts.reloader.asked().changes;
        let at = Timestamp::from_millisecond(i64::try_from(now).unwrap_or(i64::MAX)).ok()?;
        let here = changes.zone.to_datetime(at);
        let is_open = changes.hours.is_empty() || changes.hours.iter().any(|hours| hours.has(here));
        let spelled: Vec<String> = changes.hours.iter().map(config::Scalar::render).collect();
        (!is_open).then(|| format!("changes go on at these hours: {}", spelled.join(", ")))
    })
}

/// Whether nothing is under way at the version that is replaced, or has been for so long that it is not waited for.
fn is_idle(parts: &Parts, standing: &Standing, deploy: &Deploy, now: u64) -> bool {
    let (running, steady) = (parts.gateway.running(), parts.gateway.env().now());
    let mut upstreams = running.upstreams.iter();
    let Some(stable) = upstreams.find(|upstream| *upstream.plan.name == *deploy.upstream) else {
        return true;
    };
    let ends = standing.since().saturating_add(standing.change.probation_ms);
    if now >= ends.saturating_add(UNDONE_AFTER) {
        return true;
    }
    // What was drawn for it a moment ago may not be there yet.
    let endpoints = stable.state.endpoints();
    let pending: u32 = endpoints
        .iter()
        .map(|endpoint| endpoint.reading(steady).pending)
        .sum();
    pending == 0 && now >= ends.saturating_add(SETTLED_AFTER)
}

/// Says something of a change in the name of this process; what needs a change that is cut is cut before it.
fn say(parts: &Parts, standing: &Standing, said: Transition, evidence: Option<Evidence>) {
    let id = &standing.change.id;
    if matches!(said, Transition::Cut { .. }) {
        let order: Vec<String> = parts.record.read(|state| {
            let order = state.changes.machine.revert_order(id);
            order.into_iter().map(str::to_owned).collect()
        });
        for dependent in order.iter().filter(|other| *other != id) {
            let cause = change::Cause::Needed(id.clone());
            let said = Transition::Cut {
                cause,
                evidence: None,
            };
            tell(parts, dependent, &said);
        }
    }
    tell(parts, id, &with(said, evidence));
}

/// What was said, with what it is said by.
fn with(mut said: Transition, found: Option<Evidence>) -> Transition {
    let found = found.map(Box::new);
    match &mut said {
        // Before the first step there was nothing to see.
        Transition::Entered { step: 0, .. } => {}
        Transition::Entered { evidence, .. }
        | Transition::Promoted { evidence }
        | Transition::Finished { evidence }
        | Transition::Cut { evidence, .. } => *evidence = found,
        _ => {}
    }
    said
}

fn tell(parts: &Parts, id: &str, said: &Transition) {
    let suffix = match said {
        Transition::Entered { step, .. } | Transition::Asked { step } => format!("/{step}"),
        _ => String::new(),
    };
    let fact = format!("{id}/{}{suffix}", said.word());
    let (wall, went) = (
        parts.gateway.env().wall(),
        Said::ChangeWent(Box::new(said.clone())),
    );
    if said.exposes() {
        parts.record.say_led(&fact, wall, id, went);
    } else {
        parts.record.say_as(&fact, wall, id, went);
    }
}

/// Logs what was said of changes since the last look, by whomever.
fn log(parts: &Parts) {
    let now = parts.gateway.env().wall().as_millis() as u64;
    let mut rollouts = parts.rollouts.lock().unwrap_or_else(PoisonError::into_inner);
    let (began, mut logged) = (
        *rollouts.began.get_or_insert(now),
        std::mem::take(&mut rollouts.logged),
    );
    drop(rollouts);
    let news: Vec<(String, String, bool)> = parts.record.read(|state| {
        let mut news = Vec::new();
        for standing in state.changes.machine.all() {
            let id = &standing.change.id;
            let told = state.changes.told(id);
            let before = logged.insert(id.clone(), told.len()).unwrap_or(0).min(told.len());
            // What happened before this process is no news.
            for line in told[before..].iter().filter(|line| line.at >= began) {
                let warns = matches!(
                    line.said,
                    Transition::Cut { .. } | Transition::Parked { .. } | Transition::Asked { .. }
                );
                news.push((id.clone(), words::sentence(standing, &line.said), warns));
            }
        }
        news
    });
    for (id, says, warns) in news {
        let fields = [("change", Value::from(&*id)), ("says", Value::from(&*says))];
        if warns {
            parts.journal.warn("a change", &fields);
        } else {
            parts.journal.info("a change", &fields);
        }
    }
    parts
        .rollouts
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .logged = logged;
}
