//! How failures were spread over routes, tiers, upstreams, versions and reasons in the last hour, by the minute: what those that
//! fail have in common is read from it when somebody is called.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use gateway::ledger::SeriesKey;
use gateway::plan::ObjectivePlan;
use plimsoll_slo::{Counts, Reason, stand_out};

use crate::reading::Series;
use crate::record::entry::StandsOut;

/// Minutes that are kept.
const MINUTES: usize = 61;
/// Values that are told of one dimension.
const TOLD_MAX: usize = 3;
/// Values that are shown of one dimension, and series with a reason of which that is remembered.
const SHOWN_MAX: usize = 8;
const REASONS_MAX: usize = 2_000;

/// What every series had counted at the beginning of each of the last minutes. At 16 bytes for each series and minute,
/// 4 MB for as many series as there can be.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    places: HashMap<SeriesKey, usize>,
    now: Vec<Counts>,
    /// Bad ones by reason, of those series that had any.
    reasons: BTreeMap<(usize, Reason), u64>,
    /// The oldest first; a series that came later is not there yet, and had counted nothing.
    minutes: VecDeque<At>,
}

/// What had been counted at the beginning of a minute.
#[derive(Debug)]
struct At {
    minute: u64,
    counts: Vec<Counts>,
    reasons: BTreeMap<(usize, Reason), u64>,
}

/// A part of what counts for an objective: what happened in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    /// `route`, `tier`, `upstream`, `version`, or `reason` of what failed.
    pub(crate) dimension: &'static str,
    pub(crate) value: String,
    /// Good and bad events; of a reason bad ones only.
    pub(crate) counts: Counts,
    /// Its share of all failures, and that over its share of all events; of a reason there is none.
    pub(crate) share: f64,
    pub(crate) lift: Option<f64>,
}

impl Spread {
    /// What the series have counted by now, in this minute since the Unix epoch.
    pub(crate) fn note(&mut self, minute: u64, series: &[Series]) {
        if self.minutes.back().is_none_or(|newest| newest.minute != minute) {
            self.minutes.push_back(At {
                minute,
                counts: self.now.clone(),
                reasons: self.reasons.clone(),
            });
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
            let of_reasons = Reason::ALL.iter().filter(|reason| tally.bad[reason.index()] > 0);
            for reason in of_reasons {
                if self.reasons.len() < REASONS_MAX || self.reasons.contains_key(&(place, *reason)) {
                    self.reasons.insert((place, *reason), tally.bad[reason.index()]);
                }
            }
        }
    }

