//! What judging costs: counting an outcome for an objective, a request of a journey and of one of two versions, and a
//! second of ten thousand judges.
//!
//! `cargo bench -p gateway`, or `cargo xtask bench judge`, which makes a table of it. One line for each: its name, a
//! tab, and nanoseconds for each outcome or objective: the least, the median and the greatest of the batches.

#![allow(clippy::print_stdout, reason = "a benchmark talks to whoever ran it")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway::objectives::ObjectiveCounts;
use gateway::plan::{Between, Good, ObjectivePlan, SplitPlan, WalkKey, WalkPlan};
use gateway::splits::Split;
use plimsoll_policy::SeededDice;
use plimsoll_slo::{Class, Counts, Judge, Objective, Outcome, Reason, SLOTS, Second, Target, Window};

/// Outcomes in a batch, and batches, of which the first tenth only warms up.
const OUTCOMES: u32 = 1_000;
const BATCHES: usize = 1_000;
/// Objectives, and seconds in which they are judged: more than a minute, so that minutes turn in it.
const OBJECTIVES: usize = 10_000;
const SECONDS: u64 = 100;

fn main() {
    for (name, class) in [
        ("count a good outcome", Class::Good),
        ("count a bad outcome", Class::Bad(Reason::UpstreamReset)),
    ] {
        report(name, &counting(class));
    }
    report("count a step of a journey", &steps());
    report("draw a version and count for it", &versions(None));
    report(
        "draw a version by a key and count for it",
        &versions(Some(WalkKey::Trace)),
    );
    for (name, counts, callers) in [
        ("judge a second, all is well", Counts { good: 10, bad: 0 }, 0),
        ("judge a second of an outage", Counts { good: 0, bad: 10 }, 10),
    ] {
        report(name, &judging(counts, callers));
    }
}

fn report(name: &str, batches: &[f64]) {
    let mut batches = batches[batches.len() / 10..].to_vec();
    batches.sort_by(f64::total_cmp);
    let (least, greatest) = (batches[0], batches[batches.len() - 1]);
    println!(
        "{name}\t{least:.1}\t{:.1}\t{greatest:.1}",
        batches[batches.len() / 2]
    );
}

fn counts(walk: Option<WalkPlan>) -> Arc<ObjectiveCounts> {
    let plan = ObjectivePlan {
        name: "checkout".into(),
        routes: Vec::new(),
        tier: None,
        good: Good::Served {
            latency_max: Some(Duration::from_millis(300)),
        },
        walk,
    };
    Arc::new(ObjectiveCounts::new(&plan, 1))
}

fn outcome(class: Class) -> Outcome {
    Outcome {
        class,
        latency: Duration::from_millis(20),
        first_byte: Duration::from_millis(20),
        attempts: 1,
    }
}

/// Requests that are split between two versions: what that costs each of them, from the draw to what is counted of it.
fn versions(key: Option<WalkKey>) -> Vec<f64> {
    let by_key = key.is_some();
    let split = Split::new(
        SplitPlan {
            change: "orders-1".into(),
            between: Between::Versions {
                stable: "orders".into(),
                candidate: "orders@v2".into(),
            },
            key,
            slow: Some([10, 20, 30].map(Duration::from_millis)),
        },
        1,
    );
    split.set(0, SLOTS / 20);
    let mut dice = SeededDice::new(7);
    let took = Some(Duration::from_millis(9));
    let batch = |_| {
        timed(OUTCOMES as usize, || {
            for user in 0..u64::from(OUTCOMES) {
                let key = by_key.then_some(Some(user.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
                let drawn = black_box(&split).draw(key, &mut dice);
                split.record(0, drawn, black_box(false), took);
            }
        })
    };
    (0..BATCHES).map(batch).collect()
}

/// Journeys of three requests each, of which a thousand are under way at once.
fn steps() -> Vec<f64> {
    let counts = counts(Some(WalkPlan {
        key: WalkKey::Trace,
        within: Duration::from_mins(30),
        ends: Vec::new(),
    }));
    let outcome = outcome(Class::Good);
    let batch = |batch: usize| {
        let now = plimsoll_slo::Instant::from_nanos(1_000_000 * batch as u64);
        let (of, step) = ((batch / 3) as u64, batch % 3);
        timed(OUTCOMES as usize, || {
            for user in 0..u64::from(OUTCOMES) {
                // As spread as the hash that stands here otherwise.
                let name = (of * u64::from(OUTCOMES) + user).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let walk = (Some(name >> 7), step == 2);
                black_box(&counts).record_step(0, now, walk, black_box(&outcome), false, || 0);
            }
        })
    };
    (0..BATCHES).map(batch).collect()
}

fn counting(class: Class) -> Vec<f64> {
    let counts = counts(None);
    let outcome = outcome(class);
    let batch = |_| {
        timed(OUTCOMES as usize, || {
            for caller in 0..OUTCOMES {
                black_box(&counts).record(0, black_box(&outcome), false, || caller.into());
            }
        })
    };
    (0..BATCHES).map(batch).collect()
}

fn judging(counts: Counts, callers: u64) -> Vec<f64> {
    let month = Window::Rolling(Duration::from_hours(30 * 24));
    let objective = Objective::of_events(Target::new(0.999).expect("it is one"), month);
    let mut judges: Vec<Judge> = (0..OBJECTIVES).map(|_| Judge::new(objective)).collect();
    // Budgets of a month at this rate, or an outage would have spent them at once, which is quick to say.
    let month = Counts { good: 600, bad: 0 };
    for judge in &mut judges {
        (0..43_200).for_each(|minute| _ = judge.restore(minute, month, 60));
    }
    let second = |second| {
        let at = Second(43_200 * 60 + second);
        timed(OBJECTIVES, || {
            for judge in &mut judges {
                judge.second(at, counts, callers);
                black_box(judge.verdict());
            }
        })
    };
    (0..SECONDS).map(second).collect()
}

/// Nanoseconds for each of so many.
#[expect(
    clippy::disallowed_methods,
    reason = "it times real work; nothing here is ever simulated"
)]
fn timed(each: usize, work: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_nanos() as f64 / each as f64
}
