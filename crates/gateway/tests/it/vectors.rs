//! The vectors that the policies decide, asked of the whole gateway in a world of memory.
//!
//! The gateway's dice serve identities and traces as well as policies, so it plays the cases that decide the same
//! however dice fall; and of those, the ones whose service speaks by statuses.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use gateway::plan::{AdaptivePlan, KeyPart, RatePlan, RoutePlan, UpstreamPlan};
use http::HeaderName;
use tokio::time::{sleep, sleep_until, timeout_at};

use crate::still::{Bench, Got};

#[path = "../../../../lib/plimsoll-policy/tests/it/vectors/format.rs"]
mod format;
use format::{Case, Step};

/// Asks for every step at its time, side by side. `fields` makes the script and what else the head has.
async fn side_by_side(
    bench: Bench,
    case: &Case<'_>,
    request: impl Fn(&Step<'_>) -> (String, String),
    say: impl Fn(Got) -> String + Copy + 'static,
) -> Vec<String> {
    let bench = Rc::new(bench);
    let asked = case.steps.iter().enumerate().map(|(index, step)| {
        let (bench, (script, fields)) = (Rc::clone(&bench), request(step));
        let at = bench.began + step.ms(0);
        tokio::task::spawn_local(async move {
            sleep_until(at).await;
            let patience = at + Duration::from_hours(1);
            let name = index.to_string();
            let got = bench.ask(&name, ("GET", 0), &script, &fields);
            say(timeout_at(patience, got)
                .await
                .expect("an answer")
                .expect("an answer"))
        })
    });
    let mut answers = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        answers.push(asked.await.unwrap());
    }
    answers
}

/// What counts of an answer: what does not hang on the dice; of times in nanoseconds the milliseconds, which is what
/// callers are told; and of two statuses that of HTTP, which is what they see.
fn said(answer: &str) -> String {
    let counts = |word: &str| match word.strip_suffix("ns") {
        Some(nanos) => format!("{}ms", nanos.parse::<u64>().unwrap() / 1_000_000),
        None if word.starts_with("abort=") => word.split('/').next().unwrap().to_owned(),
        None => word.to_owned(),
    };
    let words = format::without_dice(answer);
    words.split(' ').map(counts).collect::<Vec<_>>().join(" ")
}

