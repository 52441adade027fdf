//! Whether a share has risen above what is usual for it: what nobody has set a target for, and should not change by itself.
//!
//! An answer that blames its caller is the service doing its work, and spends no budget. But a release that refuses
//! everybody's password does nothing else, and by its errors alone it looks perfect. So the share of such answers is held
//! against what it was in the day before.
//!
//! **What is usual** in a minute is the share of the 24 hours that end an hour before it, so that a rise does not become
//! usual while it is looked at. It is allowed twice the most that this may be by chance (two standard deviations), and one
//! in a hundred at least.
//!
//! **The test** is that of [`Evidence`](crate::Evidence), by the minute: for each share `p` that it may have come to,
//! `R ← (1 + R) × (p/b)^k × ((1−p)/(1−b))^(n−k)`, with the `b` that is allowed in that minute. `b` is known before the
//! minute, so what holds for a fixed one holds for this: begun anew every 30 days, evidence suffices by chance with a
//! probability of at most `α`. It is computed from the minutes that are known and from nothing else, so all who know the
//! same find the same, and a restart changes nothing.

use std::collections::VecDeque;

use crate::Counts;
use crate::suspicion::{Suspicion, needed, together};

/// Minutes of which the usual is taken, and that pass before a minute is part of it.
pub const USUAL_OVER: usize = 1_440;
/// See [`USUAL_OVER`].
pub const USUAL_AFTER: usize = 60;
/// What has to be known before anything is usual: minutes, and events.
const MINUTES_MIN: u64 = 60;
const EVENTS_MIN: u64 = 100;
/// What is always allowed, and what is no rise any more.
const ALLOWED: [f64; 2] = [0.01, 0.5];
/// Shares that it looks for: so many times what is allowed, and these.
const TIMES: [f64; 2] = [2.0, 6.0];
const SHARES: [f64; 4] = [0.1, 0.3, 0.6, 0.9];
/// Minutes of what is called the present.
const PRESENT: usize = 10;

/// What is known of a share.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rising {
    /// The share that is usual: 0 to 1. `None` if too little is known.
    pub usual: Option<f64>,
    /// What happened in the last ten minutes.
    pub present: Counts,
    /// The evidence that it has risen, over what is needed: 1 and more suffices.
    pub evidence: f64,
    /// The minute in which the rise began that the evidence speaks for.
    pub began: Option<u64>,
}

impl Rising {
    /// Looks at minutes in their order, of a day or more: when they were, and what happened in them. `bad` is what the
    /// share is of. `alpha` is how likely it may be that evidence suffices at any time of 30 days in which the share was
    /// what is usual.
    ///
    /// ```
    /// use plimsoll_slo::{Counts, Rising};
    ///
    /// let quiet = (0..300).map(|minute| (minute, Counts { good: 59, bad: 1 }));
    /// assert!(Rising::find(quiet.clone(), 0.01).evidence < 1.0);
    /// let broken = (300..303).map(|minute| (minute, Counts { good: 20, bad: 40 }));
    /// let rising = Rising::find(quiet.chain(broken), 0.01);
    /// assert!(rising.evidence >= 1.0);
    /// assert_eq!(rising.began, Some(300));
    /// ```
    pub fn find(minutes: impl IntoIterator<Item = (u64, Counts)>, alpha: f64) -> Self {
        let needed = needed(alpha);
        let mut usual = Usual::default();
        let mut suspicions = [Suspicion::default(); TIMES.len() + SHARES.len()];
        let mut present: VecDeque<(u64, Counts)> = VecDeque::new();
        let mut share = None;
        for (minute, counts) in minutes {
            present.push_back((minute, counts));
            while present
                .front()
                .is_some_and(|(at, _)| at + (PRESENT as u64) <= minute)
            {
                present.pop_front();
            }
            usual.pass(minute, counts);
            share = usual.share();
            let Some(allowed) = usual.allowed() else {
                suspicions = Default::default();
                continue;
            };
            let of_times = TIMES.map(|times| times * allowed);
            let shares = of_times.into_iter().chain(SHARES);
            for (suspicion, share) in suspicions.iter_mut().zip(shares) {
                // One that is no rise any more is given up.
                if share > allowed && share < 1.0 && allowed < ALLOWED[1] {
                    suspicion.weigh(minute, likelier(counts, share, allowed), needed);
                } else {
                    *suspicion = Suspicion::default();
                }
            }
        }
        let (evidence, began) = together(&suspicions, needed);
        Self {
            usual: share,
            present: present.iter().fold(Counts::default(), |sum, (_, counts)| Counts {
                good: sum.good + counts.good,
                bad: sum.bad + counts.bad,
            }),
            evidence,
            began,
        }
    }

    /// Whether it is more than chance.
    pub fn suffices(&self) -> bool {
        self.evidence >= 1.0
    }
}

/// How much likelier it is with this bad share than with the one that is allowed, as a logarithm.
pub(crate) fn likelier(counts: Counts, share: f64, allowed: f64) -> f64 {
    let (bad, good) = (counts.bad as f64, counts.good as f64);
    bad * (share / allowed).ln() + good * ((1.0 - share) / (1.0 - allowed)).ln()
}

/// The minutes that the usual is taken of, and those that are not part of it yet.
#[derive(Debug, Default)]
struct Usual {
    minutes: VecDeque<(u64, Counts)>,
    /// How many of them count, the oldest ones, and what happened in those.
    counted: usize,
    sum: Counts,
}

impl Usual {
    /// It is this minute. It is known what happens in it, and that is not usual yet.
    fn pass(&mut self, minute: u64, counts: Counts) {
        while let Some((at, counts)) = self.minutes.get(self.counted)
            && at + (USUAL_AFTER as u64) <= minute
        {
            self.sum.good += counts.good;
            self.sum.bad += counts.bad;
            self.counted += 1;
        }
        while let Some((at, counts)) = self.minutes.front()
            && self.counted > 0
            && at + ((USUAL_OVER + USUAL_AFTER) as u64) <= minute
        {
            self.sum.good -= counts.good;
            self.sum.bad -= counts.bad;
            self.counted -= 1;
            self.minutes.pop_front();
        }
        self.minutes.push_back((minute, counts));
    }

    fn share(&self) -> Option<f64> {
        let is_known = self.counted as u64 >= MINUTES_MIN && self.sum.total() >= EVENTS_MIN;
        self.sum.bad_share().filter(|_| is_known)
    }

    fn allowed(&self) -> Option<f64> {
        let events = self.sum.total() as f64;
        let share = (self.share()? * events + 1.0) / (events + 2.0);
        let most = share + 2.0 * (share * (1.0 - share) / events).sqrt();
        Some((2.0 * most).max(ALLOWED[0]))
    }
}
