//! Requests split between two versions, and what became of them.
//!
//! Which version a request gets is drawn anew for each, or by its key; either way it is a slot of [`SLOTS`], and those
//! below a boundary are the candidate's. The share is set by whoever decides, takes effect with the next request on every
//! core, and begins an epoch: what is counted is counted for the epoch and the version that were drawn, whenever it
//! ends, so that each epoch has one share.
//!
//! What counts is what the judge's comparison asks for: a request's first attempt, whether it failed, and whether the request was
//! slow. That the second attempt of a candidate's request goes to the stable version, so that a caller need not notice,
//! makes the first no better.
//!
//! **Bounds.** [`EPOCHS_MAX`] epochs, of some hundred bytes for each core; by keys, of 20 KiB.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::HeaderName;
use plimsoll_policy::{Dice, hash_key, slot};
use plimsoll_slo::{Arm, KeySlots, SLOTS, Seen, SlotSet};

use crate::fields::Fields;
use crate::identity::Trace;
use crate::ledger::SeriesId;
use crate::objectives;
use crate::plan::{Between, SplitPlan};

/// Epochs of one change: those of its steps, and of its probation.
pub const EPOCHS_MAX: usize = 64;

/// By which testers ask for a version.
static VERSION: HeaderName = HeaderName::from_static("x-plimsoll-version");

/// Words of a set of slots.
const WORDS: usize = SLOTS as usize / 64;

/// A split that runs. It stays when a reload has it go on.
#[derive(Debug)]
pub struct Split {
    /// What was asked for.
    pub plan: SplitPlan,
    /// What keys are drawn by.
    salt: u64,
    /// The epoch in the upper half, the boundary in the lower: read at once.
    drawn_by: AtomicU32,
    /// Failures of the candidate's that are left before it gets nothing more.
    fuse: AtomicU64,
    epochs: [OnceLock<Box<Epoch>>; EPOCHS_MAX],
    cores: usize,
}

#[derive(Debug)]
struct Epoch {
    boundary: u16,
    counted: Counted,
}

#[derive(Debug)]
enum Counted {
    Each(Box<[OnCore]>),
    Keys(Box<Keys>),
}

/// Apart, so that no core waits for another's cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct OnCore {
    stable: Counts,
    candidate: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    events: AtomicU64,
    failed: AtomicU64,
    slow: [AtomicU64; 3],
}

#[derive(Debug)]
struct Keys {
    seen: Bits,
    failed: Bits,
    slow: [Bits; 3],
}

#[derive(Debug)]
struct Bits([AtomicU64; WORDS]);

/// What was counted in an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochReading {
    /// Its number.
    pub epoch: usize,
    /// Slots below it were the candidate's.
    pub boundary: u16,
    /// What was seen.
    pub seen: SplitSeen,
}

/// What was seen in an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitSeen {
    /// Of requests.
    Each {
        /// Of the stable version.
        stable: Seen,
        /// Of the candidate.
        candidate: Seen,
    },
    /// Of keys.
    Keys(Box<KeySlots>),
}

/// The version that a request got.
#[derive(Clone, Copy, Debug)]
pub struct Assigned {
    /// Which one.
    pub arm: Arm,
    /// Its epoch and slot, if it counts.
    counts: Option<(usize, u16)>,
}

/// A split, as a route has it.
#[derive(Clone, Debug)]
pub(crate) struct RouteSplit {
    pub(crate) split: Arc<Split>,
    /// Index of the candidate into [`Running::upstreams`](crate::Running::upstreams).
    pub(crate) candidate: usize,
    /// Its series, by tier.
    pub(crate) series: Vec<SeriesId>,
}

impl Split {
    /// Nobody gets the candidate yet, on so many cores.
    pub fn new(plan: SplitPlan, cores: usize) -> Self {
        Self {
            salt: hash_key(0, &[plan.change.as_bytes()]),
            plan,
            drawn_by: AtomicU32::new(0),
            fuse: AtomicU64::new(u64::MAX),
            epochs: std::array::from_fn(|_| OnceLock::new()),
            cores,
        }
    }

