//! Figures of the business: what counts, and what is watched.

use std::sync::Arc;
use std::time::Duration;

use gateway::plan::{Good, ObjectivePlan, Plan};
use plimsoll_slo::{FALL_LOOKS_BACK, Measure};

use super::Scope;
use super::counting::Counting;
use super::objective::without_target;
use crate::config::raw::kpi::{Kpi, Measured};
use crate::config::raw::objective::Vantage;
use crate::config::{ObjectiveConfig, Watch};

/// Each is looked at anew every minute, which takes some two milliseconds.
const KPIS_MAX: usize = 100;
/// What is no fall, if nothing is said.
const FALL_OF_RATE: f64 = 0.2;
const FALL_OF_SHARE: f64 = 0.05;

/// Adds what counts to the plan, and returns what is watched.
pub(super) fn resolve(kpis: Vec<Kpi>, plan: &mut Plan, scope: &mut Scope<'_>) -> Vec<ObjectiveConfig> {
    if let Some(kpi) = kpis.get(KPIS_MAX) {
        let wrong = format!("there are {} figures", kpis.len());
        scope.problem(&kpi.name.place, wrong, format!("at most {KPIS_MAX}"));
    }
    let watched = kpis.into_iter().filter_map(|kpi| one(kpi, plan, scope));
    watched.collect()
}

fn one(kpi: Kpi, plan: &mut Plan, scope: &mut Scope<'_>) -> Option<ObjectiveConfig> {
    let counting = Counting::of_kpi(&kpi);
    let counted = format!("kpi:{}", counting.words(""));
    let (routes, tier) = (counting.routes(plan, scope), counting.tier(scope));
    let Kpi {
        name,
        routes: _,
        tier: _,
        vantage,
        measure,
        fall,
        zone,
        runbook,
    } = kpi;
    if let Some(less) = fall.value.filter(|fall| !(0.01..=0.95).contains(&fall.0)) {
        let wrong = format!("{} % is no fall that could be told", 100.0 * less.0);
        scope.problem(&fall.place, wrong, "from 1 % to 95 %");
    }
    let of = |usual| fall.value.map_or(usual, |fall| fall.0);
    let measure = match measure.value {
        Measured::Rate => Measure::Rate {
            fall: of(FALL_OF_RATE),
        },
        Measured::Share => Measure::Share {
            fall: of(FALL_OF_SHARE),
        },
    };
    let counts = ObjectivePlan {
        name: Arc::from(name.as_str()),
        routes,
        tier,
        good: match vantage.value {
            Vantage::Gateway => Good::Succeeded,
            _ => Good::Served { latency_max: None },
        },
        walk: None,
    };
    plan.kpis.push(counts);
    let looks_back = Duration::from_hours(24 * FALL_LOOKS_BACK);
    Some(ObjectiveConfig {
        counted: counted.into(),
        runbook: runbook.value.map(|link| link.0.into()),
        vantage: vantage.value.word(),
        watch: Watch::Figure {
            measure,
            zone: zone.value,
        },
        ..without_target(name.as_str().into(), looks_back)?
    })
}
