//! The vectors that the policies decide, asked of the layers: same clock, same dice, same answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use plimsoll_policy::{AdaptiveConfig, Priority, RetryBudget};
use plimsoll_slo::Reason;
use plimsoll_tower::{
    BoxError, BreakerLayer, BulkheadLayer, Deadline, DeadlineLayer, Env, FaultLayer, LimitLayer, RateLayer,
    Refused, RetryLayer, TryLayer,
};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tower::{Layer, Service, ServiceExt as _};

use crate::service::{Script, Scripted, get};

#[path = "../../../plimsoll-policy/tests/it/vectors/format.rs"]
mod format;
use format::{Case, Step};

type Answered = Result<Answer, BoxError>;

/// An answer whose body is here.
struct Answer {
    status: u16,
    headers: HeaderMap,
}

/// Plays a whole text: each case on a clock of its own that nothing but the case turns, with its own dice.
fn check(text: &str, mut play: impl AsyncFnMut(&Case<'_>, Env) -> Vec<String>) -> usize {
    format::check(
        text,
        |_| true,
        str::to_owned,
        |case| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let env = Env::seeded(case.number("seed"));
                play(case, env).await
            })
        },
    )
}

/// Asks, and takes in the whole answer.
async fn ask<S, B, A>(service: S, request: Request<B>) -> Answered
where
    S: Service<Request<B>, Response = Response<A>, Error = BoxError>,
    A: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let (parts, body) = service.oneshot(request).await?.into_parts();
    body.collect().await.map_err(Into::into)?;
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
    })
}

/// Asks for every step at its time, side by side; `request` makes it, `say` tells what became of it and when.
async fn side_by_side<S, A>(
    case: &Case<'_>,
    service: S,
    request: impl Fn(&Step<'_>) -> Request<Full<Bytes>>,
    say: impl Fn(Answered, Script, Duration) -> String + Copy + Send + 'static,
) -> Vec<String>
where
    S: Service<Request<Full<Bytes>>, Response = Response<A>, Error = BoxError, Future: Send>
        + Clone
        + Send
        + 'static,
    A: Body<Data = Bytes, Error: Into<BoxError>> + Send,
{
    let began = Instant::now();
    let asked = case.steps.iter().map(|step| {
        let (request, service, at) = (request(step), service.clone(), began + step.ms(0));
        let script = request.extensions().get::<Script>().unwrap().clone();
        tokio::spawn(async move {
            sleep_until(at).await;
            let answered = ask(service, request).await;
            say(answered, script, began.elapsed())
        })
    });
    let mut answers = Vec::new();
    for asked in asked.collect::<Vec<_>>() {
        answers.push(asked.await.unwrap());
    }
    answers
}

/// The reason of an error, and how long to stay away.
fn refusal(error: &BoxError) -> (Reason, Duration) {
    let refused = Refused::find(&**error).expect("a layer refused");
    (refused.reason(), refused.wait().unwrap_or_default())
}

fn parameter(headers: &HeaderMap, name: &str) -> String {
    let value = headers["ratelimit"].to_str().unwrap();
    let (_, rest) = value.split_once(name).unwrap();
    rest.split(';').next().unwrap().to_owned()
}

#[test]
fn rate() {
    let decided = check(format::RATE, async |case, env| {
        let layer = RateLayer::new("v", case.quota())
            .by_header(HeaderName::from_static("x-caller"))
            .in_env(env);
        let request = |step: &Step<'_>| {
            let mut request = get(&Script::of("200:0"));
            request
                .headers_mut()
                .insert("x-caller", step.word(1).parse().unwrap());
            request
        };
        side_by_side(
            case,
            layer.layer(Scripted::default()),
            request,
            |answered, _, _| match answered {
                Ok(Answer { headers, .. }) => format!(
                    "admit {} {}",
                    parameter(&headers, "r="),
                    parameter(&headers, "t=")
                ),
                Err(error) => match refusal(&error) {
                    (Reason::RateLimited, wait) => format!("refuse {}ns", wait.as_nanos()),
                    (reason, _) => reason.to_string(),
                },
            },
        )
        .await
    });
    assert_eq!(decided, 960);
}

#[test]
fn bulkhead() {
    let decided = check(format::BULKHEAD, async |case, _| {
        let layer = BulkheadLayer::new(case.number("max"));
        let request = |step: &Step<'_>| get(&Script::of(&format!("200:{}", step.word(1))));
        side_by_side(
            case,
            layer.layer(Scripted::default()),
            request,
            |answered, _, _| match answered {
                Ok(_) => "admit".to_owned(),
                Err(error) if refusal(&error).0 == Reason::BulkheadFull => "refuse".to_owned(),
                Err(error) => error.to_string(),
            },
        )
        .await
    });
    assert_eq!(decided, 640);
}

