//! What is aimed at: one function per promise. Each is about ours; the peers are there to say what the numbers mean.

use std::time::Duration;

use super::Findings;
use super::arrivals::Class;
use super::peers::{OURS, Retrying};
use super::scenarios::chain::Chain;
use super::scenarios::dependency::{Dependency, OVERLOADED, SLOW};
use super::scenarios::steady;
use super::scenarios::sweep::{P99_TIMES, Sweep};
use super::world::Run;
use crate::bench::aims::Judged;

/// Times the capacity at which it is judged.
const OVERLOAD: f64 = 10.0;
const GOODPUT_LEAST: f64 = 0.95;
const CRITICAL_LEAST: f64 = 0.999;
const SETTLED_MOST: Duration = Duration::from_secs(3);
const RECOVERED_MOST: Duration = Duration::from_secs(5);
const HOPS: usize = 4;
const HOPS_MOST: f64 = 1.2;
/// The budget that is judged over four hops: the one that ours has without being told.
const BUDGET: u32 = 10;
const MOVED_MOST: f64 = 0.05;
const TOLD_APART_LEAST: f64 = 0.99;
/// What those who do not need the dependency are owed while it is slow.
const UNAFFECTED_LEAST: f64 = 0.999;

/// What became of every aim that was measured, in the order of the report.
pub(crate) fn aims(findings: &Findings) -> Vec<Judged> {
    let mut judged = Vec::new();
    if let Some(sweep) = of_ours(&findings.sweeps) {
        judged.extend(goodput(findings, sweep));
        judged.extend(critical(sweep));
        judged.extend(latency(sweep));
        judged.extend(settling(sweep));
    }
    judged.extend(rejections(findings));
    judged.extend(dependency(findings));
    for (peer, way, outage) in &findings.outages {
        if *peer == OURS {
            judged.push(within(
                &format!("30 s outage ({way}), naive callers: at least 99 % good again after"),
                outage.recovered(),
                RECOVERED_MOST,
                outage.run.void(),
            ));
        }
    }
    judged.extend(budgets(&findings.chains));
    judged.extend(hops(&findings.chains));
    judged
}

