//! From what the user wrote to what runs.
//!
//! Every raw stanza is taken apart without `..`, so that a key which nobody reads does not compile. What one value
//! cannot know about itself is checked here, each problem at the place of the value that should change.

mod admin;
mod alerts;
mod changes;
mod composite;
mod counting;
mod driver;
mod flags;
mod kpi;
mod listener;
mod objective;
mod route;
mod state;
mod telemetry;
mod tls;
mod upstream;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway::plan::{CallersPlan, MemoryPlan, ObservePlan, Plan};
use plimsoll_slo::Ladder;

use super::near::nearest;
use super::problem::{Mark, Place, Problem};
use super::raw::kpi::Kpi;
use super::raw::listener::Listener;
use super::raw::objective::Objective;
use super::raw::upstream::Upstream;
use super::raw::{BudgetPolicy, Callers, Observe, ProcessLimits, TopLevel};
use super::read::{At, Reader, Value};
use super::secrets::TokenSource;
use super::value::quantity::MemoryBound;
use super::value::word::{EnvName, Name};
use super::{Config, ObjectiveConfig};

/// What routes may refer to, and where problems go.
struct Scope<'r> {
    reader: &'r mut Reader,
    upstreams: Vec<String>,
    /// False when an upstream could not be read: a route that names it is not to blame.
    upstreams_known: bool,
    tiers: Vec<String>,
    /// The same for tiers.
    tiers_known: bool,
}

impl<'r> Scope<'r> {
    fn over(upstreams: &At<Vec<Upstream>>, callers: &Callers, reader: &'r mut Reader) -> Self {
        Self {
            upstreams: upstreams
                .iter()
                .map(|upstream| upstream.name.to_string())
                .collect(),
            upstreams_known: reader.complete(&upstreams.place),
            tiers: callers.tiers.iter().map(|tier| tier.to_string()).collect(),
            tiers_known: reader.complete(&callers.tiers.place),
            reader,
        }
    }
}

impl Scope<'_> {
    fn problem(&mut self, place: &Place, wrong: impl Into<String>, right: impl Into<String>) {
        self.reader.problems.push(Problem::new(place, wrong, right));
    }

    /// Reports a list that is empty, unless it is so because its items could not be read.
    fn some<T>(&mut self, list: &At<Vec<T>>, what: &str) {
        if list.is_empty() && self.reader.complete(&list.place) {
            self.problem(&list.place, format!("there is no {what}"), "at least one");
        }
    }

    /// Reports every name that stands a second time.
    fn unique<'n>(&mut self, kind: &str, names: impl IntoIterator<Item = &'n At<Name>>) {
        let mut seen: BTreeMap<&str, Mark> = BTreeMap::new();
        for name in names {
            if let Some(first) = seen.get(name.as_str()) {
                let wrong = format!("the {kind} at {first} is called `{}` too", name.as_str());
                self.problem(&name.place, wrong, "a name of its own");
            } else {
                seen.insert(name.as_str(), name.place.mark);
            }
        }
    }

    /// Reports a file that cannot be opened.
    fn readable(&mut self, path: &Path, place: &Place) {
        // Opened only if it is a file: opening a pipe would wait for its other end.
        let opened = std::fs::metadata(path).and_then(|metadata| {
            if metadata.is_file() {
                std::fs::File::open(path)?;
            }
            Ok(metadata)
        });
        match opened {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => self.problem(place, format!("`{}` is not a file", path.display()), "a file"),
            Err(error) => {
                let wrong = format!(
                    "the file `{}` cannot be read ({})",
                    path.display(),
                    reason(&error)
                );
                self.problem(place, wrong, "a file that is there and readable");
            }
        }
    }

    /// Reports a lower bound that is above its upper one.
    fn ordered<T: Value + PartialOrd>(&mut self, low: (&str, &At<T>), high: (&str, &At<T>)) {
        if low.1.value > high.1.value {
            let (least, most) = (low.1.value.render(), high.1.value.render());
            let wrong = format!(
                "{} is more than `{}`, {}",
                least.describe(),
                high.0,
                most.describe()
            );
            let right = format!("`{}` at most as long as `{}`", low.0, high.0);
            self.problem(&low.1.place, wrong, right);
        }
    }
}

/// What the operating system said, without its number, so that it reads the same everywhere.
pub(super) fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is none".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        kind => kind.to_string(),
    }
}

/// Traffic comes in somewhere and goes somewhere, and each of these has a name of its own.
fn check_places(listeners: &At<Vec<Listener>>, upstreams: &At<Vec<Upstream>>, scope: &mut Scope<'_>) {
    scope.unique("listener", listeners.iter().map(|listener| &listener.name));
    scope.unique("upstream", upstreams.iter().map(|upstream| &upstream.name));
    scope.some(listeners, "listener");
    scope.some(upstreams, "upstream");
}