#[test]
fn breaker() {
    let decided = check(format::BREAKER, async |case, env| {
        let service = BreakerLayer::new(case.breaker())
            .in_env(env)
            .layer(Scripted::default());
        let leaving = tower::service_fn(move |request: Request<Full<Bytes>>| {
            let (service, leaves) = (service.clone(), request.extensions().get::<Leaves>().copied());
            async move {
                match leaves {
                    // The caller goes away: its call is dropped, and nobody hears what the service would have said.
                    Some(Leaves(after)) => match timeout(after, service.oneshot(request)).await {
                        Ok(answered) => answered,
                        Err(_) => Ok(Response::new(Full::default())),
                    },
                    None => service.oneshot(request).await,
                }
            }
        });
        let request = |step: &Step<'_>| match step.word(2) {
            "gone" => {
                let mut request = get(&Script::of("200:100000"));
                request.extensions_mut().insert(Leaves(step.ms(1)));
                request
            }
            what => get(&Script::of(&format!("{what}:{}", step.word(1)))),
        };
        side_by_side(case, leaving, request, |answered, _, _| {
            match answered.as_ref().map_err(|e| Refused::find(&**e)) {
                Err(Some(refused)) if refused.reason() == Reason::BreakerTripped => {
                    format!("refuse ~{}ns", refused.wait().unwrap().as_nanos())
                }
                _ => "admit".to_owned(),
            }
        })
        .await
    });
    assert_eq!(decided, 1560);
}

/// When the caller of a request goes away.
#[derive(Clone, Copy)]
struct Leaves(Duration);

#[test]
fn deadline() {
    let decided = check(format::DEADLINE, async |case, env| {
        let layer = DeadlineLayer::new(case.deadline()).in_env(env);
        let layer = if case.get("trusting") == Some("yes") {
            layer.trusting()
        } else {
            layer
        };
        let request = |step: &Step<'_>| {
            let mut request = get(&Script::of(&format!("200:{}", step.word(2))));
            if let Some((form, value)) = step.word(1).split_once(':') {
                let name = if form == "grpc" {
                    "grpc-timeout"
                } else {
                    "x-plimsoll-deadline-ms"
                };
                request.headers_mut().insert(name, value.parse().unwrap());
            }
            request
        };
        side_by_side(
            case,
            layer.layer(Scripted::default()),
            request,
            |answered, script, now| match answered {
                Ok(_) => format!("answered {}", script.seen()[0].deadline.unwrap().as_millis()),
                Err(error) => match refusal(&error).0 {
                    Reason::DeadlineUnmeetable => "unmeetable".to_owned(),
                    Reason::DeadlineExceeded => format!("exceeded {}", now.as_millis()),
                    reason => reason.to_string(),
                },
            },
        )
        .await
    });
    assert_eq!(decided, 480);
}

#[test]
fn tries() {
    let decided = check(format::TRY, async |case, env| {
        let began = Instant::now();
        let layer = TryLayer::new(case.deadline()).in_env(env);
        let request = |step: &Step<'_>| {
            let mut request = get(&Script::of(&format!("200:{}", step.word(2))));
            if step.word(3) == "grpc" {
                request
                    .headers_mut()
                    .insert("content-type", "application/grpc".parse().unwrap());
            }
            let deadline = step.ms(0) + step.ms(1);
            request
                .extensions_mut()
                .insert(Deadline::within(began + deadline - Instant::now()));
            request
        };
        side_by_side(
            case,
            layer.layer(Scripted::default()),
            request,
            |answered, script, now| {
                let headers = &script.seen()[0].headers;
                let mut told = headers["x-plimsoll-deadline-ms"].to_str().unwrap().to_owned();
                if let Some(timeout) = headers.get("grpc-timeout") {
                    told = told + "/" + timeout.to_str().unwrap();
                }
                let now = now.as_millis();
                match answered.map_err(|error| refusal(&error).0) {
                    Ok(_) => format!("answered {told}"),
                    Err(Reason::UpstreamTimeout) => format!("timeout {told} {now}"),
                    Err(Reason::DeadlineExceeded) => format!("exceeded {told} {now}"),
                    Err(reason) => reason.to_string(),
                }
            },
        )
        .await
    });
    assert_eq!(decided, 480);
}

