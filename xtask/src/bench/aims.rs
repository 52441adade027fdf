//! What is aimed at: one entry per promise, judged by the median of its rounds.

use super::cases::CASES;
use super::results::{Figure, Results, Spread};

/// The proxy that the aims are about.
pub(crate) const OURS: &str = "plimsoll";

/// At most how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum AtMost {
    /// So many times what this peer took in the same round.
    Times(f64, &'static str),
    /// So much, in the figure's own unit.
    Of(f64, &'static str),
}

#[derive(Debug)]
pub(crate) struct Aim {
    pub(crate) case: &'static str,
    pub(crate) figure: Figure,
    pub(crate) at_most: AtMost,
}

const fn cpu(case: &'static str, times: f64, peer: &'static str) -> Aim {
    Aim {
        case,
        figure: Figure::CpuMicros,
        at_most: AtMost::Times(times, peer),
    }
}

/// Every aim, in the order of the report. Ours has all policies on, the peers are bare.
pub(crate) const AIMS: &[Aim] = &[
    cpu("get-64", 1.05, "haproxy"),
    cpu("get-64", 1.00, "nginx"),
    cpu("get-64", 0.40, "envoy"),
    cpu("get-256", 1.05, "haproxy"),
    cpu("get-256", 1.00, "nginx"),
    cpu("get-256", 0.40, "envoy"),
    cpu("post-64", 1.05, "haproxy"),
    cpu("tls-64", 1.00, "haproxy"),
    cpu("h2", 1.45, "haproxy"),
    Aim {
        case: "get-256",
        figure: Figure::P99Millis,
        at_most: AtMost::Times(1.00, "haproxy"),
    },
    Aim {
        case: "memory",
        figure: Figure::RestMegabytes,
        at_most: AtMost::Of(20.0, "MB"),
    },
    Aim {
        case: "memory",
        figure: Figure::ConnectionKib,
        at_most: AtMost::Of(20.0, "KiB"),
    },
    Aim {
        case: "reload",
        figure: Figure::Failed,
        at_most: AtMost::Of(0.0, "requests"),
    },
];

/// What became of an aim.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judged {
    pub(crate) what: String,
    pub(crate) measured: String,
    pub(crate) aim: String,
    pub(crate) verdict: String,
}

impl Aim {
    /// `None` if it was not measured in this run.
    pub(crate) fn judge(&self, results: &Results) -> Option<Judged> {
        let title = CASES.iter().find(|case| case.name == self.case)?.title;
        let (numbers, most, what, unit) = match self.at_most {
            AtMost::Times(most, peer) => {
                let ratios = results.ratios(self.case, OURS, peer, self.figure);
                (
                    ratios,
                    most,
                    format!("{title}: {} against {peer}", self.word()),
                    "×".to_owned(),
                )
            }
            AtMost::Of(most, unit) => {
                let numbers = results.of(self.case, OURS, self.figure).to_vec();
                (
                    numbers,
                    most,
                    format!("{title}: {}", self.word()),
                    format!(" {unit}"),
                )
            }
        };
        let spread = Spread::of(&numbers)?;
        Some(Judged {
            what,
            measured: format!("{}{unit}", spread.shown(2)),
            aim: format!("≤ {most:.2}{unit}"),
            verdict: self.verdict(results, spread, most, &unit),
        })
    }

    /// A figure among whose rounds requests failed proves nothing: an error is answered faster than a request.
    fn verdict(&self, results: &Results, spread: Spread, most: f64, unit: &str) -> String {
        let mut sides = vec![OURS];
        if let AtMost::Times(_, peer) = self.at_most {
            sides.push(peer);
        }
        let failed: f64 = sides
            .iter()
            .flat_map(|side| results.of(self.case, side, Figure::Failed))
            .sum();
        if failed > 0.0 && self.figure != Figure::Failed {
            return format!("void: {failed} requests failed");
        }
        // The worst round counts where nothing may fail: a median of no failures could hide some.
        let judged = if self.figure == Figure::Failed {
            spread.greatest
        } else {
            spread.median
        };
        if judged <= most {
            "met".to_owned()
        } else {
            format!("**missed** by {:.2}{unit}", judged - most)
        }
    }

    const fn word(&self) -> &'static str {
        match self.figure {
            Figure::CpuMicros => "CPU per request",
            Figure::BusyPercent => "CPU in use",
            Figure::Rate => "requests per second",
            Figure::P99Millis => "99 % answered within",
            Figure::Failed => "failed",
            Figure::RestMegabytes => "after the start",
            Figure::ConnectionKib => "per connection",
            Figure::Reloads => "reloads",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(aim: &Aim, rows: &[(&'static str, Figure, f64)]) -> String {
        let mut results = Results::default();
        for (peer, figure, number) in rows {
            results.add(aim.case, peer, &[(*figure, *number)]);
        }
        aim.judge(&results)
            .map_or("not measured".to_owned(), |judged| judged.verdict)
    }

    #[test]
    fn the_median_of_the_ratios_decides() {
        use Figure::CpuMicros;
        let aim = cpu("get-64", 1.05, "haproxy");
        let rounds = |ours: f64| [(OURS, CpuMicros, ours), ("haproxy", CpuMicros, 20.0)];
        assert_eq!(verdict(&aim, &rounds(21.0)), "met");
        assert_eq!(verdict(&aim, &rounds(22.0)), "**missed** by 0.05×");
        assert_eq!(verdict(&aim, &rounds(22.0)[..1]), "not measured");
    }

    #[test]
    fn a_figure_with_failures_is_void_whoever_failed() {
        let aim = cpu("get-64", 1.05, "haproxy");
        let rows = [
            (OURS, Figure::CpuMicros, 1.0),
            ("haproxy", Figure::CpuMicros, 20.0),
            ("haproxy", Figure::Failed, 3.0),
        ];
        assert_eq!(verdict(&aim, &rows), "void: 3 requests failed");
    }

    #[test]
    fn where_nothing_may_fail_the_worst_round_decides() {
        let aim = AIMS.iter().find(|aim| aim.case == "reload").unwrap();
        let failed = |number| (OURS, Figure::Failed, number);
        assert_eq!(verdict(aim, &[failed(0.0), failed(0.0)]), "met");
        let one = [failed(0.0), failed(0.0), failed(1.0)];
        assert_eq!(verdict(aim, &one), "**missed** by 1.00 requests");
    }

    #[test]
    fn every_aim_is_about_a_case_and_a_peer_that_there_are() {
        for aim in AIMS {
            assert!(CASES.iter().any(|case| case.name == aim.case), "{}", aim.case);
            if let AtMost::Times(_, name) = aim.at_most {
                let known = super::super::peers::PEERS.iter().any(|peer| peer.name == name);
                assert!(known, "{name}");
            }
        }
    }
}