    /// What stands out among the failures of an objective since this minute, or since the oldest that is known, the most
    /// telling first.
    pub(crate) fn stands_out(&self, objective: &ObjectivePlan, since: u64) -> Vec<StandsOut> {
        let gained = self.gained(objective, since);
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

    /// How what counts for an objective is made up since this minute, or since the oldest that is known: of each dimension
    /// the parts in which most failed first.
    pub(crate) fn breakdown(&self, objective: &ObjectivePlan, since: u64) -> Vec<Part> {
        let gained = self.gained(objective, since);
        let of_all = gained
            .iter()
            .fold(Counts::default(), |sum, (_, counts)| add(sum, *counts));
        let share = |bad: u64| bad as f64 / of_all.bad.max(1) as f64;
        let mut parts = Vec::new();
        for (dimension, of) in DIMENSIONS {
            let values = by_value(of, &gained).into_iter().map(|(value, counts)| Part {
                dimension,
                value: value.to_owned(),
                counts,
                share: share(counts.bad),
                lift: (counts.total() > 0 && of_all.bad > 0)
                    .then(|| share(counts.bad) / (counts.total() as f64 / of_all.total() as f64)),
            });
            parts.extend(most_first(
                values.filter(|part| part.counts.total() > 0).collect(),
            ));
        }
        let reasons = self.gained_by_reason(objective, since).into_iter();
        let reasons = reasons.map(|(reason, bad)| Part {
            dimension: "reason",
            value: reason.code().to_owned(),
            counts: Counts { good: 0, bad },
            share: share(bad),
            lift: None,
        });
        parts.extend(most_first(reasons.collect()));
        parts
    }

    fn since(&self, minute: u64) -> Option<&At> {
        let mut minutes = self.minutes.iter();
        minutes.find(|at| at.minute >= minute).or(self.minutes.back())
    }

    fn gained(&self, objective: &ObjectivePlan, since: u64) -> Vec<(&SeriesKey, Counts)> {
        let Some(At { counts: before, .. }) = self.since(since) else {
            return Vec::new();
        };
        let counted = self.places.iter().filter(|(key, _)| counts_for(objective, key));
        counted
            .map(|(key, place)| {
                let before = before.get(*place).copied().unwrap_or_default();
                let now = self.now[*place];
                let gained = Counts {
                    good: now.good.saturating_sub(before.good),
                    bad: now.bad.saturating_sub(before.bad),
                };
                (key, gained)
            })
            .collect()
    }

    fn gained_by_reason(&self, objective: &ObjectivePlan, since: u64) -> BTreeMap<Reason, u64> {
        let mut gained = BTreeMap::new();
        let Some(At { reasons: before, .. }) = self.since(since) else {
            return gained;
        };
        let counted: HashSet<usize> = self
            .places
            .iter()
            .filter(|(key, _)| counts_for(objective, key))
            .map(|(_, place)| *place)
            .collect();
        for (at, bad) in self
            .reasons
            .iter()
            .filter(|((place, _), _)| counted.contains(place))
        {
            let more = bad.saturating_sub(before.get(at).copied().unwrap_or_default());
            if more > 0 {
                *gained.entry(at.1).or_default() += more;
            }
        }
        gained
    }
}

fn add(a: Counts, b: Counts) -> Counts {
    Counts {
        good: a.good + b.good,
        bad: a.bad + b.bad,
    }
}

fn most_first(mut parts: Vec<Part>) -> Vec<Part> {
    parts.sort_by_key(|part| std::cmp::Reverse((part.counts.bad, part.counts.good)));
    parts.truncate(SHOWN_MAX);
    parts
}

type Of = fn(&SeriesKey) -> &str;

const DIMENSIONS: [(&str, Of); 4] = [
    ("route", |key| &key.route),
    ("tier", |key| &key.tier),
    ("upstream", |key| &key.upstream),
    ("version", |key| &key.version),
];

fn by_value<'a>(of: Of, gained: &[(&'a SeriesKey, Counts)]) -> BTreeMap<&'a str, Counts> {
    gained.iter().fold(BTreeMap::new(), |mut values, (key, counts)| {
        let sum = values.entry(of(key)).or_default();
        *sum = add(*sum, *counts);
        values
    })
}

fn one_dimension(dimension: &str, of: Of, gained: &[(&SeriesKey, Counts)]) -> Vec<StandsOut> {
    let (names, counts): (Vec<_>, Vec<_>) = by_value(of, gained).into_iter().unzip();
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
    use plimsoll_slo::{Class, Tally};

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
    #[test]
    fn a_breakdown_has_everything_that_happened_and_the_reasons_of_what_failed() {
        let mut spread = Spread::default();
        spread.note(100, &series(&[("pay", "gold", 50, 50)]));
        let now = [
            ("pay", "gold", 150, 60),
            ("read", "silver", 300, 0),
            ("other", "gold", 9, 9),
        ];
        spread.note(101, &series(&now));
        let parts = spread.breakdown(&objective(None), 101);
        let told: Vec<_> = parts
            .iter()
            .map(|part| {
                let lift = part.lift.map(|lift| (10.0 * lift).round() / 10.0);
                (
                    part.dimension,
                    &*part.value,
                    part.counts.bad,
                    part.counts.total(),
                    lift,
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("route", "pay", 10, 110, Some(3.7)),
                ("route", "read", 0, 300, Some(0.0)),
                ("tier", "gold", 10, 110, Some(3.7)),
                ("tier", "silver", 0, 300, Some(0.0)),
                ("upstream", "orders", 10, 410, Some(1.0)),
                ("version", "stable", 10, 410, Some(1.0)),
                ("reason", "upstream-reset", 10, 10, None),
            ]
        );
        assert_eq!(Spread::default().breakdown(&objective(None), 0), []);
    }
}
