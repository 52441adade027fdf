//! How much is still to come in a period that has begun.
//!
//! The budget of a month is a share of what will have come by its end, which nobody knows yet. What came at the same
//! time of the week in each of the last four weeks says what to expect; of the four answers the 10th percentile is
//! taken, so that a budget is rather too small than too large. A week that was measured for less than nine tenths says
//! nothing, and without any week there is no forecast.

use crate::Track;

const WEEK: u64 = 7 * 1_440;
const WEEKS: u64 = 4;
/// The minutes that a forecast goes by.
pub(crate) const LOOKS_BACK: u64 = WEEKS * WEEK + 1;
const COVERAGE_MIN: f64 = 0.9;

/// Events that are still to come in so many minutes from now on.
pub(crate) fn to_come(track: &Track, minutes: u64) -> Option<f64> {
    let now = track.now().minute();
    let mut weeks: Vec<f64> = (1..=WEEKS)
        .filter_map(|back| {
            let begins = now.checked_sub(back * WEEK)?;
            let (mut all, mut rest, mut measured) = (0, 0, 0);
            for (passed, minute) in (0..).zip(begins..begins + WEEK) {
                let (counts, seconds) = track.minute(minute);
                all += counts.total();
                rest += if passed < minutes % WEEK {
                    counts.total()
                } else {
                    0
                };
                measured += u64::from(seconds);
            }
            let covered = measured as f64 >= COVERAGE_MIN * (60 * WEEK) as f64;
            covered.then(|| (minutes / WEEK * all + rest) as f64)
        })
        .collect();
    weeks.sort_unstable_by(f64::total_cmp);
    quantile(&weeks, 0.1)
}

/// Between the nearest two, in proportion (Hyndman and Fan, 1996, definition 7).
fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let at = share * sorted.len().checked_sub(1)? as f64;
    let below = sorted[at as usize];
    let above = sorted.get(at as usize + 1).copied().unwrap_or(below);
    Some(below + at.fract() * (above - below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        assert_eq!(quantile(&[], 0.1), None);
        assert_eq!(quantile(&[7.0], 0.1), Some(7.0));
        let four = [10.0, 20.0, 30.0, 40.0];
        assert_eq!(
            [quantile(&four, 0.1), quantile(&four, 0.5)],
            [Some(13.0), Some(25.0)]
        );
    }
}
