//! What came out: a number per case, proxy, figure and round, and what can be said of such rows.

use std::collections::BTreeMap;

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    /// CPU time of the proxy per completed request, in microseconds.
    CpuMicros,
    /// How much of its CPU the proxy used, in hundredths. Well below 100, something else was full before it.
    BusyPercent,
    /// Completed requests per second.
    Rate,
    /// The time within which 99 % of the answers came, in milliseconds.
    P99Millis,
    /// Requests that were answered with an error, or not at all.
    Failed,
    /// Memory in use after the start, in millions of bytes.
    RestMegabytes,
    /// Memory added per connection at rest, in units of 1,024 bytes.
    ConnectionKib,
    /// Reloads that took effect.
    Reloads,
}

/// All numbers of a run.
#[derive(Debug, Default)]
pub(crate) struct Results(BTreeMap<(&'static str, &'static str, Figure), Vec<f64>>);

impl Results {
    /// Takes in the figures of one proxy in one round of a case.
    pub(crate) fn add(&mut self, case: &'static str, peer: &'static str, figures: &[(Figure, f64)]) {
        for (figure, number) in figures {
            self.0.entry((case, peer, *figure)).or_default().push(*number);
        }
    }

    /// The numbers of all rounds, in their order; none if it was not measured.
    pub(crate) fn of(&self, case: &'static str, peer: &'static str, figure: Figure) -> &[f64] {
        self.0.get(&(case, peer, figure)).map_or(&[], Vec::as_slice)
    }

    /// `peer` against `other`, round by round: what disturbs a round disturbs both.
    pub(crate) fn ratios(
        &self,
        case: &'static str,
        peer: &'static str,
        other: &'static str,
        figure: Figure,
    ) -> Vec<f64> {
        let (ours, theirs) = (self.of(case, peer, figure), self.of(case, other, figure));
        ours.iter()
            .zip(theirs)
            .map(|(ours, theirs)| ours / theirs)
            .collect()
    }
}

/// The middle of a row of numbers, and its ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) greatest: f64,
}

impl Spread {
    /// `None` of no numbers. The median of an even count is the mean of the two in the middle.
    pub(crate) fn of(numbers: &[f64]) -> Option<Self> {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, greatest) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self {
            least,
            median,
            greatest,
        })
    }

    /// `median (least..greatest)`, with so many digits after the point.
    pub(crate) fn shown(self, digits: usize) -> String {
        let Self {
            least,
            median,
            greatest,
        } = self;
        format!("{median:.digits$} ({least:.digits$}..{greatest:.digits$})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_the_sorted_numbers() {
        let shown = |numbers: &[f64]| Spread::of(numbers).map(|spread| spread.shown(1));
        assert_eq!(shown(&[]), None);
        assert_eq!(shown(&[3.0, 1.0, 2.0]).unwrap(), "2.0 (1.0..3.0)");
        assert_eq!(shown(&[4.0, 1.0, 2.0, 8.0]).unwrap(), "3.0 (1.0..8.0)");
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let mut results = Results::default();
        for (ours, theirs) in [(10.0, 20.0), (90.0, 90.0)] {
            results.add("get", "ours", &[(Figure::CpuMicros, ours)]);
            results.add("get", "theirs", &[(Figure::CpuMicros, theirs)]);
        }
        assert_eq!(
            results.ratios("get", "ours", "theirs", Figure::CpuMicros),
            [0.5, 1.0]
        );
        assert!(
            results
                .ratios("get", "ours", "nobody", Figure::CpuMicros)
                .is_empty()
        );
    }
}
