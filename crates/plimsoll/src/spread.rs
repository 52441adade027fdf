//! How failures were spread over routes, tiers, upstreams and versions in the last hour, by the minute: what those that
//! fail have in common is read from it when somebody is called.

use std::collections::{BTreeMap, HashMap, VecDeque};

use gateway::ledger::SeriesKey;
use gateway::plan::ObjectivePlan;
use plimsoll_slo::{Counts, stand_out};

use crate::reading::Series;
use crate::record::entry::StandsOut;

/// Minutes that are kept.
const MINUTES: usize = 61;
/// Values that are told of one dimension.
const TOLD_MAX: usize = 3;

/// What every series had counted at the beginning of each of the last minutes. At 16 bytes for each series and minute,
/// 4 MB for as many series as there can be.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    places: HashMap<SeriesKey, usize>,
    now: Vec<Counts>,
    /// The oldest first; a series that came later is not there yet, and had counted nothing.
    minutes: VecDeque<(u64, Vec<Counts>)>,
}

impl Spread {
    /// What the series have counted by now, in this minute since the Unix epoch.
    pub(crate) fn note(&mut self, minute: u64, series: &[Series]) {
        if self.minutes.back().is_none_or(|(newest, _)| *newest != minute) {
            self.minutes.push_back((minute, self.now.clone()));
            if self.minutes.len() > MINUTES {
                self.minutes.pop_front();
            }
        }
        for (key, tally) in series {
            let place = self.places.get(key).copied().unwrap_or_else(|| {
                self.now.push(Counts::default());
                self.places.insert(key.clone(), self.now.len() - 1);
                self.now.len() - 1
            });
            self.now[place] = Counts {
                good: tally.good,
                bad: tally.bad_total(),
            };
        }
    }

    /// What stands out among the failures of an objective since this minute, or since the oldest that is known, the most
    /// telling first.
    pub(crate) fn stands_out(&self, objective: &ObjectivePlan, since: u64) -> Vec<StandsOut> {
        let Some((_, before)) = self
            .minutes
            .iter()
            .find(|(minute, _)| *minute >= since)
            .or(self.minutes.back())
        else {
            return Vec::new();
        };
        let gained: Vec<(&SeriesKey, Counts)> = self
            .places
            .iter()
            .filter(|(key, _)| counts_for(objective, key))
            .map(|(key, place)| {
                let before = before.get(*place).copied().unwrap_or_default();
                let now = self.now[*place];
                let gained = Counts {
                    good: now.good.saturating_sub(before.good),
                    bad: now.bad.saturating_sub(before.bad),
                };
                (key, gained)
            })
            .collect();
        let mut out: Vec<_> = DIMENSIONS
            .iter()
            .flat_map(|(dimension, of)| one_dimension(dimension, *of, &gained))
            .collect();
        out.sort_by(|a, b| {
            b.share
                .total_cmp(&a.share)
                .then_with(|| b.lift.total_cmp(&a.lift))
        });
        out
    }
}

type Of = fn(&SeriesKey) -> &str;

const DIMENSIONS: [(&str, Of); 4] = [
    ("route", |key| &key.route),
    ("tier", |key| &key.tier),
    ("upstream", |key| &key.upstream),
    ("version", |key| &key.version),
];

fn one_dimension(dimension: &str, of: Of, gained: &[(&SeriesKey, Counts)]) -> Vec<StandsOut> {
    let mut values: BTreeMap<&str, Counts> = BTreeMap::new();
    for (key, counts) in gained {
        let sum = values.entry(of(key)).or_default();
        sum.good += counts.good;
        sum.bad += counts.bad;
    }
    let (names, counts): (Vec<_>, Vec<_>) = values.into_iter().unzip();
    let out = stand_out(&counts).into_iter().take(TOLD_MAX);
    out.map(|(place, lift)| StandsOut {
        dimension: dimension.to_owned(),
        value: names[place].to_owned(),
        bad: lift.counts.bad,
        events: lift.counts.total(),
        share: lift.share,
        lift: lift.lift,
    })
    .collect()
}

/// Whether what a series counts counts for an objective.
pub(crate) fn counts_for(objective: &ObjectivePlan, key: &SeriesKey) -> bool {
    let mut routes = objective.routes.iter();
    routes.any(|(listener, route)| *listener == key.listener && *route == key.route)
        && objective.tier.as_ref().is_none_or(|tier| *tier == key.tier)
}

#[cfg(test)]
mod tests {
    use gateway::plan::Good;
    use plimsoll_slo::{Class, Reason, Tally};

    use super::*;
    use crate::reading::sample::{key, outcome};

    fn series(all: &[(&str, &str, u64, u64)]) -> Vec<Series> {
        let one = |(route, tier, good, bad): &(&str, &str, u64, u64)| {
            let tally = Tally::default();
            (0..*good).for_each(|_| tally.record(&outcome(Class::Good, 1, 1)));
            (0..*bad).for_each(|_| tally.record(&outcome(Class::Bad(Reason::UpstreamReset), 1, 1)));
            (key(route, tier), tally.snapshot())
        };
        all.iter().map(one).collect()
    }

    fn objective(tier: Option<&str>) -> ObjectivePlan {
        let listener = key("pay", "gold").listener;
        ObjectivePlan {
            name: "checkout".into(),
            routes: ["pay", "read"]
                .map(|route| (listener.clone(), route.into()))
                .to_vec(),
            tier: tier.map(Into::into),
            good: Good::Served { latency_max: None },
            walk: None,
        }
    }

    #[test]
    fn who_is_hurt_since_it_began_stands_out() {
        let mut spread = Spread::default();
        // Long ago silver customers had an outage, which is none of this.
        spread.note(
            100,
            &series(&[("pay", "gold", 100, 0), ("pay", "silver", 100, 90)]),
        );
        spread.note(
            160,
            &series(&[("pay", "gold", 200, 0), ("pay", "silver", 200, 90)]),
        );
        let now = [
            ("pay", "gold", 240, 60),
            ("pay", "silver", 700, 92),
            ("read", "gold", 500, 0),
            ("other", "gold", 0, 500),
        ];
        spread.note(162, &series(&now));
        spread.note(163, &series(&now));
        let out = spread.stands_out(&objective(None), 161);
        let told: Vec<_> = out
            .iter()
            .map(|one| (&*one.dimension, &*one.value, one.bad, one.events))
            .collect();
        assert_eq!(told, [("route", "pay", 62, 602), ("tier", "gold", 60, 600)]);
        assert!(out[0].lift > 1.5 && (out[0].share - 1.0).abs() < 1e-9);
        assert_eq!(spread.stands_out(&objective(Some("silver")), 161), []);
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let mut spread = Spread::default();
        assert_eq!(spread.stands_out(&objective(None), 0), []);
        (0..200).for_each(|minute| spread.note(minute, &series(&[("pay", "gold", minute, 0)])));
        assert_eq!(spread.minutes.len(), MINUTES);
        assert_eq!(spread.places.len(), 1);
    }
}
