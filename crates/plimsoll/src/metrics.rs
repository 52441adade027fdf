//! The metrics, and the page of them: OpenMetrics 1.0 for those who ask for it, Prometheus text 0.0.4 for all others.
//!
//! They are written from one [`Scrape`] each time somebody asks. There is no registry and no global state, so
//! a metric that is not in [`families`] does not exist, and a series that is gone from the reading is gone from the
//! page. `docs/src/telemetry.md` has a row for every family; a test compares the two.

mod families;
#[cfg(test)]
pub(crate) mod grammar;
pub(crate) mod sheet;
#[cfg(test)]
mod tests;
mod text;

use std::time::Duration;

use crate::accept::{self, Offer};
use crate::exemplars::Exemplars;
use crate::history::Window;
use crate::reading::{Reading, TelemetryReading};
use crate::saturation::Saturation;

use self::sheet::Sheet;
pub(crate) use self::text::Format;

/// Upper bounds of the latency buckets.
///
/// They hold every bound of the Prometheus client libraries' default and every bound that OpenTelemetry advises for
/// `http.server.request.duration`, so that a rule written for either works here. Below are 1 and 2.5 ms, because a
/// proxied cache is faster than 5 ms; between are 150, 200 and 300 ms, at which objectives are often set; above
/// is 30 s, where most clients give up. Counts are of whole buckets of the ledger's histogram: a latency that is less
/// than 1/64 below a bound may be counted one bucket too high, never one too low.
pub(crate) const BOUNDS: [Duration; 20] = [
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(75),
    Duration::from_millis(100),
    Duration::from_millis(150),
    Duration::from_millis(200),
    Duration::from_millis(250),
    Duration::from_millis(300),
    Duration::from_millis(500),
    Duration::from_millis(750),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_millis(7_500),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// Everything that is on the page.
#[derive(Debug)]
pub(crate) struct Scrape<'a> {
    pub(crate) reading: &'a Reading,
    /// The last ten seconds, for the quantiles.
    pub(crate) window: &'a Window,
    pub(crate) exemplars: &'a Exemplars,
    pub(crate) saturation: &'a Saturation,
    pub(crate) telemetry: TelemetryReading,
}

/// A window as Prometheus writes it: `5m`, `6h`, `3d`.
pub(crate) fn window_label(window: Duration) -> String {
    let minutes = window.as_secs() / 60;
    match (minutes % 1_440, minutes % 60) {
        (0, _) => format!("{}d", minutes / 1_440),
        (_, 0) => format!("{}h", minutes / 60),
        _ => format!("{minutes}m"),
    }
}

/// The page.
pub(crate) fn page(scrape: &Scrape<'_>, format: Format) -> String {
    let mut page = text::Page::new(format);
    write(scrape, &mut page);
    page.finish()
}

/// Writes every family that there is something to say of.
pub(crate) fn write(scrape: &Scrape<'_>, sheet: &mut impl Sheet) {
    families::objectives(sheet, &scrape.reading.objectives);
    families::journeys(sheet, &scrape.reading.journeys);
    families::freshness(sheet, &scrape.reading.freshness);
    families::alerts(sheet, scrape.reading);
    families::traffic(sheet, scrape);
    families::client_errors(sheet, &scrape.reading.watched.rises);
    families::kpis(sheet, &scrape.reading.watched.falls);
    families::hedges(sheet, &scrape.reading.hedges);
    families::upstreams(sheet, &scrape.reading.upstreams);
    families::plimsoll(sheet, scrape);
    families::process(sheet, scrape.saturation);
}

/// The format that the caller would rather have, by its `Accept`.
pub(crate) fn negotiate(accept: Option<&str>) -> Format {
    const OFFERS: [Offer; 2] = [
        Offer {
            kind: "text",
            subtype: "plain",
            versions: &["0.0.4"],
        },
        Offer {
            kind: "application",
            subtype: "openmetrics-text",
            versions: &["1.0.0", "0.0.1"],
        },
    ];
    if accept::choose(accept, &OFFERS) == 1 {
        Format::OpenMetrics
    } else {
        Format::Prometheus
    }
}