    /// From now on the candidate gets so many slots of [`SLOTS`], in this epoch; what is over either bound is taken for
    /// it. An epoch keeps the boundary that it had first, but for 0: that cuts the candidate off, and counts no more.
    pub fn set(&self, epoch: usize, boundary: u16) {
        let (epoch, boundary) = (epoch.min(EPOCHS_MAX - 1), boundary.min(SLOTS));
        if boundary > 0 {
            self.epochs[epoch].get_or_init(|| Box::new(Epoch::new(boundary, &self.plan, self.cores)));
        }
        self.drawn_by
            .store((epoch as u32) << 16 | u32::from(boundary), Relaxed);
    }

    /// After so many more failures the candidate gets nothing, until the share is set again; `None` for however many there
    /// are. So whoever decides by what is counted, now and then, is not late.
    pub fn arm(&self, failures: Option<u64>) {
        self.fuse.store(failures.unwrap_or(u64::MAX), Relaxed);
    }

    /// A failure of the candidate's, in the epoch that runs.
    fn burn(&self, epoch: usize) {
        let burnt = |left: u64| (left != u64::MAX && left > 0).then(|| left - 1);
        if self.fuse.fetch_update(Relaxed, Relaxed, burnt) == Ok(1) && self.current().0 == epoch {
            self.drawn_by.store((epoch as u32) << 16, Relaxed);
        }
    }

    /// The epoch, and the slots of the candidate.
    pub fn current(&self) -> (usize, u16) {
        let drawn_by = self.drawn_by.load(Relaxed);
        ((drawn_by >> 16) as usize, drawn_by as u16)
    }

    /// What was counted so far, by epochs that have begun.
    pub fn readings(&self) -> Vec<EpochReading> {
        let begun = self.epochs.iter().enumerate();
        begun
            .filter_map(|(number, epoch)| Some(epoch.get()?.reading(number)))
            .collect()
    }

    /// The version for a request. Whoever may say so (`trusted`) asks for one by
    /// `X-Plimsoll-Version: candidate`, and does not count.
    pub(crate) fn assign(
        &self,
        fields: &Fields,
        trace: &Trace,
        trusted: bool,
        dice: &mut impl Dice,
    ) -> Assigned {
        if trusted && let Some(arm) = fields.named(&VERSION).and_then(named) {
            return Assigned { arm, counts: None };
        }
        let key = self.plan.key.as_ref();
        self.draw(key.map(|key| objectives::key_of(key, fields, trace)), dice)
    }

    /// The version for a request: by a hash of its key, if requests keep to a version by one, and by chance if it has none.
    pub fn draw(&self, key: Option<Option<u64>>, dice: &mut impl Dice) -> Assigned {
        let (epoch, boundary) = self.current();
        let slot = match key {
            Some(Some(key)) => hash_key(self.salt, &[&key.to_be_bytes()]) % u64::from(SLOTS),
            Some(None) | None => dice.below(u64::from(SLOTS)),
        } as u16;
        // What has no key cannot keep to a version, and says nothing about keys.
        let counts = boundary > 0 && key != Some(None);
        Assigned {
            arm: if slot < boundary {
                Arm::Candidate
            } else {
                Arm::Stable
            },
            counts: counts.then_some((epoch, slot)),
        }
    }

    /// Whether it is of a flag whose settings are told apart in the requests of this upstream.
    pub(crate) fn tells_apart(&self, upstream: &Arc<str>) -> bool {
        match &self.plan.between {
            Between::Flag { upstreams, .. } => upstreams.contains(upstream),
            Between::Versions { .. } => false,
        }
    }

    /// The setting of the flag that the service finds for a request: by its key, as every evaluator draws it. `None` if it
    /// has no key, or one that is no text, so that nobody can tell.
    pub(crate) fn setting(&self, fields: &Fields) -> Option<Assigned> {
        let (Between::Flag { bucketing, .. }, Some(key)) = (&self.plan.between, &self.plan.key) else {
            return None;
        };
        let key = std::str::from_utf8(objectives::written_key(key, fields)?).ok()?;
        let slot = slot(*bucketing, &self.plan.change, key, SLOTS.into()) as u16;
        let (epoch, boundary) = self.current();
        (boundary > 0).then_some(Assigned {
            arm: if slot < boundary {
                Arm::Candidate
            } else {
                Arm::Stable
            },
            counts: Some((epoch, slot)),
        })
    }

