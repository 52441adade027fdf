//! Results of the last ten seconds, counted exactly.
//!
//! Ten slots of a second each; a slot that is too old is skipped when counting and overwritten when its place comes
//! round, so nothing has to run for it to expire. Chosen over a decaying average because a burst within one
//! millisecond has almost no weight in that (linkerd2-proxy PR 4561).

use plimsoll_slo::Instant;

/// The seconds that are looked back on, the present one among them.
const SECONDS: u32 = 10;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) failures: u32,
    pub(super) total: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    second: u32,
    counts: Counts,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Window([Slot; SECONDS as usize]);

impl Window {
    pub(super) fn add(&mut self, now: Instant, failed: bool) {
        let second = second(now);
        let slot = &mut self.0[(second % SECONDS) as usize];
        if slot.second < second {
            *slot = Slot {
                second,
                counts: Counts::default(),
            };
        }
        slot.counts.total = slot.counts.total.saturating_add(1);
        slot.counts.failures = slot.counts.failures.saturating_add(u32::from(failed));
    }

    pub(super) fn counts(&self, now: Instant) -> Counts {
        let second = second(now);
        let recent = self
            .0
            .iter()
            .filter(|slot| second.saturating_sub(slot.second) < SECONDS);
        recent.fold(Counts::default(), |sum, slot| Counts {
            failures: sum.failures.saturating_add(slot.counts.failures),
            total: sum.total.saturating_add(slot.counts.total),
        })
    }
}

/// Whole seconds since the origin: enough for 136 years.
fn second(now: Instant) -> u32 {
    u32::try_from(now.as_nanos() / 1_000_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_counts_as_a_list_of_all_results_would(
            results in prop::collection::vec((0u64..4_000, any::<bool>()), 0..300), idle in 0u64..20_000,
        ) {
            let (mut window, mut all, mut now) = (Window::default(), Vec::new(), Instant::ORIGIN);
            for (step, failed) in results {
                now = now + Duration::from_millis(step);
                window.add(now, failed);
                all.push((second(now), failed));
            }
            now = now + Duration::from_millis(idle);
            let recent: Vec<_> = all.iter().filter(|(at, _)| at + 10 > second(now)).collect();
            let failures = recent.iter().filter(|(_, failed)| *failed).count() as u32;
            prop_assert_eq!(window.counts(now), Counts { failures, total: recent.len() as u32 });
        }
    }
}
