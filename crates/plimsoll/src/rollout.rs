//! Changes on their way: what the machine decides is said, and what was said is made so.
//!
//! Ten times a second it looks at every change that is not over. The share that a candidate gets follows from what was
//! said of it, so a process that begins, or hears late, comes to the same; what is counted goes to the comparison; and the
//! machine says what comes next. Everything that it says is a fact of the record, under an id that everybody gives it.
//!
//! **If it is slow or fails**, shares stay what they are; a cut that this process says takes effect in it at once, and
//! waits for no store.

pub(crate) mod judged;
mod seen;
pub(crate) mod sharing;
pub(crate) mod versions;
pub(crate) mod words;

pub(crate) use seen::is_drained;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::sync::PoisonError;
use std::time::Duration;

use change::{Evidence, Next, Seen, Standing, Transition};
use gateway::splits::{EpochReading, Split, SplitSeen};
use plimsoll_slo::{Comparison, Epoch, Finding, HistogramSnapshot, Instant, Rung, SLOTS, SLOW, Terms};

use self::judged::{Judged, What};
use self::sharing::Others;
use crate::api::changes::Stable;
use crate::config::{Endpoint, Scalar as _};
use crate::flags::edit;
use crate::instance::Parts;
use crate::journal::Value;
use crate::reading::ObjectiveReading;
use crate::record::Said;

/// How often it looks.
pub(crate) const LOOKS_EVERY: Duration = Duration::from_millis(100);

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
    let is_none = parts
        .record
        .read(|state| state.changes.machine.all().next().is_none());
    if is_none && parts.gateway.running().splits.is_empty() {
        parts.flags.refresh(parts);
        return;
    }
    yield_to_file(parts);
    // What is there has to be there in the gateway before anybody is sent to it.
    let composed = parts
        .reloader
        .recompose(|plan, file| parts.composed(plan, file))
        .await;
    if let Err(problem) = composed {
        parts
            .journal
            .error("versions cannot be set up", &[("cause", Value::from(&*problem))]);
    }
    log(parts);
    look_at_all(parts);
    // By the shares that follow from it.
    parts.flags.refresh(parts);
}

/// Looks at every change that is not over.
fn look_at_all(parts: &Parts) {
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
        if let Some(what) = What::of(&standing.change) {
            look(parts, standing, &what, &readings);
        }
    }
    // What was counted and said is for others as well.
    if let Some(keeper) = parts.keeper.get() {
        keeper.unpark();
    }
}

/// Says of changes that are in force against a file that it has its own word again.
pub(crate) fn yield_to_file(parts: &Parts) {
    let (asked, file) = (parts.reloader.asked(), parts.reloader.file_read().place);
    let outdated: Vec<String> = parts.record.read(|state| {
        let written = asked.flags.as_ref().map(|flags| &*flags.written);
        let flags = written
            .into_iter()
            .flat_map(|written| edit::outdated(written, &state.changes, file));
        let outdated = versions::outdated(&asked.places, &state.changes, file).chain(flags);
        outdated.map(|standing| standing.change.id.clone()).collect()
    });
    for id in outdated {
        let place = file.to_owned();
        tell(parts, &id, &Transition::Yielded { place });
    }
}