    /// Counts a request that is over: whether its first attempt failed, and how long it took, if that says something.
    ///
    /// # Panics
    /// If there is no such core.
    pub fn record(&self, core: usize, assigned: Assigned, failed: bool, took: Option<Duration>) {
        let Some((epoch, slot)) = assigned.counts else {
            return;
        };
        let (number, Some(epoch)) = (epoch, self.epochs[epoch].get()) else {
            return;
        };
        let slow = |place: usize| match (took, self.plan.slow) {
            (Some(took), Some(usual)) => took > usual[place],
            _ => false,
        };
        match &epoch.counted {
            Counted::Each(cores) => {
                let counts = match assigned.arm {
                    Arm::Stable => &cores[core].stable,
                    Arm::Candidate => &cores[core].candidate,
                };
                counts.events.fetch_add(1, Relaxed);
                if failed {
                    counts.failed.fetch_add(1, Relaxed);
                    if assigned.arm == Arm::Candidate {
                        self.burn(number);
                    }
                }
                for (place, count) in counts.slow.iter().enumerate() {
                    if slow(place) {
                        count.fetch_add(1, Relaxed);
                    }
                }
            }
            Counted::Keys(keys) => {
                if keys.seen.insert(slot) {
                    for (place, bits) in keys.slow.iter().enumerate() {
                        if slow(place) {
                            bits.insert(slot);
                        }
                    }
                }
                if failed && keys.failed.insert(slot) && assigned.arm == Arm::Candidate {
                    self.burn(number);
                }
            }
        }
    }
}

fn named(word: &[u8]) -> Option<Arm> {
    match word {
        b"stable" => Some(Arm::Stable),
        b"candidate" => Some(Arm::Candidate),
        _ => None,
    }
}

impl Epoch {
    fn new(boundary: u16, plan: &SplitPlan, cores: usize) -> Self {
        let counted = if plan.key.is_some() {
            Counted::Keys(Box::new(Keys {
                seen: Bits::none(),
                failed: Bits::none(),
                slow: std::array::from_fn(|_| Bits::none()),
            }))
        } else {
            Counted::Each((0..cores).map(|_| OnCore::default()).collect())
        };
        Self { boundary, counted }
    }

    fn reading(&self, epoch: usize) -> EpochReading {
        let seen = match &self.counted {
            Counted::Each(cores) => {
                let sum = |of: fn(&OnCore) -> &Counts| {
                    let all = cores.iter().map(|core| of(core).seen());
                    all.fold(Seen::default(), Seen::and)
                };
                SplitSeen::Each {
                    stable: sum(|core| &core.stable),
                    candidate: sum(|core| &core.candidate),
                }
            }
            Counted::Keys(keys) => SplitSeen::Keys(Box::new(KeySlots {
                seen: keys.seen.set(),
                failed: keys.failed.set(),
                slow: keys.slow.each_ref().map(Bits::set),
            })),
        };
        EpochReading {
            epoch,
            boundary: self.boundary,
            seen,
        }
    }
}

impl Counts {
    fn seen(&self) -> Seen {
        Seen {
            events: self.events.load(Relaxed),
            failed: self.failed.load(Relaxed),
            slow: self.slow.each_ref().map(|slow| slow.load(Relaxed)),
        }
    }
}

impl Bits {
    fn none() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    /// Whether it was not in it.
    fn insert(&self, slot: u16) -> bool {
        let (word, bit) = (&self.0[usize::from(slot / 64)], 1 << (slot % 64));
        // Reading first spares the cache line: most slots are in it soon.
        word.load(Relaxed) & bit == 0 && word.fetch_or(bit, Relaxed) & bit == 0
    }

