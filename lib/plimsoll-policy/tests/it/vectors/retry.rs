//! Retries: requests one after another, each with what becomes of its attempts.
//! `after method left body attempt,attempt,… => attempts outcome ~ends`.
//!
//! A request comes `after` so long a pause, by its method and perhaps with a key (`POST+key`), with so much time `left`
//! until its deadline, and with so many bytes. An attempt is what becomes of it and how long that takes:
//! `503:20`; with what the service says about coming back, `503/1:20`, in seconds; `grpc14:20`; `reset:20`;
//! `refused:20`, a connection that was refused; `late:20`, a try that was given up.
//! When it is over is told from its beginning.

use std::time::Duration;

use plimsoll_policy::{
    Attempted, Failure, FailureKind, Judged, Pushback, Repeatable, RetryBudget, RetryDecision, SeededDice,
};
use plimsoll_slo::{Instant, Reason};

use super::format::{Case, RETRY};
use super::{Dice as _, Draw as _, Rolled, Vectors};

pub(super) const VECTORS: Vectors = Vectors {
    name: "retry",
    text: RETRY,
    about: "Retries: after method left body attempt,attempt,… => attempts outcome ~ends",
    cases: 60,
    draw,
    play,
};

const METHODS: &[&str] = &["GET", "GET", "PUT", "DELETE", "POST", "POST+key", "PATCH"];
const STATUSES: &[&str] = &["503", "503", "502", "500", "429", "503/1", "503/9"];
/// What the gateway cannot be made to see of its upstream by a status.
const OTHER: &[&str] = &["503", "503/1", "reset", "refused", "late", "grpc14", "grpc8"];

fn draw(dice: &mut SeededDice) -> (String, Vec<String>) {
    let base = dice.within(0, 40);
    let config = format!(
        "retries={} base={base} cap={} on-timeout={} retry-after-max={} body-max={} idempotent={} percent={} burst={}",
        dice.within(0, 3),
        base * 3,
        dice.one(&["yes", "yes", "no"]),
        dice.one(&[&500, &2000]),
        dice.one(&[&0, &64]),
        dice.one(&["no", "no", "yes"]),
        dice.one(&[&10, &25, &50, &100]),
        dice.within(0, 4),
    );
    let statuses_only = dice.below(2) == 0;
    let steps = (0..10).map(|_| {
        let mut attempts: Vec<_> = (0..dice.within(0, 3))
            .map(|_| {
                format!(
                    "{}:{}",
                    dice.one(if statuses_only { STATUSES } else { OTHER }),
                    dice.within(0, 30)
                )
            })
            .collect();
        attempts.push(format!("200:{}", dice.within(0, 30)));
        let left = match dice.below(3) {
            0 if !statuses_only => dice.within(10, 150),
            _ => 60_000,
        };
        let body = dice.one(&[&0, &40, &64, &65]);
        format!(
            "{} {} {left} {body} {}",
            dice.within(1, 200),
            dice.one(METHODS),
            attempts.join(",")
        )
    });
    let steps = steps.collect();
    (config, steps)
}

fn play(case: &Case<'_>, dice: &mut dyn FnMut() -> u64) -> Vec<String> {
    let (config, budget, mut dice) = (case.retry(), RetryBudget::new(&case.budget()), Rolled(dice));
    let mut now = Instant::ORIGIN;
    let mut answers = Vec::new();
    for step in &case.steps {
        now = now + step.ms(0);
        let (began, method) = (now, step.word(1));
        budget.deposit();
        for (retries_done, attempt) in (0u32..).zip(step.word(4).split(',')) {
            let (what, takes) = attempt.split_once(':').expect("what, and how long it takes");
            now = now + Duration::from_millis(takes.parse().expect("a number"));
            let bare = method.split('+').next().expect("a method");
            let attempted = Attempted {
                repeatable: Repeatable::of(bare, bare != method),
                retries_done,
                upstream_of_retry: false,
                body_replayable: step.number(3) <= config.body_max,
                deadline: began + step.ms(2),
            };
            let again =
                failure(what).map(|failure| config.decide(now, &attempted, &failure, &budget, &mut dice));
            let Some(RetryDecision::Again(wait)) = again else {
                let took = (now - began).as_millis();
                answers.push(format!(
                    "{} {} ~{took}",
                    retries_done + 1,
                    what.split('/').next().unwrap_or(what)
                ));
                break;
            };
            // A timer rings at the first whole millisecond that is not before its time.
            let woken = (now + wait).as_nanos().div_ceil(1_000_000);
            now = Instant::from_nanos(woken * 1_000_000);
        }
    }
    answers
}

/// The failure that this is; `None` for what is none.
fn failure(what: &str) -> Option<Failure> {
    let refused = |reason| Failure {
        kind: FailureKind::Refused(reason),
        pushback: Pushback::None,
    };
    match what {
        "reset" => Some(refused(Reason::UpstreamReset)),
        "refused" => Some(refused(Reason::UpstreamRefused)),
        "late" => Some(refused(Reason::UpstreamTimeout)),
        "grpc14" => Judged::grpc(14, Pushback::None).failure,
        "grpc8" => Judged::grpc(8, Pushback::None).failure,
        status => {
            let (status, after) = status.split_once('/').unwrap_or((status, ""));
            let after = after.parse().ok().map(Duration::from_secs);
            let pushback = after.map_or(Pushback::None, Pushback::After);
            Judged::http(status.parse().expect("a status"), pushback).failure
        }
    }
}
