//! What the demo tells: the words, and the line of every two seconds.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use order_desk::load::{Counts, Snapshot};
use plimsoll_policy::BreakerState;
use plimsoll_slo::{Ladder, Reason, Severity};

use super::{Script, Stage};
use crate::civil;
use crate::instance::Instance;
use crate::reading::ObjectiveReading;
use crate::rollout::words;

pub(super) const SLOW: &str = "
  The broker turns slow: every execution takes 3 s now.
  Watch the egress breaker trip, orders be refused at once instead of waiting, and reads stay quick.

";

pub(super) const WELL: &str = "
  The broker is well again. The breaker lets a probe through, then 1, 5, 25 and 100 per cent.

";

pub(super) const END: &str = "\n  Draining: what is under way may finish.\n";

/// What there is to see, and where.
pub(super) fn opening(ingress: SocketAddr, admin: &str, stage: &Stage, script: &Script) -> String {
    format!(
        "
  Plimsoll in front of an options order desk, customers of three tiers, and a broker behind an egress listener.

      customers --> Plimsoll {ingress} --> order desk {desk}
                                                      |
                           broker {broker} <-- Plimsoll (egress)

  look at   http://{admin}/          who is hurt, since when, what changed: keep it open beside this
            http://{admin}/incidents what hurt, from its beginning to its end
            http://{admin}/changes   what is rolled out, and by what it is judged
            http://{admin}/metrics   the same for Prometheus
  try       curl -i http://{ingress}/v1/accounts/gold-1/risk
            curl -i http://{ingress}/nowhere
  then      the broker turns slow at {slow} s and recovers at {well} s; from {rollouts} s on new versions of the desk are
            rolled out; Ctrl-C drains and ends.

",
        desk = stage.desk.address(),
        broker = stage.broker.address(),
        slow = script.slow_at.as_secs(),
        well = script.well_at.as_secs(),
        rollouts = script.rollouts_at.as_secs(),
    )
}

/// Tells one line after the other, and knows what it told last.
#[derive(Debug, Default)]
pub(super) struct Teller {
    lines: u64,
    before: Acted,
    /// The objectives that call somebody.
    calling: BTreeMap<Arc<str>, Severity>,
    /// Incidents, and where each stood.
    incidents: BTreeMap<Arc<str>, &'static str>,
    /// Changes, and how much was told of each.
    changes: BTreeMap<String, usize>,
}

/// How often each protection has acted.
#[derive(Clone, Copy, Debug, Default)]
struct Acted {
    retries: u64,
    timeouts: u64,
    tripped: u64,
    limited: u64,
    trips: u64,
}

impl Teller {
    /// The objectives that call somebody else than before, and why.
    pub(super) fn turned(&mut self, instance: &Instance) -> String {
        let judging = instance
            .parts
            .judging
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut told = String::new();
        for ObjectiveReading { name, verdict, .. } in judging.reading(&Ladder::default()) {
            let before = match verdict.calls {
                Some(severity) => self.calling.insert(Arc::clone(&name), severity),
                None => self.calling.remove(&name),
            };
            if before == verdict.calls {
                continue;
            }
            let word = match verdict.calls {
                Some(Severity::Page) => "PAGE",
                Some(Severity::Ticket) => "ticket",
                None => "calm",
            };
            let _ = writeln!(told, "  {word:<6}  {name}: {}", verdict.sentence());
        }
        drop(judging);
        self.incidents(instance, &mut told);
        told
    }

    /// What was said of changes since the last time: the words are those of the page.
    pub(super) fn changed(&mut self, instance: &Instance) -> String {
        let mut news = String::new();
        instance.parts.record.read(|state| {
            for standing in state.changes.all().into_iter().rev() {
                let id = &standing.change.id;
                let told = state.changes.told(id);
                let before = self.changes.insert(id.clone(), told.len()).unwrap_or(0);
                for line in told.iter().skip(before) {
                    let says = words::sentence(standing, &line.said);
                    let _ = writeln!(news, "  change  {id} ({}) {says}", words::what(standing));
                }
            }
        });
        news
    }

    /// The incidents that stand elsewhere than before.
    fn incidents(&mut self, instance: &Instance, told: &mut String) {
        instance.parts.record.read(|state| {
            for incident in state.incidents.all() {
                let phase = incident.phase();
                if self.incidents.insert(Arc::clone(&incident.id), phase) != Some(phase) {
                    let (id, began) = (&incident.id, civil::clock(incident.began));
                    let objectives = incident.objectives.join(", ");
                    let _ = writeln!(
                        told,
                        "  incident {id} is {phase}: it began at {began}, and is about {objectives}"
                    );
                }
            }
        });
    }

    /// What the customers feel, and what protected them since the line before.
    pub(super) fn line(&mut self, elapsed: Duration, instance: &Instance, load: &Snapshot) -> String {
        let mut line = String::new();
        if self.lines.is_multiple_of(10) {
            line.push_str("   time   gold: good  p50   p99    silver: good  p50   p99    bronze: good  p50   p99   breaker   acted\n");
        }
        self.lines += 1;
        let _ = write!(line, "  {:>3} s   ", elapsed.as_secs());
        for tier in &load.tiers {
            let _ = write!(
                line,
                "{:>9} {:>6} {:>6}    ",
                good(&tier.recent),
                millis(tier.p50),
                millis(tier.p99)
            );
        }
        let upstreams = &instance.parts.gateway.running().upstreams;
        let broker = upstreams.iter().find(|upstream| &*upstream.plan.name == "broker");
        let state = broker.map_or("-", |broker| {
            match broker.state.breaker_state(instance.parts.gateway.env().now()) {
                BreakerState::Passing => "passing",
                BreakerState::Tripped => "TRIPPED",
                BreakerState::Probing => "probing",
            }
        });
        let now = Acted::read(instance, broker.map_or(0, |broker| broker.state.breaker_trips()));
        let _ = writeln!(line, "{state:<8}  {}", now.since(self.before));
        self.before = now;
        line
    }
}

fn good(counts: &Counts) -> String {
    let refused: u64 = counts.refused.values().sum();
    let total = counts.ok + refused + counts.failed;
    let share = (counts.ok * 100).checked_div(total);
    share.map_or_else(|| "-".to_owned(), |share| format!("{share} %"))
}

fn millis(latency: Option<Duration>) -> String {
    latency.map_or_else(
        || "-".to_owned(),
        |latency| format!("{:.0}ms", latency.as_secs_f64() * 1e3),
    )
}

impl Acted {
    fn read(instance: &Instance, trips: u64) -> Self {
        let mut acted = Self {
            trips,
            ..Self::default()
        };
        for (_, tally) in instance.parts.gateway.ledger().snapshot() {
            let bad = |reason: Reason| tally.bad[reason.index()];
            acted.retries += tally.retries;
            acted.timeouts += bad(Reason::UpstreamTimeout) + bad(Reason::DeadlineExceeded);
            acted.tripped += bad(Reason::BreakerTripped);
            acted.limited += tally.excluded[Reason::RateLimited.index()];
        }
        acted
    }

    /// In words; a dot when nothing had to act.
    fn since(self, before: Self) -> String {
        let parts = [
            (self.trips - before.trips, "breaker tripped"),
            (self.tripped - before.tripped, "refused at once by the breaker"),
            (self.timeouts - before.timeouts, "cut off in time"),
            (self.retries - before.retries, "retried"),
            (self.limited - before.limited, "rate limited"),
        ];
        let told: Vec<String> = parts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if told.is_empty() {
            "·".to_owned()
        } else {
            told.join(", ")
        }
    }
}
