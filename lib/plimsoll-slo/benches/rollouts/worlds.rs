//! A service with two versions, and its users.

use plimsoll_slo::{Arm, KeySlots, SLOTS};

use crate::dice::Dice;
use crate::rules::Rule;

/// What a candidate does.
#[derive(Clone, Copy)]
pub(crate) enum Candidate {
    /// The same as the stable version.
    AsGood,
    /// This share of its requests fails.
    Fails(f64),
}

/// See the module's header.
#[derive(Clone, Copy)]
pub(crate) struct World {
    /// Requests a second.
    pub(crate) rate: f64,
    /// The share that the stable version fails at.
    pub(crate) stable: f64,
    pub(crate) candidate: Candidate,
    /// The shares that the candidate gets, one after the other.
    pub(crate) shares: &'static [f64],
    /// Seconds of each.
    pub(crate) seconds: f64,
    /// In the middle third of all, both fail so many times as often.
    pub(crate) incident: Option<f64>,
    /// Users keep to a version: 2 % of 5,000 fail half the time, whatever they get.
    pub(crate) keyed: bool,
    /// A request that fails is sent again so often, at once, and fails again half the time.
    pub(crate) repeats: u32,
}

/// How often it is looked, beside when the candidate fails.
const LOOKS_EVERY: f64 = 0.1;
const USERS: usize = 5_000;

/// Events of one arm and the other since the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) events: [u64; 2],
    pub(crate) failed: [u64; 2],
}

/// What is seen at a look.
pub(crate) struct Look<'a> {
    /// Seconds since the beginning.
    pub(crate) at: f64,
    pub(crate) step: usize,
    pub(crate) share: f64,
    /// Since the last look, by requests.
    pub(crate) new: Seen,
    /// In this step, by keys, if users keep to a version: with what was the boundary before.
    pub(crate) keys: Option<(&'a KeySlots, u16, u16)>,
}

impl World {
    /// A candidate that is as good, and nothing else.
    pub(crate) const QUIET: Self = Self {
        rate: 100.0,
        stable: 0.001,
        candidate: Candidate::AsGood,
        shares: &[0.05],
        seconds: 600.0,
        incident: None,
        keyed: false,
        repeats: 0,
    };

    /// Plays a rollout until the rule rolls back: after how many seconds, and failed requests of the candidate.
    pub(crate) fn play<R: Rule + ?Sized>(&self, seed: u64, rule: &mut R) -> Option<(f64, u64)> {
        let mut dice = Dice::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5851_f42d_4c95_7f2d);
        let users = self.users(&mut dice);
        let all = self.seconds * self.shares.len() as f64;
        let (mut failed, mut before) = (0, 0);
        for (step, share) in self.shares.iter().copied().enumerate() {
            let boundary = (share * f64::from(SLOTS)).round() as u16;
            let mut keys = KeySlots::default();
            for look in 1..=(self.seconds / LOOKS_EVERY).round() as u64 {
                let at = step as f64 * self.seconds + look as f64 * LOOKS_EVERY;
                let troubled = at > all / 3.0 && at <= 2.0 * all / 3.0;
                let times = self.incident.filter(|_| troubled).unwrap_or(1.0);
                let mut new = Seen::default();
                let due = self.rate * LOOKS_EVERY;
                // Whole requests: what is left over comes with the next look.
                let count = (due * look as f64).floor() as u64 - (due * (look - 1) as f64).floor() as u64;
                for number in 1..=count {
                    let known = new.failed[1];
                    self.request(&mut dice, &users, (share, boundary, times), &mut new, &mut keys);
                    // Whoever counts looks when the candidate has failed; and all else is seen at the next look.
                    if new.failed[1] == known && number < count {
                        continue;
                    }
                    failed += new.failed[1];
                    let passed = LOOKS_EVERY * (number as f64 / count as f64 - 1.0);
                    let look = Look {
                        at: at + passed,
                        step,
                        share,
                        new: std::mem::take(&mut new),
                        keys: self.keyed.then_some((&keys, boundary, before)),
                    };
                    if rule.look(&look) {
                        return Some((look.at, failed));
                    }
                }
            }
            before = boundary;
        }
        None
    }

    fn users(&self, dice: &mut Dice) -> Vec<(u16, f64)> {
        let user = |dice: &mut Dice| {
            let fails = if dice.share() < 0.02 { 0.5 } else { 0.0005 };
            ((dice.share() * f64::from(SLOTS)) as u16, fails)
        };
        let count = if self.keyed { USERS } else { 0 };
        (0..count).map(|_| user(dice)).collect()
    }

    fn request(
        &self,
        dice: &mut Dice,
        users: &[(u16, f64)],
        (share, boundary, times): (f64, u16, f64),
        new: &mut Seen,
        keys: &mut KeySlots,
    ) {
        let (slot, fails) = if self.keyed {
            // Few users make most of the requests.
            users[(users.len() as f64 * dice.share().powi(3)) as usize]
        } else {
            (0, self.stable)
        };
        let mut attempts = 0;
        loop {
            let is_candidate = if self.keyed {
                slot < boundary
            } else {
                dice.share() < share
            };
            let arm = if is_candidate { Arm::Candidate } else { Arm::Stable };
            let fails = match (arm, self.candidate) {
                (Arm::Candidate, Candidate::Fails(fails)) => fails,
                _ if attempts > 0 => 0.5,
                _ => (fails * times).min(1.0),
            };
            let arm = usize::from(is_candidate);
            new.events[arm] += 1;
            if dice.share() >= fails {
                return;
            }
            new.failed[arm] += 1;
            keys.failed.insert(slot);
            attempts += 1;
            if attempts > self.repeats {
                return;
            }
        }
    }
}