    fn set(&self) -> SlotSet {
        let words = self.0.iter().map(|word| word.load(Relaxed));
        SlotSet::of_words(words).unwrap_or_default()
    }
}

/// The splits of a plan. Those that go on keep what they have counted.
pub(crate) fn build(plans: &[SplitPlan], cores: usize, old: Option<&[Arc<Split>]>) -> Vec<Arc<Split>> {
    let before = |plan: &SplitPlan| old?.iter().find(|split| split.plan == *plan).cloned();
    plans
        .iter()
        .map(|plan| before(plan).unwrap_or_else(|| Arc::new(Split::new(plan.clone(), cores))))
        .collect()
}

#[cfg(test)]
mod tests {
    use plimsoll_policy::SeededDice;

    use super::*;
    use crate::plan::WalkKey;

    fn split(key: Option<WalkKey>) -> Split {
        let plan = SplitPlan {
            change: "orders-1".into(),
            between: Between::Versions {
                stable: "orders".into(),
                candidate: "orders@v2".into(),
            },
            key,
            slow: Some([10, 20, 30].map(Duration::from_millis)),
        };
        Split::new(plan, 2)
    }

    fn assign(split: &Split, dice: &mut SeededDice) -> Assigned {
        let fields = Fields::default();
        let trace = Trace::of(&fields, dice, 0.0);
        split.assign(&fields, &trace, false, dice)
    }

    #[test]
    fn a_share_holds_from_the_next_request_on_and_what_is_counted_knows_its_epoch() {
        let split = split(None);
        let mut dice = SeededDice::new(1);
        let before = assign(&split, &mut dice);
        assert_eq!(before.arm, Arm::Stable);
        split.record(0, before, true, None);
        assert_eq!(split.readings(), [], "nobody was exposed, and nothing counts");

        split.set(0, SLOTS / 10);
        let slow = Some(Duration::from_millis(25));
        let early = assign(&split, &mut dice);
        let drawn: Vec<Assigned> = (0..10_000).map(|_| assign(&split, &mut dice)).collect();
        let candidates = drawn.iter().filter(|one| one.arm == Arm::Candidate).count();
        assert!((900..1_100).contains(&candidates), "{candidates}");
        for (place, one) in drawn.iter().enumerate() {
            split.record(place % 2, *one, one.arm == Arm::Candidate, None);
        }
        split.set(1, SLOTS);
        assert_eq!(assign(&split, &mut dice).arm, Arm::Candidate);
        // It began before, and is of the epoch in which it was drawn.
        split.record(1, early, false, slow);
        let readings = split.readings();
        assert_eq!(readings.len(), 2);
        let SplitSeen::Each { stable, candidate } = &readings[0].seen else {
            panic!("{readings:?}");
        };
        assert_eq!(
            (readings[0].boundary, stable.events + candidate.events),
            (SLOTS / 10, 10_001)
        );
        assert_eq!((candidate.failed, stable.failed), (candidates as u64, 0));
        assert_eq!(stable.slow, [1, 1, 0], "{early:?}");

        split.set(1, 0);
        assert_eq!(
            (assign(&split, &mut dice).arm, split.current()),
            (Arm::Stable, (1, 0))
        );
    }

    #[test]
    fn a_candidate_that_has_failed_often_enough_gets_nothing_more() {
        let split = split(None);
        let mut dice = SeededDice::new(1);
        split.set(0, SLOTS);
        split.arm(Some(3));
        let fail = |dice: &mut SeededDice| {
            let one = assign(&split, dice);
            split.record(0, one, one.arm == Arm::Candidate, None);
            one.arm
        };
        let arms: Vec<Arm> = (0..5).map(|_| fail(&mut dice)).collect();
        assert_eq!(
            arms,
            [
                Arm::Candidate,
                Arm::Candidate,
                Arm::Candidate,
                Arm::Stable,
                Arm::Stable
            ]
        );
        // Whoever decides may think otherwise; and what is late of an epoch before changes nothing.
        split.set(1, SLOTS);
        split.arm(Some(1));
        let early = Assigned {
            arm: Arm::Candidate,
            counts: Some((0, 7)),
        };
        split.record(0, early, true, None);
        assert_eq!(split.current(), (1, SLOTS));
        split.arm(None);
        (0..100).for_each(|_| _ = fail(&mut dice));
        assert_eq!(split.current(), (1, SLOTS));
    }

