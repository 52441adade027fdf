//! `cargo xtask bench rollouts`: how soon a bad candidate is found, and how seldom a good one is taken for one.
//!
//! What is simulated is in `lib/plimsoll-slo/benches/rollouts`, and says it in tables; this holds them to what was aimed at,
//! and draws them.

use std::process::ExitCode;

use anyhow::Context as _;

use super::aims::Judged;
use super::machine::Machine;
use super::plot::{Axis, Chart, Line, Scale};
use super::policy::benched;
use super::report;

/// Rules in the order of the tables; ours first.
const RULES: [&str; 4] = ["ours", "Flagger-like", "z-test, each 10 s", "z-test, once"];
const OURS: &str = RULES[0];

/// A row of a table, by its cells.
type Row<'a> = Vec<&'a str>;

pub(super) fn run(words: &[String]) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(words.is_empty(), "takes no arguments");
    let machine = Machine::look();
    let said = benched("plimsoll-slo", "rollouts")?;
    let tables: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with('|') || line.is_empty())
        .collect();
    let rows: Vec<Row<'_>> = tables.iter().map(|line| cells(line)).collect();
    let judged = judged(&rows).with_context(|| format!("reading the tables:\n{said}"))?;
    let chart = chart(&rows);
    let name = format!("{}-rollouts", machine.date);
    let text = format!(
        "{}\n{}\n{}\n\n![{}](results/{name}.svg)\n",
        machine.shown(),
        report::verdicts(&judged),
        tables.join("\n").trim(),
        chart.title,
    );
    println!("{text}");
    report::keep("rollouts", &machine.date, &text)?;
    let path = crate::root().join("bench/results").join(format!("{name}.svg"));
    std::fs::write(&path, chart.svg()).with_context(|| format!("writing {}", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn cells(line: &str) -> Row<'_> {
    let inner = line.trim_matches('|');
    inner.split('|').map(str::trim).collect()
}

fn number(cell: &str) -> Option<f64> {
    cell.trim_end_matches(" %").parse().ok()
}

/// The row that begins with these cells.
fn row<'r, 'a>(rows: &'r [Row<'a>], begins: &[&str]) -> Option<&'r Row<'a>> {
    rows.iter().find(|row| row.starts_with(begins))
}

/// What was aimed at, by the cell with this place of the row that begins so; `None` if something is not there.
fn judged(rows: &[Row<'_>]) -> Option<Vec<Judged>> {
    let dead = "100 % against 0.1 %";
    let aims = [
        (
            "a dead candidate, 100 requests/s: rolled back within, s, p99",
            vec!["100", dead, OURS],
            5,
            2.5,
        ),
        (
            "a dead candidate, 1,000 requests/s: rolled back within, s, p99",
            vec!["1000", dead, OURS],
            5,
            1.0,
        ),
        (
            "a dead candidate, 100 requests/s: failed requests, p99",
            vec!["100", dead, OURS],
            7,
            5.0,
        ),
        (
            "a dead candidate, 1,000 requests/s: failed requests, p99",
            vec!["1000", dead, OURS],
            7,
            5.0,
        ),
        (
            "5 % against 1 %, 100 requests/s: rolled back after, s, mean",
            vec!["100", "5 % against 1 %", OURS],
            4,
            60.0,
        ),
        (
            "as good, and rolled back: at most, %, exact bound",
            vec!["all of these", OURS],
            5,
            0.1,
        ),
    ];
    let judge = |(what, begins, place, most): (&str, Vec<&str>, usize, f64)| {
        let cell = *row(rows, &begins)?.get(place)?;
        let measured = number(cell)?;
        Some(Judged {
            what: what.to_owned(),
            measured: cell.to_owned(),
            aim: format!("≤ {most}"),
            verdict: if measured <= most {
                "met".to_owned()
            } else {
                format!("**missed** by {:.2}", measured - most)
            },
        })
    };
    aims.into_iter().map(judge).collect()
}

/// Failed requests before a dead candidate is rolled back, by the traffic.
fn chart(rows: &[Row<'_>]) -> Chart {
    let line = |rule: &&str| {
        let points = ["20", "100", "1000"].iter().filter_map(|rate| {
            let row = row(rows, &[rate, "100 % against 0.1 %", rule])?;
            Some((number(rate)?, number(row.get(7)?)?))
        });
        Line {
            name: (*rule).to_owned(),
            points: points.collect(),
        }
    };
    Chart {
        title: "Failed requests before a dead candidate is rolled back, 99th percentile".to_owned(),
        x: Axis {
            label: "requests per second, 5 % of them the candidate's".to_owned(),
            scale: Scale::Log(20.0, 1_000.0),
            ticks: vec![20.0, 100.0, 1_000.0],
        },
        y: Axis {
            label: "failed requests".to_owned(),
            scale: Scale::Log(1.0, 100_000.0),
            ticks: vec![1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0],
        },
        lines: RULES.iter().map(line).collect(),
        shade: None,
        mark: None,
        dots: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_is_said_and_what_is_not_there_is_no_success() {
        let text = "| 100 | 100 % against 0.1 % | ours | 100.0 % | 0.8 | 2.0 | 4.1 | 6 |
| 1000 | 100 % against 0.1 % | ours | 100.0 % | 0.1 | 0.2 | 4.1 | 5 |
| 100 | 5 % against 1 % | ours | 100.0 % | 58.0 | 147.0 | 14.0 | 20 |
| all of these | ours | 100000 | 20 | 0.020 % | 0.029 % |";
        let rows: Vec<Row<'_>> = text.lines().map(cells).collect();
        let verdicts: Vec<String> = judged(&rows)
            .unwrap()
            .into_iter()
            .map(|judged| judged.verdict)
            .collect();
        assert_eq!(
            verdicts,
            ["met", "met", "**missed** by 1.00", "met", "met", "met"]
        );
        assert!(judged(&rows[1..]).is_none());
        assert_eq!(chart(&rows).lines[0].points, [(100.0, 6.0), (1_000.0, 5.0)]);
    }
}
