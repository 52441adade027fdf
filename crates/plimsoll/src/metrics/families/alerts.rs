//! Alerts and incidents, and whether people hear of them.

use plimsoll_slo::Severity;

use super::{counter, gauge};
use crate::metrics::sheet::Sheet;
use crate::reading::Reading;

/// What is open, and what is on its way.
pub(in crate::metrics) fn alerts(sheet: &mut impl Sheet, reading: &Reading) {
    sheet.family(gauge(
        "plimsoll_alerts_open",
        "",
        "Alerts that are open, by whom they call, silenced ones included.",
    ));
    for severity in [Severity::Ticket, Severity::Page] {
        let open = reading.alerts.iter().filter(|alert| alert.severity == severity);
        sheet.sample(&[("severity", severity.word())], open.count() as u64);
    }
    sheet.family(gauge(
        "plimsoll_alerts_silenced",
        "",
        "Open alerts that nobody is told of.",
    ));
    let silenced = reading.alerts.iter().filter(|alert| alert.is_silenced);
    sheet.sample(&[], silenced.count() as u64);
    sheet.family(gauge(
        "plimsoll_incidents_open",
        "",
        "Incidents that are not resolved.",
    ));
    sheet.sample(&[], reading.incidents.len() as u64);
    sheet.family(gauge(
        "plimsoll_alert_target_waiting",
        "",
        "Alerts that a target should know of and does not.",
    ));
    for target in &reading.targets {
        sheet.sample(&[("target", &target.name)], target.waiting as u64);
    }
    sheet.family(gauge(
        "plimsoll_alert_target_failing",
        "",
        "Whether a target did not take the last message.",
    ));
    for target in &reading.targets {
        sheet.sample(&[("target", &target.name)], target.failing.is_some());
    }
    sheet.family(gauge(
        "plimsoll_facts_unwritten",
        "",
        "Facts about alerts, incidents and what people did that are not written down yet.",
    ));
    sheet.sample(&[], reading.record.unwritten);
    sheet.family(counter(
        "plimsoll_facts_lost",
        "",
        "Such facts that never will be.",
    ));
    sheet.sample(&[], reading.record.lost);
}
