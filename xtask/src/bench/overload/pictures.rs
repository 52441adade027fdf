//! The pictures of a run.

use std::time::Duration;

use super::Findings;
use super::arrivals::Class;
use super::scenarios::SERVICE;
use super::scenarios::outage::{OUTAGE, end};
use super::scenarios::sweep::{Level, SETTLE, Sweep};
use crate::bench::plot::{Axis, Chart, Line, Scale};

/// The level whose course over time is drawn.
const STEP: f64 = 10.0;
/// How finely a course is drawn.
const SLICE: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Picture {
    /// Part of its file's name.
    pub(crate) name: String,
    pub(crate) chart: Chart,
}

/// Every picture that there is something to draw for.
pub(crate) fn draw(findings: &Findings) -> Vec<Picture> {
    let mut pictures = Vec::new();
    if !findings.sweeps.is_empty() {
        pictures.extend(sweep(&findings.sweeps));
    }
    for way in ["crash", "hang"] {
        let lines: Vec<Line> = findings
            .outages
            .iter()
            .filter(|(_, which, _)| *which == way)
            .map(|(peer, _, outage)| line(peer, outage.seconds()))
            .collect();
        if !lines.is_empty() {
            pictures.push(outage(way, lines));
        }
    }
    pictures
}

/// As they stand at the end of the section in `bench/README.md`.
pub(crate) fn shown(pictures: &[Picture], name: &str) -> String {
    let links: Vec<String> = pictures
        .iter()
        .map(|picture| {
            let title = &picture.chart.title;
            format!("\n![{title}](results/{name}-{}.svg)\n", picture.name)
        })
        .collect();
    links.concat()
}

fn line(peer: &str, points: Vec<(f64, f64)>) -> Line {
    Line {
        name: peer.to_owned(),
        points,
    }
}

fn axis(label: &str, scale: Scale, ticks: &[f64]) -> Axis {
    Axis {
        label: label.to_owned(),
        scale,
        ticks: ticks.to_vec(),
    }
}

fn sweep(sweeps: &[(&'static str, Sweep)]) -> Vec<Picture> {
    let over_levels = |figure: &dyn Fn(&Level) -> f64| -> Vec<Line> {
        sweeps
            .iter()
            .map(|(peer, sweep)| {
                line(
                    peer,
                    sweep.0.iter().map(|level| (level.times, figure(level))).collect(),
                )
            })
            .collect()
    };
    let offered = || {
        axis(
            "offered load, times the capacity",
            Scale::Log(0.3, 10.0),
            &[0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0],
        )
    };
    let capacity = SERVICE.capacity();
    let goodput = Chart {
        title: "Good answers per second, by offered load".to_owned(),
        x: offered(),
        y: axis(
            "good answers, 1/s",
            Scale::Linear(0.0, 600.0),
            &[0.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0],
        ),
        lines: over_levels(&|level| level.summary().goodput()),
        shade: None,
        mark: Some((capacity, "capacity".to_owned())),
        dots: true,
    };
    let latency = Chart {
        title: "99 % of good answers came within, by offered load".to_owned(),
        y: axis(
            "p99 of good answers, ms",
            Scale::Log(50.0, 1000.0),
            &[50.0, 100.0, 200.0, 500.0, 1000.0],
        ),
        lines: over_levels(&|level| level.summary().p99),
        mark: None,
        ..goodput.clone()
    };
    let critical = Chart {
        title: "Critical requests that ended well, by offered load".to_owned(),
        y: axis(
            "good, %",
            Scale::Linear(0.0, 100.0),
            &[0.0, 25.0, 50.0, 75.0, 100.0],
        ),
        lines: over_levels(&|level| level.of_class(Class::Critical).good_share() * 100.0),
        ..latency.clone()
    };
    let step = step(sweeps);
    let named = |name: &str, chart| Picture {
        name: name.to_owned(),
        chart,
    };
    vec![
        named("goodput", goodput),
        named("latency", latency),
        named("critical", critical),
        named("step", step),
    ]
}

fn step(sweeps: &[(&'static str, Sweep)]) -> Chart {
    let stepped = sweeps
        .iter()
        .find_map(|(_, sweep)| sweep.at(STEP))
        .map(|level| level.stepped);
    let (from, to) = stepped.unwrap_or_default();
    let lines = sweeps
        .iter()
        .filter_map(|(peer, sweep)| Some(line(peer, course(sweep.at(STEP)?, to))))
        .collect();
    let (begin, end) = (-from.as_secs_f64(), (to.saturating_sub(from)).as_secs_f64());
    let ticks: Vec<f64> = (-4..=20)
        .step_by(2)
        .map(f64::from)
        .filter(|tick| *tick <= end)
        .collect();
    Chart {
        title: "Good answers per second around a step from 0.5 to 10 times the capacity".to_owned(),
        x: axis(
            "seconds since the step",
            Scale::Linear(begin, end.max(1.0)),
            &ticks,
        ),
        y: axis(
            "good answers, 1/s",
            Scale::Linear(0.0, 800.0),
            &[0.0, 200.0, 400.0, 600.0, 800.0],
        ),
        lines,
        shade: Some((0.0, SETTLE.as_secs_f64(), "time to adapt".to_owned())),
        mark: Some((SERVICE.capacity(), "capacity".to_owned())),
        dots: false,
    }
}

/// Good answers per second, slice by slice, with the step at zero.
fn course(level: &Level, to: Duration) -> Vec<(f64, f64)> {
    let (mut at, mut points) = (Duration::ZERO, Vec::new());
    while at + SLICE <= to {
        let middle = (at + SLICE / 2).as_secs_f64() - level.stepped.0.as_secs_f64();
        points.push((middle, level.run.samples.between(at, at + SLICE).goodput()));
        at += SLICE;
    }
    points
}

fn outage(way: &str, lines: Vec<Line>) -> Picture {
    let seconds = lines.iter().map(|line| line.points.len()).max().unwrap_or(1) as f64;
    let ticks: Vec<f64> = (0..=120)
        .step_by(10)
        .map(f64::from)
        .filter(|tick| *tick <= seconds)
        .collect();
    let over = end().as_secs_f64();
    Picture {
        name: format!("outage-{way}"),
        chart: Chart {
            title: format!("Requests that ended well around a 30 s outage ({way}) with naive callers"),
            x: axis("seconds", Scale::Linear(0.0, seconds), &ticks),
            y: axis(
                "good, %",
                Scale::Linear(0.0, 100.0),
                &[0.0, 25.0, 50.0, 75.0, 100.0],
            ),
            lines,
            shade: Some((over - OUTAGE.as_secs_f64(), over, "outage".to_owned())),
            mark: None,
            dots: false,
        },
    }
}