/// Resolves the whole file. What comes out is fit to run only if no problem was reported.
pub(super) fn resolve(root: TopLevel, reader: &mut Reader) -> Config {
    let effective = root.render();
    let TopLevel {
        listeners,
        upstreams,
        callers,
        observe,
        objectives,
        kpis,
        alerts,
        budget_policy,
        changes,
        flags,
        state,
        admin,
        telemetry,
        limits,
        drain_max,
        drain_idle,
        upgrade_max,
        cores,
    } = root;
    let mut scope = Scope::over(&upstreams, &callers, reader);
    check_places(&listeners, &upstreams, &mut scope);
    let listeners_place = listeners.place.clone();
    let drivers = driver::resolve(&upstreams, &mut scope);
    let (upstreams, listeners) = (upstreams.value.into_iter(), listeners.value.into_iter());
    let upstreams = upstreams.map(|one| upstream::resolve(one, &mut scope)).collect();
    let listeners = listeners.map(|one| listener::resolve(one, &mut scope)).collect();
    let mut plan = Plan {
        objectives: Vec::new(),
        kpis: Vec::new(),
        splits: Vec::new(),
        callers: resolve_callers(callers.value, &mut scope),
        observe: resolve_observe(observe.value),
        memory: resolve_memory(limits.value),
        drain_max: drain_max.value,
        drain_idle: drain_idle.value,
        upstreams,
        listeners,
    };
    let (objectives, watched) = judged(objectives.value, kpis.value, &mut plan, &mut scope);
    let config = Config {
        objectives,
        watched,
        alerts: alerts::resolve(alerts.value, &mut scope).into(),
        ladder: resolve_policy(&budget_policy.value, &mut scope),
        changes: changes::resolve(changes.value, &mut scope).into(),
        drivers: drivers.into(),
        flags: flags::resolve(flags.value, &mut scope),
        state: state::resolve(state.value, &mut scope),
        admin: admin::resolve(admin.value, &mut scope),
        telemetry: telemetry::resolve(telemetry.value, &mut scope),
        upgrade_max: upgrade_max.value,
        cores: cores.value,
        broken: Vec::new(),
        cores_by_flag: false,
        plan,
        effective,
    };
    // The gateway has the last word; what it says should have been said above, at a better place.
    if reader.problems.is_empty()
        && let Err(error) = config.plan.check()
    {
        let wrong = error.0.join("; ");
        reader
            .problems
            .push(Problem::new(&listeners_place, wrong, "routes that do not clash"));
    }
    config
}

/// What is asked, and what is watched: what counts for both becomes a part of the plan.
fn judged(
    objectives: Vec<Objective>,
    kpis: Vec<Kpi>,
    plan: &mut Plan,
    scope: &mut Scope<'_>,
) -> (Arc<[ObjectiveConfig]>, Arc<[ObjectiveConfig]>) {
    let names = objectives.iter().map(|objective| &objective.name);
    let names = names.chain(kpis.iter().map(|kpi| &kpi.name));
    scope.unique("objective or figure", names);
    let asked = objective::resolve(objectives, plan, scope);
    let figures = kpi::resolve(kpis, plan, scope);
    let of_routes = objective::of_client_errors(plan).into_iter();
    (asked, of_routes.chain(figures).collect())
}

/// A secret that is in a file or in the environment; `what` its settings begin with.
fn resolve_secret(
    file: At<Option<PathBuf>>,
    env: At<Option<EnvName>>,
    what: &str,
    scope: &mut Scope<'_>,
) -> Option<TokenSource> {
    if let Some(path) = &file.value {
        scope.readable(path, &file.place);
    }
    if file.is_some() && env.is_some() {
        let wrong = format!("`{what}_file` is there too");
        scope.problem(&env.place, wrong, "one of the two");
    }
    let from_file = file.value.map(TokenSource::File);
    from_file.or_else(|| env.value.map(|name| TokenSource::Environment(name.0)))
}

fn resolve_callers(callers: Callers, scope: &mut Scope<'_>) -> CallersPlan {
    const TIERS_MAX: usize = 8;
    let Callers {
        tier_header,
        tiers,
        tenant_header,
        priority_header,
    } = callers;
    scope.unique("tier", tiers.iter());
    if let Some(ninth) = tiers.get(TIERS_MAX) {
        let wrong = format!("there are {} tiers", tiers.len());
        scope.problem(
            &ninth.place,
            wrong,
            format!("at most {TIERS_MAX}, since each is a label"),
        );
    }
    if !tiers.is_empty() && tier_header.is_none() {
        scope.problem(
            &tiers.place,
            "no header says which tier a request has",
            "a `tier_header` beside it",
        );
    }
    CallersPlan {
        tier_header: tier_header.value,
        tiers: tiers
            .value
            .into_iter()
            .map(|tier| Arc::from(tier.as_str()))
            .collect(),
        tenant_header: Some(tenant_header.value),
        priority_header: Some(priority_header.value),
    }
}

fn resolve_policy(policy: &BudgetPolicy, scope: &mut Scope<'_>) -> Ladder {
    let BudgetPolicy {
        careful,
        restricted,
        frozen,
    } = policy;
    scope.ordered(("restricted", restricted), ("careful", careful));
    scope.ordered(("frozen", frozen), ("restricted", restricted));
    Ladder {
        careful: careful.0,
        restricted: restricted.0,
        frozen: frozen.0,
    }
}

fn resolve_memory(limits: ProcessLimits) -> MemoryPlan {
    let ProcessLimits { memory } = limits;
    match memory.value {
        MemoryBound::Off => MemoryPlan::Off,
        MemoryBound::Share(share) => MemoryPlan::Share(share.0),
        MemoryBound::Size(size) => MemoryPlan::Bytes(size.0),
    }
}

fn resolve_observe(observe: Observe) -> ObservePlan {
    let Observe {
        trace_share,
        slow,
        log_good,
        client_errors,
    } = observe;
    ObservePlan {
        trace_share: trace_share.0,
        slow: slow.value,
        log_good: log_good.value,
        client_errors: client_errors.value,
    }
}

/// What to say about a name that leads nowhere.
fn known_names(name: &str, known: &[String]) -> String {
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("`{near}`"),
        None if known.is_empty() => "one that is declared".to_owned(),
        None => format!("one of {}", known.join(", ")),
    }
}