/// Looks at one change, and says what is to be said of it.
fn look(parts: &Parts, standing: &Standing, what: &What, readings: &[ObjectiveReading]) {
    let now = parts.gateway.env().wall().as_millis() as u64;
    let running = parts.gateway.running();
    let judged = what.judged();
    let touched = seen::touched(&running.plan, &what.upstreams());
    let id = &standing.change.id;
    let split = running.splits.iter().find(|split| *split.plan.change == **id);
    let (mut comparison, mut evidence) = (None, None);
    if let Some(split) = split {
        let compare = || {
            let others = others(parts, id);
            let counted = sharing::together(split.readings(), &others);
            compare(&counted, standing, &judged, seen::rung(readings, &touched), now)
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
    let health = seen::health(parts, standing, what, split);
    let deploy = what.deploy();
    let ended = deploy.and_then(|deploy| seen::ended(parts, standing, deploy));
    let burning = seen::burning(parts, standing, &touched)
        .or_else(|| seen::beyond_objective(parts, standing, judged.alpha, evidence.as_ref(), &touched));
    let closed = seen::closed(parts, now);
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
        ended: ended.as_ref().map(|(times, how)| (*times, &**how)),
        comparison: comparison.as_ref(),
        replaced_idle: deploy.is_none_or(|deploy| seen::is_idle(parts, standing, deploy, now)),
        guarded: seen::is_guarded(standing, comparison.as_ref()),
        burning: burning.as_deref(),
        rung: seen::rung(readings, &touched),
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
pub(crate) fn leads(parts: &Parts) -> bool {
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
    judged: &Judged,
    rung: Rung,
    now: u64,
) -> (Comparison, Evidence) {
    let (epochs, from) = epochs(counted, versions::epoch(standing, now));
    // With less of the budget left, less may be lost by the next step.
    let harm = if rung >= Rung::Careful { 0.5 } else { 1.0 };
    let terms = Terms {
        alpha: judged.alpha,
        tolerated: judged.tolerated,
        tolerated_slow: judged.tolerated_slow,
        times_known: judged.slow_us.is_some(),
        allowed: judged.allowed,
        next: standing.next_share(),
        harm,
        ..Terms::default()
    };
    Evidence::of(&epochs, from, &terms)
}

/// Requests of the stable version that have to be known before it is known what is slow.
const TIMES_KNOWN: u64 = 1_000;
/// How long something may take to be reached, that somebody says is there.
const REACHED_WITHIN: Duration = Duration::from_secs(1);

/// What is usual at some upstreams, before a change of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usual {
    /// Microseconds of the median, 90th and 99th percentile, and what nobody notices; if enough has been seen.
    pub(crate) slow_us: Option<[u64; 3]>,
    /// The share that an objective of theirs allows to fail.
    pub(crate) allowed: Option<f64>,
}

/// What is usual at these upstreams.
pub(crate) fn usual(parts: &Parts, upstreams: &[&str]) -> Usual {
    let running = parts.gateway.running();
    let is_stable = |name: &str, version: &str| {
        let mut plans = running.plan.upstreams.iter();
        plans.any(|plan| *plan.name == *name && *plan.version == *version)
    };
    let mut times = HistogramSnapshot::default();
    for (key, tally) in parts.gateway.ledger().snapshot() {
        if upstreams.contains(&&*key.upstream) && is_stable(&key.upstream, &key.version) {
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
    let tightest = seen::tightest(parts, &seen::touched(&running.plan, upstreams));
    Usual {
        slow_us,
        allowed: tightest.map(|(_, allowed)| allowed),
    }
}

/// What is known of the upstream of this name.
pub(crate) fn stable(parts: &Parts, upstream: &str) -> Option<Stable> {
    let running = parts.gateway.running();
    // What was said to be final a moment ago may not run yet.
    let composed = parts.composed(running.plan.clone(), parts.reloader.file_read());
    let mut upstreams = composed.upstreams.iter();
    let plan = upstreams.find(|plan| *plan.name == *upstream)?;
    // A candidate is no upstream of its own.
    if running
        .plan
        .splits
        .iter()
        .filter_map(gateway::plan::SplitPlan::versions)
        .any(|(_, candidate)| *candidate == plan.name)
    {
        return None;
    }
    let usual = usual(parts, &[upstream]);
    Some(Stable {
        name: upstream.to_owned(),
        endpoints: versions::texts(plan),
        in_file: parts
            .reloader
            .asked()
            .places
            .get(upstream)
            .cloned()
            .unwrap_or_default(),
        version: plan.version.to_string(),
        usual,
        driver: parts.reloader.asked().drivers.get(upstream).cloned(),
    })
}

/// Whether something listens at each of these endpoints. It blocks for a second for each at most.
///
/// # Errors
/// Where nothing does, and why.
pub(crate) fn reach(endpoints: &[String]) -> Result<(), String> {
    for text in endpoints {
        connect(text, REACHED_WITHIN).map_err(|error| format!("{text}: {error}"))?;
    }
    Ok(())
}

/// Whether nothing listens at this port of this host.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Whether something listens at an endpoint; it blocks for so long at most.
pub(crate) fn connect(endpoint: &str, within: Duration) -> io::Result<()> {
    match Endpoint::parse(endpoint) {
        Some(Endpoint::Unix(path)) => std::os::unix::net::UnixStream::connect(path).map(drop),
        Some(Endpoint::Host { host, port, .. }) => {
            let address = (host.as_str(), port).to_socket_addrs()?.next();
            let address = address.ok_or(io::ErrorKind::NotFound)?;
            TcpStream::connect_timeout(&address, within).map(drop)
        }
        None => Err(io::ErrorKind::InvalidInput.into()),
    }
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
        Transition::Yielded { place } => format!("/{place}"),
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