    #[test]
    fn a_key_keeps_to_its_version_and_counts_once() {
        let key = HeaderName::from_static("x-user");
        let split = split(Some(WalkKey::Header(key.clone())));
        let mut dice = SeededDice::new(1);
        let mut of = |user: &str, boundary: u16| {
            split.set(usize::from(boundary > SLOTS / 10), boundary);
            let mut map = http::HeaderMap::new();
            map.insert(key.clone(), user.parse().unwrap());
            let fields = Fields::from(&map);
            let trace = Trace::of(&fields, &mut dice, 0.0);
            split.assign(&fields, &trace, false, &mut dice)
        };
        let mut moved = 0;
        for user in 0..500 {
            let user = user.to_string();
            let early = of(&user, SLOTS / 10);
            assert_eq!(early.arm, of(&user, SLOTS / 10).arm);
            let late = of(&user, SLOTS / 2);
            assert!(
                early.arm == Arm::Stable || late.arm == Arm::Candidate,
                "it stays the candidate's"
            );
            moved += usize::from(early.arm != late.arm);
            for _ in 0..3 {
                split.record(0, early, true, Some(Duration::from_secs(1)));
            }
        }
        assert!((150..250).contains(&moved), "{moved}");
        let readings = split.readings();
        let SplitSeen::Keys(keys) = &readings[0].seen else {
            panic!("{readings:?}");
        };
        let all = keys.failed.count(0, SLOTS);
        assert!((480..=500).contains(&all), "{all}");
        assert_eq!(
            (keys.seen.count(0, SLOTS), keys.slow[2].count(0, SLOTS)),
            (all, all)
        );
        // Without a key nothing is known of it.
        let none = Fields::default();
        let trace = Trace::of(&none, &mut dice, 0.0);
        assert!(split.assign(&none, &trace, false, &mut dice).counts.is_none());
    }

    #[test]
    fn the_setting_of_a_flag_follows_from_the_key_as_evaluators_draw_it() {
        use plimsoll_policy::Bucketing;

        let plan = SplitPlan {
            change: "new-tax-1".into(),
            between: Between::Flag {
                upstreams: vec!["orders".into()],
                bucketing: Bucketing::V2,
            },
            key: Some(WalkKey::Header(HeaderName::from_static("x-user"))),
            slow: None,
        };
        let flag = Split::new(plan, 1);
        let of = |user: &str| {
            let map = [("x-user", user)].map(|(name, value)| {
                let value = http::HeaderValue::from_str(value).unwrap();
                (HeaderName::from_static(name), value)
            });
            flag.setting(&Fields::from(&map.into_iter().collect::<http::HeaderMap>()))
        };
        assert!(of("ada").is_none(), "nobody is exposed yet");
        flag.set(0, SLOTS / 4);
        assert!(of("").is_none());
        let mut exposed = 0;
        for user in 0..400 {
            let user = format!("user-{user}");
            let setting = of(&user).unwrap();
            let is_exposed = slot(Bucketing::V2, "new-tax-1", &user, SLOTS.into()) < u32::from(SLOTS / 4);
            assert_eq!(setting.arm == Arm::Candidate, is_exposed, "{user}");
            flag.record(0, setting, is_exposed, None);
            exposed += usize::from(is_exposed);
        }
        assert!((60..140).contains(&exposed), "{exposed}");
        assert!(flag.tells_apart(&"orders".into()) && !flag.tells_apart(&"payments".into()));
        let readings = flag.readings();
        let SplitSeen::Keys(keys) = &readings[0].seen else {
            panic!("{readings:?}");
        };
        let failed = keys.epoch(SLOTS / 4, 0).candidate.failed as usize;
        // Two keys in one slot are one.
        assert!(
            failed <= exposed && failed + 10 > exposed,
            "{failed} of {exposed}"
        );
    }
}
