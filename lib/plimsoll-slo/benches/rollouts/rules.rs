//! Rules by which a rollout is rolled back.

use plimsoll_slo::{Comparison, Epoch, Finding, Seen as Counted, Terms};

use crate::worlds::{Look, Seen};

/// Whether a candidate is rolled back, look by look.
pub(crate) trait Rule {
    fn look(&mut self, look: &Look<'_>) -> bool;
}

/// Ours. Of failures alone: the evidence of slowness and of the split is as good as none, and counts as it does.
pub(crate) struct Comparing {
    terms: Terms,
    epochs: Vec<Epoch>,
    failed: u64,
}

impl Comparing {
    pub(crate) fn new(terms: Terms) -> Self {
        Self {
            terms,
            epochs: Vec::new(),
            failed: 0,
        }
    }
}

impl Rule for Comparing {
    fn look(&mut self, look: &Look<'_>) -> bool {
        if self.epochs.len() <= look.step {
            self.epochs.push(Epoch {
                share: look.share,
                candidate: Counted::default(),
                stable: Counted::default(),
            });
        }
        let epoch = &mut self.epochs[look.step];
        if let Some((keys, boundary, before)) = look.keys {
            if look.new.failed == [0, 0] {
                return false;
            }
            *epoch = keys.epoch(boundary, before);
        } else {
            for (seen, arm) in [(&mut epoch.stable, 0), (&mut epoch.candidate, 1)] {
                seen.events += look.new.events[arm];
                seen.failed += look.new.failed[arm];
            }
        }
        // What is good changes nothing but the test of the split, which is looked at now and then.
        let failed = self
            .epochs
            .iter()
            .map(|epoch| epoch.candidate.failed + epoch.stable.failed)
            .sum();
        if failed == self.failed {
            return false;
        }
        self.failed = failed;
        matches!(
            Comparison::of(&self.epochs, look.step, &self.terms).finding,
            Finding::Bad(_)
        )
    }
}

/// Fewer than 99 % of the candidate's requests are good in a minute: a strike. Five strikes, and it is rolled back.
#[derive(Default)]
pub(crate) struct Flagger {
    minute: Seen,
    minutes: u64,
    strikes: u32,
}

impl Rule for Flagger {
    fn look(&mut self, look: &Look<'_>) -> bool {
        add(&mut self.minute, look.new);
        if look.at < 60.0 * (self.minutes + 1) as f64 - 1e-6 {
            return false;
        }
        self.minutes += 1;
        let minute = std::mem::take(&mut self.minute);
        let good = 1.0 - minute.failed[1] as f64 / minute.events[1].max(1) as f64;
        self.strikes += u32::from(good < 0.99);
        self.strikes >= 5
    }
}

/// Two proportions are compared every ten seconds, one-sided, at 1 %.
#[derive(Default)]
pub(crate) struct Peeking {
    all: Seen,
    looks: u64,
}

impl Rule for Peeking {
    fn look(&mut self, look: &Look<'_>) -> bool {
        add(&mut self.all, look.new);
        if look.at < 10.0 * (self.looks + 1) as f64 - 1e-6 {
            return false;
        }
        self.looks += 1;
        differs(&self.all)
    }
}

/// The same, once.
pub(crate) struct Once {
    all: Seen,
    at: f64,
}

impl Once {
    pub(crate) fn after(seconds: f64) -> Self {
        Self {
            all: Seen::default(),
            at: seconds,
        }
    }
}

impl Rule for Once {
    fn look(&mut self, look: &Look<'_>) -> bool {
        add(&mut self.all, look.new);
        look.at >= self.at - 1e-6 && differs(&self.all)
    }
}

fn add(all: &mut Seen, new: Seen) {
    for arm in 0..2 {
        all.events[arm] += new.events[arm];
        all.failed[arm] += new.failed[arm];
    }
}

/// The test of two proportions with a common variance; 2.326 is exceeded by chance once in a hundred times.
fn differs(all: &Seen) -> bool {
    let [stable, candidate] = all.events.map(|events| events as f64);
    if stable < 1.0 || candidate < 1.0 {
        return false;
    }
    let share = |arm: usize| all.failed[arm] as f64 / all.events[arm] as f64;
    let common = (all.failed[0] + all.failed[1]) as f64 / (stable + candidate);
    let deviation = (common * (1.0 - common) * (1.0 / stable + 1.0 / candidate)).sqrt();
    deviation > 0.0 && (share(1) - share(0)) / deviation > 2.326
}
