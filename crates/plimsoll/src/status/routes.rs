//! What routes do beside carrying: hedge.

use gateway::hedging::HedgeReading;
use plimsoll_policy::NoHedge;

use super::{Count, Hedging};

pub(super) fn hedging(reading: &HedgeReading) -> Hedging {
    let [won, lost, failed, abandoned] = reading.ended;
    let refused = NoHedge::LATE.iter().zip(reading.refused);
    let refused = refused.filter(|(_, count)| *count > 0).map(|(why, count)| Count {
        reason: why.word().to_owned(),
        count,
    });
    Hedging {
        listener: reading.listener.to_string(),
        route: reading.route.to_string(),
        after_ms: reading.after.map(|after| after.as_secs_f64() * 1000.0),
        won,
        lost,
        failed,
        abandoned,
        refused: refused.collect(),
    }
}
