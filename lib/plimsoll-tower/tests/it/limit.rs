//! The adaptive limit at work: who is let in, who waits, who is shed, and what is held meanwhile.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use plimsoll_policy::{AdaptiveConfig, Dice as _, Priority, SeededDice};
use plimsoll_slo::Reason;
use plimsoll_tower::{BoxError, Deadline, Env, LimitLayer, Refused};
use tokio::sync::Semaphore;
use tokio::time::{Instant, advance, sleep, timeout};
use tower::{Layer, Service, ServiceExt as _, service_fn};

use crate::service::{Script, Scripted, Strict, get};

/// One request at a time, whatever is found out.
fn one_at_a_time() -> LimitLayer {
    LimitLayer::new(AdaptiveConfig { min: 1, max: 1 }).in_env(Env::seeded(1))
}

fn refusal(answered: Result<impl Sized, BoxError>) -> Option<(Reason, Duration)> {
    let error = answered.err()?;
    let refused = Refused::find(&*error).expect("the layer refused");
    Some((refused.reason(), refused.wait().unwrap_or_default()))
}

/// What became of one request under load.
struct Ended {
    at: Duration,
    priority: Priority,
    /// `None` when it was shed.
    took: Option<Duration>,
}

/// Asks a service of four workers that take 10 ms each, so many times a second for ten seconds.
async fn under_load(per_second: f64) -> (Vec<Ended>, LimitLayer) {
    let layer = LimitLayer::new(AdaptiveConfig::default())
        .in_env(Env::seeded(3))
        .priority(|parts| {
            if parts.uri.path() == "/critical" {
                Priority::Critical
            } else {
                Priority::Normal
            }
        });
    let workers = Arc::new(Semaphore::new(4));
    let service = layer.layer(service_fn(move |_: Request<()>| {
        let workers = Arc::clone(&workers);
        async move {
            // What most services are: workers, and a queue without a bound in front of them.
            let _worker = workers.acquire().await.expect("nobody closes it");
            sleep(Duration::from_millis(10)).await;
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    }));
    let (began, ended, mut dice) = (Instant::now(), Arc::default(), SeededDice::new(7));
    let mut calls = Vec::new();
    while began.elapsed() < Duration::from_secs(10) {
        sleep(Duration::from_secs_f64(-(1.0 - dice.unit()).ln() / per_second)).await;
        let critical = dice.unit() < 0.05;
        let (service, ended) = (service.clone(), Arc::clone(&ended));
        calls.push(tokio::spawn(async move {
            let (at, came) = (began.elapsed(), Instant::now());
            let (path, priority) = if critical {
                ("/critical", Priority::Critical)
            } else {
                ("/", Priority::Normal)
            };
            let answered = service
                .oneshot(Request::builder().uri(path).body(()).unwrap())
                .await;
            let took = match refusal(answered) {
                None => Some(came.elapsed()),
                Some((reason, wait)) => {
                    assert_eq!(reason, Reason::Shed);
                    assert!((1..=31).contains(&wait.as_secs()), "{wait:?}");
                    None
                }
            };
            let ended: &Mutex<Vec<Ended>> = &ended;
            ended.lock().unwrap().push(Ended { at, priority, took });
        }));
    }
    for call in calls {
        call.await.unwrap();
    }
    let ended = Arc::into_inner(ended).unwrap().into_inner().unwrap();
    (ended, layer)
}

/// Of those that came in the last five seconds: answers a second, the longest of 99 in 100, and the share of the
/// critical that was served.
fn figures(ended: &[Ended]) -> (f64, Duration, f64) {
    let late: Vec<_> = ended
        .iter()
        .filter(|ended| ended.at >= Duration::from_secs(5))
        .collect();
    let mut took: Vec<_> = late.iter().filter_map(|ended| ended.took).collect();
    took.sort_unstable();
    let critical: Vec<_> = late
        .iter()
        .filter(|ended| ended.priority == Priority::Critical)
        .collect();
    let served = critical.iter().filter(|ended| ended.took.is_some()).count();
    (
        took.len() as f64 / 5.0,
        took[took.len() * 99 / 100],
        served as f64 / critical.len() as f64,
    )
}

#[tokio::test(start_paused = true)]
async fn a_service_with_time_to_spare_is_left_alone() {
    let (ended, layer) = under_load(200.0).await;
    assert!(
        ended.iter().all(|ended| ended.took.is_some()),
        "nothing is shed at half of what it can do"
    );
    assert_eq!((layer.busy(), layer.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_asked_too_much_does_what_it_can_and_the_important_first() {
    let (ended, layer) = under_load(2_000.0).await;
    let (goodput, p99, critical) = figures(&ended);
    assert!(goodput >= 0.9 * 400.0, "{goodput} of 400 a second");
    // How tight it is, is the policy's business and tested there. Without a limit it would be eight seconds and more.
    assert!(p99 <= Duration::from_millis(500), "{p99:?}");
    assert!(critical >= 0.99, "{critical} of the critical");
    assert!((4..=100).contains(&layer.limit()), "{}", layer.limit());
    assert_eq!((layer.busy(), layer.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_has_its_turn_or_hears_that_there_is_none() {
    let layer = one_at_a_time();
    let service = layer.layer(Scripted::default());
    let ask = |script| tokio::spawn(service.clone().oneshot(get(&Script::of(script))));
    let (first, second) = (ask("200:60"), ask("200:60"));
    sleep(Duration::from_millis(5)).await;
    assert_eq!((layer.busy(), layer.waiting()), (1, 1));
    // Behind the second there is no turn within the 100 ms that anyone waits.
    let began = Instant::now();
    let third = ask("200:60");
    assert_eq!(
        refusal(third.await.unwrap()).map(|(reason, _)| reason),
        Some(Reason::Shed)
    );
    assert_eq!(began.elapsed(), Duration::from_millis(100));
    assert!(first.await.unwrap().is_ok() && second.await.unwrap().is_ok());
    assert_eq!((layer.busy(), layer.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_queue_has_an_end() {
    let layer = one_at_a_time();
    let service = layer.layer(Scripted::default());
    let ask = |script| tokio::spawn(service.clone().oneshot(get(&Script::of(script))));
    let calls: Vec<_> = (0..10).map(|_| ask("200:1000")).collect();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(
        (layer.busy(), layer.waiting()),
        (1, 8),
        "two for each slot, eight at least"
    );
    let ended = calls.iter().filter(|call| call.is_finished()).count();
    assert_eq!(ended, 1, "one had to make way at once");
    let mut answered = Vec::new();
    for call in calls {
        answered.push(refusal(call.await.unwrap()).is_none());
    }
    assert_eq!(answered.iter().filter(|good| **good).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_leaves_the_queue_and_gives_its_slot_back() {
    let layer = one_at_a_time();
    let service = layer.layer(Scripted::default());
    let ask = |script| service.clone().oneshot(get(&Script::of(script)));
    let first = tokio::spawn(ask("200:50"));
    sleep(Duration::from_millis(1)).await;
    assert!(timeout(Duration::from_millis(10), ask("200:0")).await.is_err());
    assert_eq!((layer.busy(), layer.waiting()), (1, 0), "it waited, and has gone");
    let third = tokio::spawn(ask("200:0"));
    assert!(first.await.unwrap().is_ok() && third.await.unwrap().is_ok());
    assert!(timeout(Duration::from_millis(10), ask("200:50")).await.is_err());
    assert_eq!(
        (layer.busy(), layer.waiting()),
        (0, 0),
        "it was at work, and has gone"
    );
    assert!(ask("reset:0").await.is_err());
    assert_eq!(layer.busy(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_held_to_the_head_of_the_answer() {
    let layer = one_at_a_time();
    let service = layer.layer(Scripted {
        body: "a long download".into(),
    });
    let answer = service.clone().oneshot(get(&Script::of("200:0"))).await.unwrap();
    assert_eq!(layer.busy(), 0);
    assert!(service.oneshot(get(&Script::of("200:0"))).await.is_ok());
    drop(answer);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_beyond_its_deadline() {
    let layer = one_at_a_time();
    let service = layer.layer(Scripted::default());
    let first = tokio::spawn(service.clone().oneshot(get(&Script::of("200:500"))));
    sleep(Duration::from_millis(1)).await;
    let mut request = get(&Script::of("200:0"));
    request
        .extensions_mut()
        .insert(Deadline::within(Duration::from_millis(20)));
    let began = Instant::now();
    assert_eq!(
        refusal(service.oneshot(request).await).map(|(reason, _)| reason),
        Some(Reason::Shed)
    );
    assert_eq!(began.elapsed(), Duration::from_millis(20));
    assert!(first.await.unwrap().is_ok());
}

/// However calls cross on several threads: never more than the limit inside, and nobody left behind.
#[test]
fn clones_on_many_threads_share_the_limit() {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    let layer = LimitLayer::new(AdaptiveConfig { min: 3, max: 3 });
    let (inside, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (now, peak) = (Arc::clone(&inside), Arc::clone(&most));
    let service = layer.layer(service_fn(move |_: Request<()>| {
        let (now, peak) = (Arc::clone(&now), Arc::clone(&peak));
        async move {
            peak.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::task::yield_now().await;
            now.fetch_sub(1, SeqCst);
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    let answered = runtime.block_on(async {
        let calls = (0..64).map(|_| {
            let service = service.clone();
            tokio::spawn(async move {
                let mut answered = 0;
                for _ in 0..200 {
                    answered += u32::from(service.clone().oneshot(Request::new(())).await.is_ok());
                }
                answered
            })
        });
        let mut answered = 0;
        for call in calls.collect::<Vec<_>>() {
            answered += call.await.unwrap();
        }
        answered
    });
    assert!(
        most.load(SeqCst) <= 3 && answered > 0,
        "{} inside",
        most.load(SeqCst)
    );
    assert_eq!((layer.busy(), layer.waiting(), inside.load(SeqCst)), (0, 0, 0));
}

/// A slot that becomes free after it was asked for and before somebody waits for it: whoever freed it saw nobody.
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_slot_that_is_free() {
    type Call = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, BoxError>> + Send>>;
    let at_work: Arc<Mutex<Option<Call>>> = Arc::default();
    let goes = Arc::clone(&at_work);
    let layer = one_at_a_time().priority(move |_| {
        // How much a request matters is asked once it has found no slot.
        drop(goes.lock().unwrap().take());
        Priority::Normal
    });
    let mut service = layer.layer(Scripted::default());
    let mut first: Call = Box::pin(service.call(get(&Script::of("200:1000"))));
    assert!(timeout(Duration::ZERO, &mut first).await.is_err());
    *at_work.lock().unwrap() = Some(first);
    let began = Instant::now();
    assert!(service.call(get(&Script::of("200:0"))).await.is_ok());
    assert_eq!(
        (began.elapsed(), layer.busy(), layer.waiting()),
        (Duration::ZERO, 0, 0)
    );
}

/// A clone need not be ready when the service is, so it is the service that is called in the end.
#[tokio::test(start_paused = true)]
async fn the_service_that_was_ready_waits_with_its_request() {
    let mut service = one_at_a_time().layer(Strict::default());
    let mut calls = Vec::new();
    for _ in 0..2 {
        poll_fn(|cx| Service::<Request<Full<Bytes>>>::poll_ready(&mut service, cx))
            .await
            .unwrap();
        calls.push(tokio::spawn(service.call(get(&Script::of("200:20")))));
    }
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn ready_and_idle_clones_hold_no_slot() {
    let layer = one_at_a_time();
    let mut idle = vec![layer.layer(Scripted::default()); 8];
    for service in &mut idle {
        let ready = poll_fn(|cx| Service::<Request<Full<Bytes>>>::poll_ready(service, cx));
        assert!(ready.await.is_ok());
    }
    advance(Duration::from_hours(24)).await;
    assert_eq!((layer.busy(), layer.waiting()), (0, 0));
    assert!(
        layer
            .layer(Scripted::default())
            .oneshot(get(&Script::of("200:0")))
            .await
            .is_ok()
    );
}
