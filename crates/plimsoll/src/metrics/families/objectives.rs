//! What the judge says of objectives.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway::objectives::WalkReading;
use plimsoll_slo::{FreshnessReading, Rung, Severity};

use super::{counter, gauge};
use crate::metrics::sheet::Sheet;
use crate::metrics::window_label;
use crate::reading::ObjectiveReading;
use crate::status::tables::share_asked;

/// Every objective. What is not known has no sample.
pub(in crate::metrics) fn objectives(sheet: &mut impl Sheet, objectives: &[ObjectiveReading]) {
    sheet.family(gauge(
        "plimsoll_objective_target_ratio",
        "ratio",
        "The share of events that is to be good.",
    ));
    for ObjectiveReading { name, verdict, .. } in objectives {
        sheet.sample_if_known(&[("objective", name)], share_asked(&verdict.objective));
    }
    sheet.family(gauge(
        "plimsoll_objective_events",
        "",
        "Events that count, in all the time that the objective looks back.",
    ));
    for ObjectiveReading { name, verdict, .. } in objectives {
        let counts = verdict.window.counts;
        for (class, count) in [("good", counts.good), ("bad", counts.bad)] {
            sheet.sample(&[("objective", name), ("class", class)], count);
        }
    }
    sheet.family(counter(
        "plimsoll_objective_outcomes",
        "",
        "Events that count, since this process began to count them.",
    ));
    for ObjectiveReading { name, counted, .. } in objectives {
        for (class, count) in [("good", counted.good), ("bad", counted.bad)] {
            sheet.sample(&[("objective", name), ("class", class)], count);
        }
    }
    sheet.family(gauge(
        "plimsoll_objective_budget_left_ratio",
        "ratio",
        "The share of the error budget that is left, less than 0 when it is overspent.",
    ));
    for ObjectiveReading { name, verdict, .. } in objectives {
        sheet.sample_if_known(&[("objective", name)], verdict.left());
    }
    sheet.family(gauge(
        "plimsoll_objective_burn",
        "",
        "How many times faster than it lasts the budget was spent in the window.",
    ));
    for ObjectiveReading { name, verdict, .. } in objectives {
        // Two rules may look at the same window.
        let windows: BTreeMap<_, _> = verdict
            .burns
            .iter()
            .flat_map(|(rule, burning)| [(rule.long, burning.long), (rule.short, burning.short)])
            .collect();
        for (window, burn) in windows {
            sheet.sample_if_known(&[("objective", name), ("window", &window_label(window))], burn);
        }
    }
    standing(sheet, objectives);
}

/// What follows from how they burn.
fn standing(sheet: &mut impl Sheet, objectives: &[ObjectiveReading]) {
    sheet.family(gauge(
        "plimsoll_objective_evidence_ratio",
        "ratio",
        "Evidence that more fails than may, over what is needed for a page.",
    ));
    for ObjectiveReading { name, verdict, .. } in objectives {
        sheet.sample(&[("objective", name)], verdict.evidence);
    }
    sheet.family(gauge(
        "plimsoll_objective_policy",
        "",
        "What may be risked: 1 for the rung that holds.",
    ));
    for ObjectiveReading { name, rung, .. } in objectives {
        for of in [Rung::Free, Rung::Careful, Rung::Restricted, Rung::Frozen] {
            sheet.sample(&[("objective", name), ("rung", of.word())], of == *rung);
        }
    }
    sheet.family(gauge(
        "plimsoll_objective_calls",
        "",
        "Whether the objective calls somebody, by how urgently.",
    ));
    for ObjectiveReading { name, verdict, .. } in objectives {
        for severity in [Severity::Ticket, Severity::Page] {
            let labels = [("objective", &**name), ("severity", severity.word())];
            sheet.sample(&labels, verdict.calls == Some(severity));
        }
    }
    sheet.family(gauge(
        "plimsoll_objective_coverage_ratio",
        "ratio",
        "The share of the time that the objective looks back in which anything was measured.",
    ));
    for ObjectiveReading { name, verdict, .. } in objectives {
        sheet.sample(&[("objective", name)], verdict.window.coverage());
    }
}

/// What became of journeys that count neither way.
pub(in crate::metrics) fn journeys(sheet: &mut impl Sheet, journeys: &[(Arc<str>, WalkReading)]) {
    sheet.family(gauge(
        "plimsoll_journeys_under_way",
        "",
        "Journeys that are not over.",
    ));
    for (objective, walks) in journeys {
        sheet.sample(&[("objective", objective)], walks.under_way);
    }
    sheet.family(counter(
        "plimsoll_journeys_uncounted",
        "",
        "Journeys that were left, and requests without a key or without room for their journey.",
    ));
    for (objective, walks) in journeys {
        let WalkReading {
            under_way: _,
            left,
            nameless,
            turned_away,
        } = *walks;
        for (why, count) in [("left", left), ("no-key", nameless), ("no-room", turned_away)] {
            sheet.sample(&[("objective", objective), ("why", why)], count);
        }
    }
}

/// What is committed and not seen yet.
pub(in crate::metrics) fn freshness(sheet: &mut impl Sheet, all: &[(Arc<str>, FreshnessReading)]) {
    sheet.family(gauge(
        "plimsoll_freshness_waiting",
        "",
        "Events that are committed, and neither seen nor due.",
    ));
    for (objective, fresh) in all {
        sheet.sample(&[("objective", objective)], fresh.waiting);
    }
    sheet.family(gauge(
        "plimsoll_freshness_oldest_seconds",
        "seconds",
        "How long the oldest of them has waited.",
    ));
    for (objective, fresh) in all {
        let oldest = fresh.oldest.map(|oldest| oldest.as_secs_f64());
        sheet.sample_if_known(&[("objective", objective)], oldest);
    }
    sheet.family(counter(
        "plimsoll_freshness_turned_away",
        "",
        "Events that were not waited for, because too many were.",
    ));
    for (objective, fresh) in all {
        sheet.sample(&[("objective", objective)], fresh.turned_away);
    }
}
