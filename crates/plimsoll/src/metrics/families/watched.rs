//! What has no target, and is watched.

use plimsoll_slo::{Falling, Rising};

use super::gauge;
use crate::metrics::sheet::{Family, Sheet};
use crate::reading::{FallReading, RiseReading};

/// What is said of a share.
type ShareOf = fn(&Rising) -> Option<f64>;

/// How many callers routes blame. What is not known has no sample.
pub(in crate::metrics) fn client_errors(sheet: &mut impl Sheet, rises: &[RiseReading]) {
    let families: [(Family, ShareOf); 3] = [
        (
            gauge(
                "plimsoll_client_errors_ratio",
                "ratio",
                "Of what was answered in the last ten minutes the share that told a caller that it is at fault.",
            ),
            |rising| rising.present.bad_share(),
        ),
        (
            gauge(
                "plimsoll_client_errors_usual_ratio",
                "ratio",
                "The same in the day before.",
            ),
            |rising| rising.usual,
        ),
        (
            gauge(
                "plimsoll_client_errors_evidence_ratio",
                "ratio",
                "Evidence that it has risen, over what is needed for a ticket.",
            ),
            |rising| rising.usual.map(|_| rising.evidence),
        ),
    ];
    for (family, value) in families {
        let samples = rises.iter().map(|rise| {
            let (listener, route) = rise.route();
            ([("listener", listener), ("route", route)], value(&rise.rising))
        });
        known(sheet, family, samples);
    }
}

/// A family of which every sample has two labels. What is not known has none.
fn known<'a>(
    sheet: &mut impl Sheet,
    family: Family,
    samples: impl Iterator<Item = ([(&'static str, &'a str); 2], Option<f64>)>,
) {
    sheet.family(family);
    for (labels, value) in samples {
        sheet.sample_if_known(&labels, value);
    }
}

/// What is said of a figure.
type FigureOf = fn(&Falling) -> Option<f64>;

/// Figures of the business. What is not known has no sample.
pub(in crate::metrics) fn kpis(sheet: &mut impl Sheet, falls: &[FallReading]) {
    let families: [(Family, FigureOf); 4] = [
        (
            gauge(
                "plimsoll_kpi",
                "",
                "A figure of the business in the last ten minutes: good events in a minute, or the share of good ones.",
            ),
            |falling| falling.present,
        ),
        (
            gauge(
                "plimsoll_kpi_usual",
                "",
                "What of it is usual at this time of the week.",
            ),
            |falling| falling.usual,
        ),
        (
            gauge("plimsoll_kpi_least", "", "The least of it that is no fall."),
            |falling| falling.allowed,
        ),
        (
            gauge(
                "plimsoll_kpi_evidence_ratio",
                "ratio",
                "Evidence that it has fallen, over what is needed for a ticket.",
            ),
            |falling| falling.usual.map(|_| falling.evidence),
        ),
    ];
    for (family, value) in families {
        let samples = falls.iter().map(|fall| {
            let labels = [("kpi", &*fall.name), ("measure", fall.word())];
            (labels, value(&fall.falling))
        });
        known(sheet, family, samples);
    }
}