#[test]
fn retry() {
    let decided = check(format::RETRY, async |case, env| {
        let budget = Arc::new(RetryBudget::new(&case.budget()));
        let service = RetryLayer::new(case.retry(), budget)
            .in_env(env)
            .layer(Scripted::default());
        let mut answers = Vec::new();
        for step in &case.steps {
            sleep(step.ms(0)).await;
            let (began, script) = (Instant::now(), Script::of(step.word(4)));
            let mut request =
                get(&script).map(|_| Full::new(Bytes::from(vec![b'x'; step.number(3) as usize])));
            let method = step.word(1);
            if let Some(method) = method.strip_suffix("+key") {
                request
                    .headers_mut()
                    .insert("idempotency-key", method.parse().unwrap());
            }
            *request.method_mut() = method.trim_end_matches("+key").parse().unwrap();
            request.extensions_mut().insert(Deadline::within(step.ms(2)));
            let answered = ask(service.clone(), request).await;
            let what = match &answered {
                Ok(answer) => answer.headers.get("grpc-status").map_or_else(
                    || answer.status.to_string(),
                    |code| format!("grpc{}", code.to_str().unwrap()),
                ),
                Err(error) => match plimsoll_tower::reason_of(&**error) {
                    Reason::UpstreamReset => "reset".to_owned(),
                    Reason::UpstreamRefused => "refused".to_owned(),
                    Reason::UpstreamTimeout => "late".to_owned(),
                    reason => reason.to_string(),
                },
            };
            let seen = script.seen();
            assert!(
                seen.iter().all(|seen| seen.body.len() == step.number(3) as usize),
                "each attempt sends it all"
            );
            let number = |(index, seen): (usize, &crate::service::Seen)| {
                seen.headers["x-plimsoll-attempt"] == (index + 1).to_string()
            };
            assert!(seen.iter().enumerate().all(number), "attempts are numbered");
            answers.push(format!("{} {what} ~{}", seen.len(), began.elapsed().as_millis()));
        }
        answers
    });
    assert_eq!(decided, 600);
}

#[test]
fn fault() {
    let decided = check(format::FAULT, async |case, env| {
        let service = FaultLayer::new(case.faults()).by_header().in_env(env);
        let service = service.layer(Scripted {
            body: vec![b'x'; 30_000].into(),
        });
        let mut answers = Vec::new();
        for step in &case.steps {
            sleep(step.ms(0)).await;
            let (began, script) = (Instant::now(), Script::of("200:0"));
            let mut request = get(&script);
            if step.word(1) != "-" {
                let asks = step.word(1).replace('+', ",");
                request
                    .headers_mut()
                    .insert("x-plimsoll-fault", asks.parse().unwrap());
            }
            let answered = service.clone().oneshot(request).await;
            let delay = began.elapsed().as_millis();
            let mut said = Vec::new();
            if delay > 0 {
                said.push(format!("delay={delay}"));
            }
            match answered {
                Ok(answer) => {
                    assert!(
                        !script.seen()[0].headers.contains_key("x-plimsoll-fault"),
                        "it was for us"
                    );
                    let began = Instant::now();
                    answer.into_body().collect().await.unwrap();
                    let took = began.elapsed().as_millis();
                    if took > 0 {
                        said.push(format!("took={took}"));
                    }
                }
                Err(error) => {
                    assert!(script.seen().is_empty(), "a fault takes the place of an answer");
                    let refused = Refused::find(&*error).unwrap();
                    let problem = refused.problem("");
                    said.push(match refused.reason() {
                        Reason::FaultForbidden => "forbidden".to_owned(),
                        Reason::FaultInjected if refused.cuts_off() => "disconnect".to_owned(),
                        _ => format!("abort={}/{}", problem.status(), problem.grpc()),
                    });
                }
            }
            answers.push(if said.is_empty() {
                "nothing".to_owned()
            } else {
                said.join(" ")
            });
        }
        answers
    });
    assert_eq!(decided, 480);
}

#[test]
fn shed() {
    let decided = check(format::SHED, async |case, env| {
        let limit = case.number("limit");
        let layer = LimitLayer::new(AdaptiveConfig {
            min: limit,
            max: limit,
        })
        .wait(case.ms("wait"))
        .in_env(env)
        .priority(|parts| Priority::named(parts.headers["x-priority"].as_bytes()).unwrap());
        let began = Instant::now();
        let request = |step: &Step<'_>| {
            let mut request = get(&Script::of(&format!("200:{}", step.word(2))));
            request
                .headers_mut()
                .insert("x-priority", step.word(1).parse().unwrap());
            request.extensions_mut().insert((began + step.ms(0), step.ms(2)));
            request
        };
        // When it came, and how long it stayed, so that the rest is what it waited.
        let timed = tower::service_fn(move |request: Request<Full<Bytes>>| {
            let (came, stays) = *request.extensions().get::<(Instant, Duration)>().unwrap();
            let asked = layer.layer(Scripted::default()).oneshot(request);
            async move {
                let answered = asked.await;
                let took = came.elapsed();
                let (word, waited) = match &answered {
                    Ok(_) => ("admit", took.saturating_sub(stays)),
                    Err(error) if refusal(error).0 == Reason::Shed => ("shed", took),
                    Err(_) => return answered,
                };
                let said = Response::builder().header("x-said", format!("{word} {}", waited.as_millis()));
                Ok(said.body(Full::default())?)
            }
        });
        side_by_side(case, timed, request, |answered, _, _| {
            answered.unwrap().headers["x-said"].to_str().unwrap().to_owned()
        })
        .await
    });
    assert_eq!(decided, 960);
}
