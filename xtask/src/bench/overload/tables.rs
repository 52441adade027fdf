//! Everything that was measured, as tables in Markdown.

use std::time::Duration;

use super::Findings;
use super::arrivals::Class;
use super::judge::{limit, seconds};
use super::peers::Retrying;
use super::samples::Summary;
use super::scenarios::dependency::{SLOW, STRETCHES};
use super::scenarios::sweep::{FRESH, Level, Sweep};
use super::world::Run;

/// All tables, in the order of the scenarios; nothing of what was not run.
pub(crate) fn all(findings: &Findings) -> String {
    let parts = [
        sweeps(&findings.sweeps),
        steps(findings),
        steadies(findings),
        dependencies(findings),
        outages(findings),
        dyings(findings),
        chains(findings),
        generator(findings),
    ];
    parts.concat()
}

fn titled(title: &str, head: &str, rows: &[String]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let columns = head.matches('|').count() - 1;
    format!(
        "\n**{title}**\n\n{head}\n{}|\n{}",
        "|---".repeat(columns),
        rows.concat()
    )
}

fn sweeps(sweeps: &[(&'static str, Sweep)]) -> String {
    let mut rows = Vec::new();
    let levels = sweeps.iter().map(|(_, sweep)| sweep.0.len()).max().unwrap_or(0);
    for at in 0..levels {
        for (peer, sweep) in sweeps {
            if let Some(level) = sweep.0.get(at) {
                rows.push(level_row(peer, level));
            }
        }
    }
    titled(
        "From 0.3 to 10 times the capacity; per second, after 3 s to adapt",
        "| times | proxy | offered | good | refused | timed out | other | p50, ms | p99, ms | critical, % | normal, % | sheddable, % | proxy's CPU, % |",
        &rows,
    )
}

fn level_row(peer: &str, level: &Level) -> String {
    let summary = level.summary();
    let per_second = |count: usize| count as f64 / summary.seconds;
    let classes: Vec<String> = Class::ALL
        .iter()
        .map(|class| percent(level.of_class(*class).good_share()))
        .collect();
    format!(
        "| {} | {peer}{} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {} | {} | {} | {:.0} |\n",
        level.times,
        void_mark(&level.run),
        per_second(summary.offered),
        summary.goodput(),
        per_second(summary.refused),
        per_second(summary.timed_out),
        per_second(summary.failed + summary.broken),
        millis(summary.p50),
        millis(summary.p99),
        classes.join(" | "),
        level.run.proxy_busy * 100.0,
    )
}

fn steps(findings: &Findings) -> String {
    let mut rows = Vec::new();
    for (peer, level) in &findings.fresh {
        let sweep = findings.sweeps.iter().find(|(known, _)| known == peer);
        rows.extend(sweep.map(|(_, sweep)| step_row(" of a proxy just started", peer, level, sweep)));
    }
    for times in [FRESH, 10.0] {
        for (peer, sweep) in &findings.sweeps {
            rows.extend(sweep.at(times).map(|level| step_row("", peer, level, sweep)));
        }
    }
    titled(
        "The step up from half the capacity: how long until it stays so, and the critical requests from its first moment on",
        "| to | proxy | good, 1/s, after 3 s | goodput within 5 % of its final value | p99 within 2× the unloaded one | critical, % |",
        &rows,
    )
}

fn step_row(what: &str, peer: &str, level: &Level, sweep: &Sweep) -> String {
    let [goodput, latency] = level.settled(sweep.unloaded_p99()).map(seconds);
    let (from, to) = level.stepped;
    let critical = level
        .run
        .samples
        .of(from, to, |sample| sample.class == Class::Critical);
    format!(
        "| {}×{what} | {peer}{} | {:.0} | {goodput} | {latency} | {} |\n",
        level.times,
        void_mark(&level.run),
        level.summary().goodput(),
        percent(critical.good_share())
    )
}

fn steadies(findings: &Findings) -> String {
    let rows: Vec<String> = findings
        .steadies
        .iter()
        .map(|(peer, steady)| {
            let summary = steady.summary();
            format!(
                "| {peer}{} | {} | {} | {} | {} | {} | {} |\n",
                void_mark(&steady.run),
                summary.offered,
                summary.refused,
                summary.timed_out,
                summary.failed + summary.broken,
                millis(summary.p50),
                millis(summary.p99)
            )
        })
        .collect();
    titled(
        "Steady load, 0.7 times the capacity",
        "| proxy | requests | refused | timed out | other | p50, ms | p99, ms |",
        &rows,
    )
}

fn dependencies(findings: &Findings) -> String {
    let mut rows = Vec::new();
    for (at, now) in STRETCHES.iter().enumerate() {
        for (peer, found) in &findings.dependencies {
            let side =
                |summary: &Summary| format!("{} | {}", percent(summary.good_share()), millis(summary.p99));
            rows.push(format!(
                "| {}× | {}× | {peer}{} | {} | {} | {} |\n",
                now.slower,
                now.times,
                void_mark(&found.run),
                side(&found.summary(at, false)),
                side(&found.summary(at, true)),
                limit(found, at).map_or_else(|| "—".to_owned(), |limit| format!("{limit:.0}")),
            ));
        }
    }
    let mut text = titled(
        "A slow dependency, which half of the requests need, and then an overload",
        "| dependency takes | load | proxy | good of those that do not need it, % | p99, ms | good of those that do, % | p99, ms | limit |",
        &rows,
    );
    for (_, found) in &findings.dependencies {
        text.push_str(&said(found));
    }
    text
}

/// What ours said about it on its status page, each sentence once.
fn said(found: &super::scenarios::dependency::Dependency) -> String {
    let mut sentences: Vec<String> = Vec::new();
    for at in SLOW {
        for glance in found.seen(at) {
            for sentence in &glance.attention {
                let sentence = without_numbers(sentence);
                if !sentences.contains(&sentence) {
                    sentences.push(sentence);
                }
            }
        }
    }
    if found.glances.is_empty() {
        return String::new();
    }
    if sentences.is_empty() {
        return "\nWhile the dependency was slow, the status page of plimsoll had nothing to say.\n"
            .to_owned();
    }
    format!(
        "\nWhile the dependency was slow, the status page of plimsoll said: {}\n",
        sentences.join(" ")
    )
}

/// Sentences that differ in a number only are the same sentence.
fn without_numbers(sentence: &str) -> String {
    let mut text = String::new();
    for letter in sentence.chars() {
        if letter.is_ascii_digit() {
            if !text.ends_with('…') {
                text.push('…');
            }
        } else {
            text.push(letter);
        }
    }
    text
}

fn outages(findings: &Findings) -> String {
    let rows: Vec<String> = findings
        .outages
        .iter()
        .map(|(peer, way, outage)| {
            format!(
                "| {way} | {peer}{} | {} | {:.2} |\n",
                void_mark(&outage.run),
                seconds(outage.recovered()),
                outage.amplification()
            )
        })
        .collect();
    titled(
        "30 s without the service, callers who try three more times at once; load 0.7 times the capacity",
        "| the service | proxy | at least 99 % good again after | requests at the service for each wanted |",
        &rows,
    )
}

fn dyings(findings: &Findings) -> String {
    let rows: Vec<String> = findings
        .dyings
        .iter()
        .map(|(peer, way, dying)| {
            let summary = dying.summary();
            format!(
                "| {way} | {peer}{} | {} | {} | {} | {} |\n",
                void_mark(&dying.run),
                summary.offered,
                summary.bad(),
                seconds(Some(dying.last_bad())),
                millis(summary.p99)
            )
        })
        .collect();
    titled(
        "One endpoint of three dies; load half of what the three can do",
        "| it | proxy | requests since | bad | the last of them after | p99, ms |",
        &rows,
    )
}

fn chains(findings: &Findings) -> String {
    let rows: Vec<String> = findings
        .chains
        .iter()
        .map(|chain| {
            let retrying = match chain.link.retrying {
                Retrying::Alone(percent) => format!("{percent} %"),
                Retrying::AsShipped => "10 %, and all other protections".to_owned(),
            };
            format!(
                "| {} | {} | {retrying} | {} | {:.3}{} |\n",
                chain.link.hops,
                chain.link.failing_percent,
                chain.requests(),
                chain.amplification(),
                void_mark(&chain.run)
            )
        })
        .collect();
    titled(
        "Retries at a service that fails, plimsoll at every hop",
        "| hops | failing, % | budget | requests at the edge | at the service for each |",
        &rows,
    )
}

/// What the load was like at its own end, over all runs.
fn generator(findings: &Findings) -> String {
    let runs = runs(findings);
    if runs.is_empty() {
        return String::new();
    }
    let void = runs.iter().filter(|run| run.void().is_some()).count();
    let lag = runs
        .iter()
        .map(|run| run.samples.lag_p99())
        .max()
        .unwrap_or(Duration::ZERO);
    let busy = runs.iter().map(|run| run.busy).fold(0.0, f64::max);
    format!(
        "\nThe load judged itself in each of the {} runs: at most {:.1} ms late in 99 of 100 requests, and at most {:.0} % \
         of its CPU, the service included.\n{void} of the runs are void for that, and marked (v).\n",
        runs.len(),
        lag.as_secs_f64() * 1e3,
        busy * 100.0,
    )
}

fn runs(findings: &Findings) -> Vec<&Run> {
    let mut runs: Vec<&Run> = Vec::new();
    runs.extend(
        findings
            .sweeps
            .iter()
            .flat_map(|(_, sweep)| sweep.0.iter().map(|level| &level.run)),
    );
    runs.extend(findings.fresh.iter().map(|(_, level)| &level.run));
    runs.extend(findings.steadies.iter().map(|(_, found)| &found.run));
    runs.extend(findings.dependencies.iter().map(|(_, found)| &found.run));
    runs.extend(findings.outages.iter().map(|(.., found)| &found.run));
    runs.extend(findings.dyings.iter().map(|(.., found)| &found.run));
    runs.extend(findings.chains.iter().map(|found| &found.run));
    runs
}

fn void_mark(run: &Run) -> &'static str {
    if run.void().is_some() { " (v)" } else { "" }
}

/// Rounded down, so that 100 means all.
fn percent(share: f64) -> String {
    format!("{:.1}", (share * 1000.0).floor() / 10.0)
}

fn millis(number: f64) -> String {
    if number.is_nan() {
        return "—".to_owned();
    }
    format!("{number:.0}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_of_what_was_not_run() {
        assert_eq!(all(&Findings::default()), "");
    }

    #[test]
    fn a_table_has_as_many_columns_as_its_head() {
        let text = titled("T", "| a | b |", &["| 1 | 2 |\n".to_owned()]);
        assert_eq!(text, "\n**T**\n\n| a | b |\n|---|---|\n| 1 | 2 |\n");
    }

    #[test]
    fn a_hundred_per_cent_is_all_of_them() {
        assert_eq!(
            (percent(0.9999), percent(1.0)),
            ("99.9".to_owned(), "100.0".to_owned())
        );
    }

    #[test]
    fn sentences_are_told_apart_by_their_words() {
        assert_eq!(without_numbers("12 of 30 are up."), "… of … are up.");
    }
}
