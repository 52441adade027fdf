//! What routes do beside carrying: hedge, and tell callers that they are at fault.

use gateway::hedging::HedgeReading;
use plimsoll_policy::NoHedge;
use plimsoll_slo::Rising;

use super::{ClientErrors, Count, Hedging};
use crate::civil;
use crate::reading::RiseReading;

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

/// Nothing of routes of which nothing is known.
pub(super) fn client_errors(reading: &RiseReading) -> Option<ClientErrors> {
    let (listener, route) = reading.route();
    let Rising {
        usual,
        present,
        evidence,
        began,
    } = reading.rising;
    let is_known = usual.is_some() || present.total() > 0;
    is_known.then(|| ClientErrors {
        listener: listener.to_owned(),
        route: route.to_owned(),
        callers: present.bad,
        share: present.bad_share(),
        usual,
        evidence,
        has_risen: reading.rising.suffices(),
        began: began.map(|minute| civil::moment(60_000 * minute)),
    })
}
