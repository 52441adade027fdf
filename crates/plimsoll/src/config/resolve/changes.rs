//! How changes are rolled out.

use change::{Then, Undecided};

use super::Scope;
use crate::config::ChangesConfig;
use crate::config::raw::changes::{Changes, WhenUndecided};

/// How wrong a verdict may be, at most and at least.
const ALPHA: [f64; 2] = [0.000_001, 0.5];

pub(super) fn resolve(changes: Changes, scope: &mut Scope<'_>) -> ChangesConfig {
    let Changes {
        steps,
        hold_max,
        undecided,
        probation,
        hold_back,
        alpha,
        tolerated,
        tolerated_slow,
        unnoticed,
        hours,
        zone,
    } = changes;
    scope.some(&steps, "step");
    for pair in steps.value.windows(2) {
        if pair[1].0 <= pair[0].0 {
            scope.problem(
                &pair[1].place,
                "this step is no more than the one before it",
                "shares that grow",
            );
        }
    }
    if let Some(step) = steps.value.iter().find(|step| step.0 <= 0.0) {
        scope.problem(&step.place, "a step of nothing shows nothing", "more than `0%`");
    }
    if hold_back.0 > 0.5 {
        let wrong = "more is held back than not";
        scope.problem(&hold_back.place, wrong, "`50%` at most");
    }
    if !(ALPHA[0]..=ALPHA[1]).contains(&alpha.0) {
        let wrong = "by this nothing can be decided";
        scope.problem(&alpha.place, wrong, "`0.0001%` to `50%`");
    }
    ChangesConfig {
        steps: steps.value.iter().map(|step| step.0).collect(),
        undecided: Undecided {
            hold_ms: hold_max.value.as_millis() as u64,
            then: match undecided.value {
                WhenUndecided::Revert => Then::Revert,
                WhenUndecided::Ask => Then::Ask,
            },
        },
        probation: probation.value,
        hold_back: hold_back.0,
        alpha: alpha.0,
        tolerated: 1.0 + tolerated.0,
        tolerated_slow: 1.0 + tolerated_slow.0,
        unnoticed: unnoticed.value,
        hours: hours.value.into_iter().map(|hours| hours.value).collect(),
        zone: zone.value,
    }
}
