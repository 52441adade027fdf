//! Journeys of users: several requests that are one event of an objective. Here one is called a walk, since a journey in
//! [`journeys`](crate::journeys) is what a single request brings along.
//!
//! A walk is known by what its requests have in common, its key. It is bad as soon as one of them is, and good when its last
//! route has served it; in both cases it counts once. Whoever leaves on the way, and has met nothing bad, counts neither
//! way: nobody knows why.
//!
//! ```text
//!            served            the last one served
//!   (none) ────────> on its way ─────────────────> good, and over
//!      │                 │  └── longer than it may take ──> left
//!      └───── bad ───────┴────> bad ── the last one served ──> over
//! ```
//!
//! **Bounds.** [`WALKS_MAX`] of one objective are remembered, by all cores together. One more is not, and is told; if it is
//! bad, that counts. What is remembered is a hash, when it began, and whether it is bad: some 50 bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plimsoll_policy::hash_key;
use plimsoll_slo::Instant;

use crate::fields::Fields;
use crate::identity::Trace;
use crate::plan::WalkKey;

/// Walks of one objective that are remembered at once.
pub const WALKS_MAX: usize = 65_536;
/// Cores seldom meet in one.
const SHARDS: usize = 16;

/// The walks of one objective.
#[derive(Debug)]
pub(crate) struct Walks {
    /// How long one may take.
    within: Duration,
    shards: [Mutex<Shard>; SHARDS],
    left: AtomicU64,
    nameless: AtomicU64,
    turned_away: AtomicU64,
}

/// What became of walks that count neither way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalkReading {
    /// Those that are on their way, or bad and not over.
    pub under_way: u64,
    /// Those that did not come to their end in time, and met nothing bad.
    pub left: u64,
    /// Requests without a key: nobody knows which walk they belong to.
    pub nameless: u64,
    /// Requests that could not begin one, because too many are under way.
    pub turned_away: u64,
}

/// Which walk a request belongs to: a hash, and none of one that does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) Option<u64>);

/// What a request is for its walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Bad,
    /// It was served, and the walk goes on.
    Served,
    /// It was served, and the walk is at its end.
    Ended,
}