fn of_ours<'a, T>(all: &'a [(&'static str, T)]) -> Option<&'a T> {
    all.iter().find(|(peer, _)| *peer == OURS).map(|(_, found)| found)
}

fn verdict(met: bool, missed_by: &str, void: Option<String>) -> String {
    match void {
        Some(why) => format!("void: {why}"),
        None if met => "met".to_owned(),
        None => format!("**missed** by {missed_by}"),
    }
}

fn voids<'a>(runs: impl IntoIterator<Item = &'a Run>) -> Option<String> {
    runs.into_iter().find_map(Run::void)
}

/// The peak is the most that any peer got out of the service at any load: who is always too careful has no peak of
/// its own to hide behind.
fn goodput(findings: &Findings, sweep: &Sweep) -> Option<Judged> {
    let level = sweep.at(OVERLOAD)?;
    let peak = findings
        .sweeps
        .iter()
        .map(|(_, sweep)| sweep.peak())
        .fold(0.0, f64::max);
    let share = level.summary().goodput() / peak;
    Some(Judged {
        what: "10× the capacity: goodput as a share of the peak".to_owned(),
        measured: format!("{:.1} % of {peak:.0}/s", share * 100.0),
        aim: "≥ 95 %".to_owned(),
        verdict: verdict(
            share >= GOODPUT_LEAST,
            &format!("{:.1} %", (GOODPUT_LEAST - share) * 100.0),
            level.run.void(),
        ),
    })
}

fn critical(sweep: &Sweep) -> Option<Judged> {
    let fitting = sweep.0.iter().filter(|level| level.critical_fits());
    let share = |level: &&super::scenarios::sweep::Level| level.of_class(Class::Critical).good_share();
    let worst = fitting.min_by(|a, b| share(a).total_cmp(&share(b)))?;
    let summary = worst.of_class(Class::Critical);
    Some(Judged {
        what: "Every load at which critical requests alone fit: their good share, at the worst".to_owned(),
        measured: format!(
            "{:.2} % ({} of {} bad, at {}×)",
            summary.good_share() * 100.0,
            summary.bad(),
            summary.offered,
            worst.times
        ),
        aim: "≥ 99.9 %".to_owned(),
        verdict: verdict(
            summary.good_share() >= CRITICAL_LEAST,
            &format!("{:.2} %", (CRITICAL_LEAST - summary.good_share()) * 100.0),
            worst.run.void(),
        ),
    })
}

fn latency(sweep: &Sweep) -> Option<Judged> {
    let level = sweep.at(OVERLOAD)?;
    let times = level.summary().p99 / sweep.unloaded_p99();
    let (measured, missed_by) = if times.is_nan() {
        ("no answer was good".to_owned(), "all of it".to_owned())
    } else {
        (
            format!("{times:.2}× of {:.0} ms", sweep.unloaded_p99()),
            format!("{:.2}×", times - P99_TIMES),
        )
    };
    Some(Judged {
        what: "10× the capacity: p99 of good answers against the unloaded one".to_owned(),
        measured,
        aim: format!("≤ {P99_TIMES:.2}×"),
        verdict: verdict(times <= P99_TIMES, &missed_by, level.run.void()),
    })
}

fn settling(sweep: &Sweep) -> Option<Judged> {
    let level = sweep.at(OVERLOAD)?;
    let [goodput, latency] = level.settled(sweep.unloaded_p99());
    let both = goodput
        .zip(latency)
        .map(|(goodput, latency)| goodput.max(latency));
    let mut judged = within(
        "Step from 0.5× to 10×: goodput within 5 % of its final value, and p99 ≤ 2×, after",
        both,
        SETTLED_MOST,
        level.run.void(),
    );
    judged.measured = format!("{} and {}", seconds(goodput), seconds(latency));
    Some(judged)
}

fn rejections(findings: &Findings) -> Option<Judged> {
    let steady = of_ours(&findings.steadies)?;
    let light: Vec<_> = of_ours(&findings.sweeps)
        .iter()
        .flat_map(|sweep| &sweep.0)
        .filter(|level| level.times <= steady::TIMES)
        .collect();
    let refused = steady.summary().refused
        + light
            .iter()
            .map(|level| level.since_step().refused)
            .sum::<usize>();
    let offered = steady.summary().offered
        + light
            .iter()
            .map(|level| level.since_step().offered)
            .sum::<usize>();
    let runs = light.iter().map(|level| &level.run).chain([&steady.run]);
    Some(Judged {
        what: "Up to 0.7× the capacity: refused".to_owned(),
        measured: format!("{refused} of {offered}"),
        aim: "0".to_owned(),
        verdict: verdict(refused == 0, &refused.to_string(), voids(runs)),
    })
}

fn dependency(findings: &Findings) -> Vec<Judged> {
    let Some(found) = of_ours(&findings.dependencies) else {
        return Vec::new();
    };
    let share = SLOW
        .map(|at| found.summary(at, false).good_share())
        .fold(1.0, f64::min);
    let unaffected = Judged {
        what: "Dependency 5× and 10× slower: good share of those that do not need it".to_owned(),
        measured: format!("{:.2} %", share * 100.0),
        aim: "≥ 99.9 %".to_owned(),
        verdict: verdict(
            share >= UNAFFECTED_LEAST,
            &format!("{:.2} %", (UNAFFECTED_LEAST - share) * 100.0),
            found.run.void(),
        ),
    };
    vec![unaffected, limit_moved(found), told_apart(found)]
}

fn limit_moved(found: &Dependency) -> Judged {
    let moved = SLOW
        .map(|at| moved(limit(found, 0), limit(found, at)))
        .fold(0.0, f64::max);
    let measured = match (limit(found, 0), moved) {
        (None, 0.0) => "nowhere: it is not in the way".to_owned(),
        (None, _) => "it begins to bind".to_owned(),
        (Some(limit), _) => format!("{:.1} % of {limit:.0}", moved * 100.0),
    };
    Judged {
        what: "Dependency 5× and 10× slower: the limit of the service moves by".to_owned(),
        measured,
        aim: "< 5 %".to_owned(),
        verdict: verdict(
            moved < MOVED_MOST,
            &format!("{:.1} %", (moved - MOVED_MOST) * 100.0),
            found.run.void(),
        ),
    }
}

/// How far a limit has moved, as a share of what it was. A limit that was not in the way and is now has moved as far
/// as it can; one that has gone out of the way hurts nobody.
fn moved(before: Option<f64>, after: Option<f64>) -> f64 {
    match (before, after) {
        (_, None) => 0.0,
        (None, Some(_)) => 1.0,
        (Some(before), Some(after)) => (after / before - 1.0).abs(),
    }
}

/// How often the status page was right about which of the two it is.
fn told_apart(found: &Dependency) -> Judged {
    let said = |at: usize, overloaded: bool| {
        let right = found
            .seen(at)
            .filter(|glance| glance.overloaded == Some(overloaded))
            .count();
        (right, found.seen(at).count())
    };
    let slow = SLOW
        .map(|at| said(at, false))
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let over = said(OVERLOADED, true);
    let (right, all) = (slow.0 + over.0, slow.1 + over.1);
    let share = right as f64 / all.max(1) as f64;
    Judged {
        what: "A slow dependency and an overload are told apart on the status page, when looked at"
            .to_owned(),
        measured: format!("{} of {} and {} of {} times", slow.0, slow.1, over.0, over.1),
        aim: "≥ 99 %".to_owned(),
        verdict: verdict(
            share >= TOLD_APART_LEAST,
            &format!("{:.0} %", (TOLD_APART_LEAST - share) * 100.0),
            found.run.void(),
        ),
    }
}

/// The middle one of the limits seen in a stretch; `None` if mostly there was none in the way.
pub(crate) fn limit(found: &Dependency, at: usize) -> Option<f64> {
    let mut limits: Vec<f64> = found
        .seen(at)
        .map(|glance| glance.limit.unwrap_or(f64::INFINITY))
        .collect();
    limits.sort_by(f64::total_cmp);
    limits
        .get(limits.len() / 2)
        .copied()
        .filter(|limit| limit.is_finite())
}

fn budgets(chains: &[Chain]) -> Option<Judged> {
    let single = chains.iter().filter(|chain| chain.link.hops == 1);
    let mut told = Vec::new();
    let mut over = f64::NEG_INFINITY;
    for chain in single.clone() {
        let (Some(allowed), Retrying::Alone(percent)) = (chain.allowed(), chain.link.retrying) else {
            continue;
        };
        over = over.max(chain.amplification() - allowed);
        let seen = format!("{percent} %: {:.3}", chain.amplification());
        if !told.contains(&seen) {
            told.push(seen);
        }
    }
    if told.is_empty() {
        return None;
    }
    Some(Judged {
        what: "Requests at a failing service for each at the edge, by retry budget".to_owned(),
        measured: told.join(", "),
        aim: "≤ 1 + budget + burst".to_owned(),
        verdict: verdict(
            over <= 0.0,
            &format!("{over:.3}"),
            voids(single.map(|chain| &chain.run)),
        ),
    })
}

fn hops(chains: &[Chain]) -> Option<Judged> {
    let judged = chains
        .iter()
        .filter(|chain| chain.link.hops == HOPS && chain.link.retrying == Retrying::Alone(BUDGET));
    let most = judged.clone().map(Chain::amplification).reduce(f64::max)?;
    Some(Judged {
        what: "The same over four hops, each with a budget of 10 %".to_owned(),
        measured: format!("{most:.3}×"),
        aim: format!("≤ {HOPS_MOST:.2}×"),
        verdict: verdict(
            most <= HOPS_MOST,
            &format!("{:.3}×", most - HOPS_MOST),
            voids(judged.map(|chain| &chain.run)),
        ),
    })
}

fn within(what: &str, measured: Option<Duration>, most: Duration, void: Option<String>) -> Judged {
    let missed_by = measured.map_or_else(
        || "more than was watched".to_owned(),
        |time| seconds(Some(time.saturating_sub(most))),
    );
    Judged {
        what: what.to_owned(),
        measured: seconds(measured),
        aim: format!("≤ {}", seconds(Some(most))),
        verdict: verdict(measured.is_some_and(|time| time <= most), &missed_by, void),
    }
}

/// A time as it is told; `None` is one that was not seen to end.
pub(crate) fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(
        || "never".to_owned(),
        |time| format!("{:.2} s", time.as_secs_f64()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::overload::samples::{Outcome, Samples, sample};
    use crate::bench::overload::scenarios::chain::Link;

    fn chain(hops: usize, percent: u32, arrived: u64) -> Chain {
        let samples = Samples {
            all: (0..1000).map(|at| sample(at, Outcome::Refused, 1)).collect(),
            lags: vec![Duration::from_millis(1); 1000],
        };
        Chain {
            link: Link {
                hops,
                failing_percent: 100,
                retrying: Retrying::Alone(percent),
            },
            run: Run {
                samples,
                arrived,
                ..Run::default()
            },
        }
    }

    fn verdict_of(judged: Option<Judged>) -> String {
        judged.map_or("not measured".to_owned(), |judged| judged.verdict)
    }

    #[test]
    fn a_budget_allows_its_share_and_its_burst_and_no_more() {
        assert_eq!(verdict_of(budgets(&[chain(1, 10, 1110)])), "met");
        assert_eq!(
            verdict_of(budgets(&[chain(1, 20, 1100), chain(1, 10, 1111)])),
            "**missed** by 0.001"
        );
        assert_eq!(verdict_of(budgets(&[chain(4, 10, 5000)])), "not measured");
    }

    #[test]
    fn four_hops_are_judged_by_the_worst() {
        assert_eq!(verdict_of(hops(&[chain(4, 10, 1100), chain(4, 10, 1200)])), "met");
        assert_eq!(
            verdict_of(hops(&[chain(4, 10, 1100), chain(4, 10, 1464)])),
            "**missed** by 0.264×"
        );
        assert_eq!(verdict_of(hops(&[chain(4, 50, 5000)])), "not measured");
    }

    #[test]
    fn a_generator_that_was_late_judges_nothing() {
        let mut late = chain(4, 10, 1100);
        late.run.samples.lags = vec![Duration::from_millis(50); 1000];
        let verdict = verdict_of(hops(&[late]));
        assert!(verdict.starts_with("void: "), "{verdict}");
        let mut busy = chain(4, 10, 1100);
        busy.run.busy = 0.9;
        assert!(verdict_of(hops(&[busy])).starts_with("void: "));
    }

    #[test]
    fn a_limit_that_comes_into_the_way_has_moved_and_one_that_leaves_it_has_not() {
        assert!((moved(Some(20.0), Some(19.0)) - 0.05).abs() < 1e-9);
        assert!((moved(None, Some(1000.0)) - 1.0).abs() < 1e-9);
        assert!(moved(Some(20.0), None).abs() < 1e-9 && moved(None, None).abs() < 1e-9);
    }

    #[test]
    fn what_was_not_seen_to_end_is_missed() {
        let most = Duration::from_secs(5);
        let judged = |time| within("x", time, most, None).verdict;
        assert_eq!(judged(Some(most)), "met");
        assert_eq!(judged(Some(Duration::from_secs(7))), "**missed** by 2.00 s");
        assert_eq!(judged(None), "**missed** by more than was watched");
    }
}