/// Plays the cases of a text that `chosen` takes, each on a clock and in a world of its own.
fn check(
    text: &str,
    chosen: impl Fn(&Case<'_>) -> bool,
    mut play: impl AsyncFnMut(&Case<'_>) -> Vec<String>,
) -> usize {
    format::check(
        text,
        |case| case.any_dice() && chosen(case),
        said,
        |case| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_time().start_paused(true);
            let runtime = runtime
                .build_local(tokio::runtime::LocalOptions::default())
                .unwrap();
            runtime.block_on(play(case))
        },
    )
}

#[test]
fn rate() {
    let decided = check(
        format::RATE,
        |_| true,
        async |case| {
            let limit = RatePlan {
                name: "v".into(),
                key: vec![KeyPart::Header(HeaderName::from_static("x-caller"))],
                quota: case.quota(),
                by_tier: Vec::new(),
                keys_max: 1000,
            };
            let bench = Bench::new(|route, _| route.rates = vec![limit], 0).await;
            let request = |step: &Step<'_>| ("200:0".to_owned(), format!("x-caller: {}\r\n", step.word(1)));
            side_by_side(bench, case, request, |got| match (got.status, got.reason()) {
                (200, _) => {
                    let told = got.fields["ratelimit"].strip_prefix("\"v\";r=").unwrap();
                    let (left, reset) = told.split_once(";t=").unwrap();
                    format!("admit {left} {reset}")
                }
                (429, "rate-limited") => format!("refuse {}ms", got.number("retry_after_ms")),
                (status, reason) => format!("{status} {reason}"),
            })
            .await
        },
    );
    assert_eq!(decided, 960);
}

#[test]
fn bulkhead() {
    let decided = check(
        format::BULKHEAD,
        |_| true,
        async |case| {
            let bench = Bench::new(|_, upstream| upstream.in_flight_max = case.number("max"), 0).await;
            let request = |step: &Step<'_>| (format!("200:{}", step.word(1)), String::new());
            side_by_side(bench, case, request, |got| match (got.status, got.reason()) {
                (200, _) => "admit".to_owned(),
                (503, "bulkhead-full") => "refuse".to_owned(),
                (status, reason) => format!("{status} {reason}"),
            })
            .await
        },
    );
    assert_eq!(decided, 640);
}

/// Whether nobody in the case leaves, breaks off or resets: whatever becomes of a request is a status.
fn statuses_only(case: &Case<'_>) -> bool {
    case.steps.iter().all(|step| step.word(2).parse::<u16>().is_ok())
}

#[test]
fn breaker() {
    let decided = check(format::BREAKER, statuses_only, async |case| {
        let bench = Bench::new(|_, upstream| upstream.breaker = Some(case.breaker()), 0).await;
        let request = |step: &Step<'_>| (format!("{}:{}", step.word(2), step.word(1)), String::new());
        side_by_side(bench, case, request, |got| match got.reason() {
            "" => "admit".to_owned(),
            "breaker-tripped" => "refuse".to_owned(),
            reason => reason.to_owned(),
        })
        .await
    });
    assert_eq!(decided, 624);
}

#[test]
fn deadline() {
    let decided = check(
        format::DEADLINE,
        |_| true,
        async |case| {
            let mut bench = Bench::new(|route, _| route.deadline = case.deadline(), 0).await;
            if case.get("trusting") == Some("no") {
                bench.peer = SocketAddr::from(([10, 0, 0, 2], 1000));
            }
            let request = |step: &Step<'_>| {
                let asked = match step.word(1).split_once(':') {
                    Some(("grpc", value)) => format!("grpc-timeout: {value}\r\n"),
                    Some((_, value)) => format!("x-plimsoll-deadline-ms: {value}\r\n"),
                    None => String::new(),
                };
                (format!("200:{}", step.word(2)), asked)
            };
            side_by_side(bench, case, request, |got| match got.reason() {
                "" => format!("answered {}", got.attempts[0]["x-plimsoll-deadline-ms"]),
                "deadline-unmeetable" => "unmeetable".to_owned(),
                "deadline-exceeded" => format!("exceeded {}", got.at.as_millis()),
                reason => reason.to_owned(),
            })
            .await
        },
    );
    assert_eq!(decided, 480);
}

#[test]
fn tries() {
    let decided = check(
        format::TRY,
        |_| true,
        async |case| {
            let bench = Bench::new(|route, _| route.deadline = case.deadline(), 0).await;
            let request = |step: &Step<'_>| {
                let left = step.word(1);
                let asked = match step.word(3) {
                    "grpc" => format!("content-type: application/grpc\r\ngrpc-timeout: {left}m\r\n"),
                    _ => format!("x-plimsoll-deadline-ms: {left}\r\n"),
                };
                (format!("200:{}", step.word(2)), asked)
            };
            side_by_side(bench, case, request, |got| {
                let seen = &got.attempts[0];
                let mut told = seen["x-plimsoll-deadline-ms"].clone();
                if let Some(timeout) = seen.get("grpc-timeout") {
                    told = told + "/" + timeout;
                }
                let at = got.at.as_millis();
                match got.reason() {
                    "" => format!("answered {told}"),
                    "upstream-timeout" => format!("timeout {told} {at}"),
                    "deadline-exceeded" => format!("exceeded {told} {at}"),
                    reason => reason.to_owned(),
                }
            })
            .await
        },
    );
    assert_eq!(decided, 480);
}

