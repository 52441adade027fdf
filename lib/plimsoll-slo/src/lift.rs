//! What those that failed have in common.
//!
//! In an outage of everything every route fails, and that says nothing; it is telling if a route has a tenth of the traffic
//! and nine tenths of the failures. The lift of a value is its share of the bad events over its share of all: 1 if it has
//! nothing to do with it. What has failures by chance is told apart by how many more it has than its share, in standard
//! deviations.

use crate::Counts;

/// How much a value stands out among what failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lift {
    /// Its events.
    pub counts: Counts,
    /// Its share of all bad events: 0 to 1.
    pub share: f64,
    /// That over its share of all events: 0 and more.
    pub lift: f64,
}

/// A value stands out if it has so many standard deviations more bad events than its share of all would bring.
const DEVIATIONS_MIN: f64 = 3.0;

/// Those that stand out among all values of one dimension, the most telling first, each by its place. No value does if
/// there is but one.
///
/// ```
/// use plimsoll_slo::{Counts, stand_out};
///
/// let tiers = [Counts { good: 9_000, bad: 10 }, Counts { good: 900, bad: 90 }];
/// let [(place, gold)] = stand_out(&tiers)[..] else { panic!() };
/// assert_eq!((place, (gold.share * 100.0).round(), gold.lift.round()), (1, 90.0, 9.0));
/// ```
pub fn stand_out(values: &[Counts]) -> Vec<(usize, Lift)> {
    let (all, bad) = values.iter().fold((0, 0), |(all, bad), counts| {
        (all + counts.total(), bad + counts.bad)
    });
    if all == 0 || bad == 0 {
        return Vec::new();
    }
    let mut out: Vec<_> = values
        .iter()
        .enumerate()
        .filter_map(|(place, counts)| {
            let of_all = counts.total() as f64 / all as f64;
            let share = counts.bad as f64 / bad as f64;
            let more = counts.bad as f64 - of_all * bad as f64;
            let deviation = (of_all * (1.0 - of_all) * bad as f64).sqrt();
            let stands_out = deviation > 0.0 && more >= DEVIATIONS_MIN * deviation;
            let lift = Lift {
                counts: *counts,
                share,
                lift: share / of_all,
            };
            stands_out.then_some((place, lift, more / deviation))
        })
        .collect();
    out.sort_by(|(_, _, a), (_, _, b)| b.total_cmp(a));
    out.into_iter().map(|(place, lift, _)| (place, lift)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(good: u64, bad: u64) -> Counts {
        Counts { good, bad }
    }

    #[test]
    fn what_is_everywhere_stands_out_nowhere() {
        assert_eq!(stand_out(&[]), []);
        assert_eq!(
            stand_out(&[counts(10, 10)]),
            [],
            "there is nothing to compare it with"
        );
        assert_eq!(stand_out(&[counts(0, 0), counts(100, 0)]), []);
        assert_eq!(stand_out(&[counts(500, 500), counts(50, 50), counts(7, 9)]), []);
    }

    #[test]
    fn the_most_telling_comes_first() {
        let out = stand_out(&[counts(10_000, 20), counts(10, 60), counts(5, 9)]);
        let places: Vec<_> = out.iter().map(|(place, _)| *place).collect();
        assert_eq!(places, [1, 2]);
        assert!(out[0].1.lift > 50.0);
    }
}
