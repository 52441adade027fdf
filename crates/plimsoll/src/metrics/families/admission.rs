//! Adaptive limits, and what waits or was shed at them.

use gateway::admission::AdmissionReading;
use plimsoll_policy::{Pressure, Priority, ShedWhy};

use super::{Column, counter, gauge};
use crate::metrics::sheet::Sheet;
use crate::reading::UpstreamReading;

const ADMISSION: [Column<AdmissionReading>; 5] = [
    (
        gauge(
            "plimsoll_admission_busy",
            "",
            "Requests that the upstream works on: without those that wait for a dependency or their caller.",
        ),
        |a| a.busy.into(),
    ),
    (
        gauge(
            "plimsoll_admission_bound",
            "",
            "Whether the adaptive limit holds requests off, since some waited inside the upstream.",
        ),
        |a| (a.pressure == Pressure::Bound).into(),
    ),
    (
        gauge("plimsoll_admission_waiting", "", "Requests that wait for a slot."),
        |a| a.waiting.into(),
    ),
    (
        gauge(
            "plimsoll_admission_waiting_inside",
            "",
            "Of those at work, how many wait inside the upstream, estimated.",
        ),
        |a| a.inside.into(),
    ),
    (
        gauge(
            "plimsoll_admission_usual_seconds",
            "seconds",
            "What a request usually takes the upstream itself; 0 while that is not known.",
        ),
        |a| a.usual.unwrap_or_default().as_secs_f64().into(),
    ),
];

/// Adaptive limits, and what was shed at them.
pub(super) fn families(sheet: &mut impl Sheet, upstreams: &[UpstreamReading]) {
    let limited = || {
        upstreams.iter().filter_map(|upstream| {
            Some((
                &*upstream.name,
                upstream.admission.as_ref()?,
                upstream.in_flight_max,
            ))
        })
    };
    for (family, value) in ADMISSION {
        sheet.family(family);
        for (name, reading, _) in limited() {
            sheet.sample(&[("upstream", name)], value(reading));
        }
    }
    sheet.family(gauge(
        "plimsoll_admission_limit",
        "",
        "How many requests the upstream may work on; that of the bulkhead while the limit is out of the way.",
    ));
    for (name, reading, in_flight_max) in limited() {
        sheet.sample(&[("upstream", name)], reading.limit.unwrap_or(in_flight_max));
    }
    sheet.family(counter(
        "plimsoll_admission_shed",
        "",
        "Requests shed at the adaptive limit, by how much they mattered and why it was them.",
    ));
    for (name, reading, _) in limited() {
        for priority in Priority::ALL {
            for why in ShedWhy::ALL {
                let labels = [
                    ("upstream", name),
                    ("priority", priority.word()),
                    ("why", why.word()),
                ];
                sheet.sample(&labels, reading.shed[priority as usize][why as usize]);
            }
        }
    }
}