#[derive(Debug, Default)]
struct Shard {
    known: HashMap<u64, Walk>,
    /// When each began, the oldest first; of those that are over as well.
    order: VecDeque<(Instant, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Walk {
    began: Instant,
    is_bad: bool,
}

impl Walks {
    pub(crate) fn new(within: Duration) -> Self {
        Self {
            within,
            shards: std::array::from_fn(|_| Mutex::default()),
            left: AtomicU64::new(0),
            nameless: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
        }
    }

    /// A request of the walk with this name: whether the walk counts by it, and as good.
    pub(crate) fn step(&self, now: Instant, name: Name, step: Step) -> Option<bool> {
        let Name(Some(key)) = name else {
            self.nameless.fetch_add(1, Relaxed);
            return None;
        };
        let mut shard = lock(&self.shards[key as usize % SHARDS]);
        self.forget_old(&mut shard, now);
        let known = shard.known.get(&key).map(|walk| walk.is_bad);
        match (known, step) {
            (Some(true), Step::Ended) => {
                shard.known.remove(&key);
                None
            }
            (Some(true), Step::Bad | Step::Served) | (Some(false), Step::Served) => None,
            (Some(false), Step::Bad) => {
                shard.known.entry(key).and_modify(|walk| walk.is_bad = true);
                Some(false)
            }
            (Some(false), Step::Ended) => {
                shard.known.remove(&key);
                Some(true)
            }
            // All of it is this one request.
            (None, Step::Ended) => Some(true),
            (None, Step::Bad | Step::Served) => {
                let is_bad = step == Step::Bad;
                if !shard.begin(key, Walk { began: now, is_bad }) {
                    self.turned_away.fetch_add(1, Relaxed);
                }
                is_bad.then_some(false)
            }
        }
    }

    fn forget_old(&self, shard: &mut Shard, now: Instant) {
        while let Some((began, key)) = shard.order.front().copied()
            && now.since(began) >= self.within
        {
            shard.order.pop_front();
            // Another one may have begun under the same key since.
            if let Some(walk) = shard.known.get(&key).filter(|walk| walk.began == began) {
                self.left.fetch_add(u64::from(!walk.is_bad), Relaxed);
                shard.known.remove(&key);
            }
        }
    }

    /// What became of walks by now.
    pub(crate) fn reading(&self, now: Instant) -> WalkReading {
        let mut under_way = 0;
        for shard in &self.shards {
            let mut shard = lock(shard);
            self.forget_old(&mut shard, now);
            under_way += shard.known.len() as u64;
        }
        WalkReading {
            under_way,
            left: self.left.load(Relaxed),
            nameless: self.nameless.load(Relaxed),
            turned_away: self.turned_away.load(Relaxed),
        }
    }
}

impl Shard {
    /// Whether there was room for it.
    fn begin(&mut self, key: u64, walk: Walk) -> bool {
        if self.known.len() >= WALKS_MAX / SHARDS {
            return false;
        }
        // Most of what is in order may be over by now.
        if self.order.len() > 2 * self.known.len() + 64 {
            let known = &self.known;
            let is_known = |key: &u64, began| known.get(key).is_some_and(|walk| walk.began == began);
            self.order.retain(|(began, key)| is_known(key, *began));
        }
        self.order.push_back((walk.began, key));
        self.known.insert(key, walk);
        true
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The walk that a request belongs to.
pub(crate) fn name(key: &WalkKey, fields: &Fields, trace: &Trace) -> Name {
    Name(key_of(key, fields, trace))
}

/// A hash of what a request has in common with others by this key; `None` if it does not say.
pub(crate) fn key_of(key: &WalkKey, fields: &Fields, trace: &Trace) -> Option<u64> {
    if *key == WalkKey::Trace {
        return Some(hash_key(0, &[&trace.trace_id.to_be_bytes()]));
    }
    written_key(key, fields).map(|value| hash_key(0, &[value]))
}

/// The same as the caller has written it; a trace is no text.
pub(crate) fn written_key<'a>(key: &WalkKey, fields: &'a Fields) -> Option<&'a [u8]> {
    let named = match key {
        WalkKey::Trace => None,
        WalkKey::Header(name) => fields.named(name),
        WalkKey::Cookie(name) => cookie(fields, name),
    };
    named.filter(|value| !value.is_empty())
}

/// The value of a cookie. A request by HTTP/2 may have a field for each (RFC 9113, section 8.2.3).
fn cookie<'a>(fields: &'a Fields, name: &str) -> Option<&'a [u8]> {
    let mut crumbs = fields
        .all_named(&http::header::COOKIE)
        .flat_map(|value| value.split(|byte| *byte == b';'));
    crumbs.find_map(|crumb| {
        crumb
            .trim_ascii()
            .strip_prefix(name.as_bytes())?
            .strip_prefix(b"=")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(1_000_000_000 * seconds)
    }

    #[test]
    fn a_walk_counts_once_however_it_goes() {
        use Step::{Bad, Ended, Served};
        let walks = Walks::new(Duration::from_mins(1));
        for (steps, counted) in [
            (&[Served, Served, Ended][..], &[None, None, Some(true)][..]),
            (&[Ended], &[Some(true)]),
            (&[Served, Bad, Bad, Served], &[None, Some(false), None, None]),
            // Whoever tries again and gets there was hurt nevertheless; the next time is another walk.
            (
                &[Bad, Ended, Served, Ended],
                &[Some(false), None, None, Some(true)],
            ),
            (&[Bad, Ended, Bad], &[Some(false), None, Some(false)]),
        ] {
            let key = Name(Some(hash_key(0, &[format!("{steps:?}").as_bytes()])));
            let found: Vec<_> = steps.iter().map(|step| walks.step(at(1), key, *step)).collect();
            assert_eq!(found, counted, "{steps:?}");
        }
        assert_eq!(walks.step(at(2), Name(None), Ended), None);
        let reading = walks.reading(at(2));
        assert_eq!((reading.under_way, reading.left, reading.nameless), (2, 0, 1));
    }

    #[test]
    fn whoever_leaves_counts_neither_way_and_may_come_again() {
        let walks = Walks::new(Duration::from_mins(1));
        let step = |second, key, step| walks.step(at(second), Name(Some(key)), step);
        assert_eq!(step(0, 16, Step::Served), None);
        assert_eq!(step(0, 32, Step::Bad), Some(false));
        assert_eq!(step(59, 16, Step::Served), None, "it is the same one");
        // It began anew under the same key, and what is over of it is not it.
        assert_eq!(step(60, 16, Step::Served), None);
        assert_eq!(
            (walks.reading(at(60)).left, walks.reading(at(60)).under_way),
            (1, 1)
        );
        assert_eq!(step(61, 16, Step::Ended), Some(true));
        assert_eq!(
            walks.reading(at(200)),
            WalkReading {
                left: 1,
                ..WalkReading::default()
            }
        );
        // A bad one that nobody ended is no more either, and the next bad one counts again.
        assert_eq!(step(200, 32, Step::Bad), Some(false));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_bad_counts_anyway() {
        let walks = Walks::new(Duration::from_mins(1));
        let keys =
            |from: u64, count: u64| (from..from + count).map(|number| Name(Some(number * SHARDS as u64)));
        let room = (WALKS_MAX / SHARDS) as u64;
        keys(0, room).for_each(|key| _ = walks.step(at(0), key, Step::Served));
        for key in keys(room, 10) {
            assert_eq!(walks.step(at(1), key, Step::Bad), Some(false));
        }
        let reading = walks.reading(at(1));
        assert_eq!((reading.under_way, reading.turned_away), (room, 10));
        // As many as like come and go.
        for key in keys(0, room) {
            assert_eq!(walks.step(at(2), key, Step::Ended), Some(true));
        }
        for round in 0..10 {
            for key in keys(round * room, room) {
                walks.step(at(3), key, Step::Served);
                walks.step(at(3), key, Step::Ended);
            }
        }
        assert!(lock(&walks.shards[0]).order.len() <= 2 * room as usize);
        assert_eq!(walks.reading(at(3)).turned_away, 10);
    }
}
