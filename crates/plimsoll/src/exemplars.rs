//! For each number on the metrics page a request that is behind it: its trace and its id.
//!
//! Per series there is at most one exemplar for each latency bucket, and the latest bad requests. A bucket's
//! exemplar is the latest; but a bad one is not replaced by a good one for a minute, because whoever looks at a
//! bucket looks for what went wrong. The slowest request is therefore the one in the highest bucket.
//!
//! Fed from the events that the gateway tells, all of which leave a trace.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use gateway::event::Event;
use gateway::ledger::{SERIES_MAX, SeriesKey};
use plimsoll_slo::{Class, Reason};

use crate::metrics::BOUNDS;

/// One for each bound, and one for the bucket without.
const BUCKETS: usize = BOUNDS.len() + 1;

/// Bad requests that are kept of a series.
const BAD_MAX: usize = 8;

/// How long a bad exemplar stands against good ones.
const BAD_KEPT: Duration = Duration::from_mins(1);

/// A request that stands for others like it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exemplar {
    pub(crate) trace_id: u128,
    pub(crate) request_id: Box<str>,
    pub(crate) latency: Duration,
    /// When it ended, since the Unix epoch.
    pub(crate) at: Duration,
    /// Why it was bad, if it was.
    pub(crate) bad: Option<Reason>,
}

/// The exemplars of all series.
#[derive(Debug, Default)]
pub(crate) struct Exemplars {
    series: HashMap<SeriesKey, Box<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    buckets: [Option<Exemplar>; BUCKETS],
    /// The latest last.
    bad: VecDeque<Exemplar>,
}

impl Exemplars {
    /// Takes notice of a request. Those that count neither way are not on the page, so neither are they.
    pub(crate) fn note(&mut self, event: &Event) {
        let bad = match event.outcome.class {
            Class::Good => None,
            Class::Bad(reason) => Some(reason),
            Class::Excluded(_) => return,
        };
        let key = SeriesKey {
            listener: event.listener.clone(),
            route: event.route.clone(),
            tier: event.tier.clone(),
            upstream: event.upstream.clone(),
            version: event.version.clone(),
        };
        if self.series.len() >= SERIES_MAX && !self.series.contains_key(&key) {
            return;
        }
        let latency = event.outcome.latency;
        let exemplar = Exemplar {
            trace_id: event.trace.trace_id,
            request_id: event.request_id.clone(),
            latency,
            at: event.began + latency,
            bad,
        };
        let kept = self.series.entry(key).or_default();
        if bad.is_some() {
            if kept.bad.len() == BAD_MAX {
                kept.bad.pop_front();
            }
            kept.bad.push_back(exemplar.clone());
        }
        let bucket = &mut kept.buckets[BOUNDS.partition_point(|bound| *bound < latency)];
        let stands = |old: &Exemplar| old.bad.is_some() && bad.is_none() && exemplar.at < old.at + BAD_KEPT;
        if !bucket.as_ref().is_some_and(stands) {
            *bucket = Some(exemplar);
        }
    }

    /// The exemplar of the bucket at this place of [`BOUNDS`], or of the one after the last.
    pub(crate) fn of_bucket(&self, key: &SeriesKey, bucket: usize) -> Option<&Exemplar> {
        self.series.get(key)?.buckets.get(bucket)?.as_ref()
    }

    /// The latest request of a series that was bad.
    pub(crate) fn latest_bad(&self, key: &SeriesKey) -> Option<&Exemplar> {
        self.series.get(key)?.bad.back()
    }

    /// The latest bad requests of every series.
    pub(crate) fn bad(&self) -> impl Iterator<Item = (&SeriesKey, &Exemplar)> {
        self.series
            .iter()
            .flat_map(|(key, kept)| kept.bad.iter().map(move |bad| (key, bad)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::sample::{event, key};

    fn note(exemplars: &mut Exemplars, id: &str, class: Class, millis: u64, second: u64) {
        let mut event = event(class, millis);
        event.request_id = id.into();
        event.began = Duration::from_secs(second);
        exemplars.note(&event);
    }

    #[test]
    fn a_bucket_keeps_the_latest_and_a_bad_one_for_a_minute() {
        let mut exemplars = Exemplars::default();
        let bad = Class::Bad(Reason::UpstreamReset);
        let of = |exemplars: &Exemplars, bucket| {
            exemplars
                .of_bucket(&key("pay", "gold"), bucket)
                .map(|e| e.request_id.to_string())
        };
        note(&mut exemplars, "a", Class::Good, 60, 1);
        note(&mut exemplars, "b", Class::Good, 70, 2);
        assert_eq!(
            of(&exemplars, 6).as_deref(),
            Some("b"),
            "75 ms is the seventh bound"
        );
        note(&mut exemplars, "c", bad, 60, 3);
        note(&mut exemplars, "d", Class::Good, 60, 62);
        assert_eq!(of(&exemplars, 6).as_deref(), Some("c"));
        note(&mut exemplars, "e", Class::Good, 60, 64);
        assert_eq!(of(&exemplars, 6).as_deref(), Some("e"));
        note(&mut exemplars, "f", Class::Excluded(Reason::ClientClosed), 60, 65);
        assert_eq!(
            of(&exemplars, 6).as_deref(),
            Some("e"),
            "what is not counted is no example"
        );
        note(&mut exemplars, "g", Class::Good, 40_000, 66);
        assert_eq!(of(&exemplars, 20).as_deref(), Some("g"), "beyond every bound");
        let latest = exemplars.latest_bad(&key("pay", "gold")).unwrap();
        assert_eq!(
            (&*latest.request_id, latest.bad),
            ("c", Some(Reason::UpstreamReset))
        );
    }

    #[test]
    fn a_latency_on_the_bound_belongs_to_it() {
        let mut exemplars = Exemplars::default();
        note(&mut exemplars, "a", Class::Good, 75, 1);
        assert!(exemplars.of_bucket(&key("pay", "gold"), 6).is_some());
    }

    #[test]
    fn series_are_bounded() {
        let mut exemplars = Exemplars::default();
        for number in 0..SERIES_MAX + 10 {
            let mut event = event(Class::Good, 1);
            event.route = number.to_string().into();
            exemplars.note(&event);
        }
        assert_eq!(exemplars.series.len(), SERIES_MAX);
    }
}