/// Whether all attempts of the case come to a status, and nobody is in a hurry.
fn unhurried_statuses(case: &Case<'_>) -> bool {
    case.steps.iter().all(|step| {
        let mut attempts = step.word(4).split(',');
        step.number(2) == 60_000
            && attempts.all(|attempt| attempt.starts_with(|first: char| first.is_ascii_digit()))
    })
}

#[test]
fn retry() {
    let decided = check(format::RETRY, unhurried_statuses, async |case| {
        let tune = |route: &mut RoutePlan, upstream: &mut UpstreamPlan| {
            (route.retry, upstream.budget) = (Some(case.retry()), case.budget());
        };
        let bench = Bench::new(tune, 0).await;
        let mut answers = Vec::new();
        for (index, step) in case.steps.iter().enumerate() {
            sleep(step.ms(0)).await;
            let (method, key) = match step.word(1).strip_suffix("+key") {
                Some(method) => (method, "idempotency-key: k\r\n"),
                None => (step.word(1), ""),
            };
            let fields = format!("{key}x-plimsoll-deadline-ms: {}\r\n", step.word(2));
            let sent = (method, step.number(3) as usize);
            let got = bench
                .ask(&index.to_string(), sent, step.word(4), &fields)
                .await
                .expect("an answer");
            answers.push(format!("{} {}", got.attempts.len(), got.status));
        }
        answers
    });
    assert_eq!(decided, 260);
}

#[test]
fn fault() {
    const BODY: usize = 30_000;
    let decided = check(
        format::FAULT,
        |_| true,
        async |case| {
            let bench = Bench::new(|route, _| route.fault = Some(case.faults()), BODY).await;
            let mut answers = Vec::new();
            for (index, step) in case.steps.iter().enumerate() {
                sleep(step.ms(0)).await;
                let began = bench.began.elapsed();
                let fields = match step.word(1) {
                    "-" => String::new(),
                    asks => format!("x-plimsoll-fault: {}\r\n", asks.replace('+', ",")),
                };
                let got = bench.ask(&index.to_string(), ("GET", 0), "200:0", &fields).await;
                let head = got.as_ref().map_or_else(|| bench.began.elapsed(), |got| got.at);
                let delay = head.saturating_sub(began);
                let mut done = Vec::new();
                if !delay.is_zero() {
                    done.push(format!("delay={}", delay.as_millis()));
                }
                match &got {
                    None => done.push("disconnect".to_owned()),
                    Some(got) if got.reason() == "fault-forbidden" => done.push("forbidden".to_owned()),
                    Some(got) if got.reason() == "fault-injected" => {
                        done.push(format!("abort={}", got.status));
                    }
                    Some(got) if got.took.is_zero() => {}
                    Some(got) => done.push(format!("took={}", got.took.as_millis())),
                }
                if done.is_empty() {
                    done.push("nothing".to_owned());
                }
                answers.push(done.join(" "));
            }
            answers
        },
    );
    assert_eq!(decided, 228);
}

#[test]
fn shed() {
    let decided = check(
        format::SHED,
        |_| true,
        async |case| {
            let (limit, wait) = (case.number("limit"), case.ms("wait"));
            let plan = AdaptivePlan {
                min: limit,
                max: Some(limit),
                wait,
            };
            let bench = Bench::new(|_, upstream| upstream.adaptive = Some(plan), 0).await;
            side_by_side(
                bench,
                case,
                |step| {
                    let script = format!("200:{}", step.word(2));
                    (script, format!("x-priority: {}\r\n", step.word(1)))
                },
                |got| {
                    let took = got.at.saturating_sub(got.asked).as_millis();
                    match got.reason() {
                        "" => {
                            let stayed = got.attempts[0]["x-script"].strip_prefix("200:").unwrap();
                            format!("admit {}", took - stayed.parse::<u128>().unwrap())
                        }
                        "shed" => format!("shed {took}"),
                        reason => reason.to_owned(),
                    }
                },
            )
            .await
        },
    );
    assert_eq!(decided, 960);
}
