//! What has no target, and is watched: how many callers are told that they are at fault, and figures of the business.

use std::sync::Arc;

use gateway::objectives::WalkReading;
use plimsoll_slo::{Falling, FreshnessReading, Rising};

use super::json::record;
use crate::civil;
use crate::reading::{FallReading, RiseReading};

record! {
    /// How many callers a route told in the last ten minutes that they are at fault, each once a minute.
    pub(crate) struct ClientErrors {
        listener: String,
        route: String,
        callers: u64,
        /// Of those and of requests that were not; absent if there were none.
        share: Option<f64>,
        /// The share in the day before; absent while too little is known.
        usual: Option<f64>,
        /// That it has risen, over what is needed to say so.
        evidence: f64,
        /// Whether it has risen, by what is more than chance, and since when.
        has_risen: bool,
        began: Option<String>,
    }

    /// What became of the journeys of an objective that count neither way, since the start.
    pub(crate) struct Journey {
        objective: String,
        under_way: u64,
        /// Those that did not come to their end in time, and met nothing bad.
        left: u64,
        /// Requests that do not say which journey they belong to, and requests that could not begin one for want of room.
        no_key: u64,
        no_room: u64,
    }

    /// What an objective about freshness waits for.
    pub(crate) struct Unseen {
        objective: String,
        /// Events that are committed, and neither seen nor due.
        waiting: u64,
        oldest_seconds: Option<f64>,
        /// Events that were not waited for, because too many were; since the start.
        turned_away: u64,
    }

    /// A figure of the business.
    pub(crate) struct Kpi {
        name: String,
        /// `rate`, good events in a minute, or `share`, of good ones.
        measure: String,
        vantage: String,
        /// What it is in the last ten minutes; absent if nothing was measured, or of a share if nothing happened.
        present: Option<f64>,
        /// What is usual at this time, and the least that is no fall; absent while too little is known.
        usual: Option<f64>,
        least: Option<f64>,
        /// When it is known what is usual, if that is not yet so.
        known_from: Option<String>,
        /// That it has fallen, over what is needed to say so.
        evidence: f64,
        /// Whether it has fallen, by what is more than chance, and since when.
        has_fallen: bool,
        began: Option<String>,
        /// The same in one sentence.
        says: String,
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

pub(super) fn journey((objective, walks): &(Arc<str>, WalkReading)) -> Journey {
    let WalkReading {
        under_way,
        left,
        nameless,
        turned_away,
    } = *walks;
    Journey {
        objective: objective.to_string(),
        under_way,
        left,
        no_key: nameless,
        no_room: turned_away,
    }
}

pub(super) fn unseen((objective, fresh): &(Arc<str>, FreshnessReading)) -> Unseen {
    Unseen {
        objective: objective.to_string(),
        waiting: fresh.waiting,
        oldest_seconds: fresh.oldest.map(|oldest| oldest.as_secs_f64()),
        turned_away: fresh.turned_away,
    }
}

impl Kpi {
    pub(crate) fn of(reading: &FallReading) -> Self {
        let Falling {
            usual,
            allowed,
            present,
            evidence,
            began,
            known_from,
        } = reading.falling;
        let moment = |minute: u64| civil::moment(60_000 * minute);
        Self {
            name: reading.name.to_string(),
            measure: reading.word().to_owned(),
            vantage: reading.vantage.to_owned(),
            present,
            usual,
            least: allowed,
            known_from: known_from.filter(|_| usual.is_none()).map(moment),
            evidence,
            has_fallen: reading.falling.suffices(),
            began: began.map(moment),
            says: reading.sentence(),
        }
    }
}
