//! Ingress and egress joined: a service that knows nothing of it calls a dependency through us, and what its caller
//! brought goes with the call.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gateway::plan::{AdaptivePlan, Direction, EndpointPlan, ListenAddress, UpstreamPlan};
use http::{HeaderMap, Response};
use tokio::sync::Semaphore;

use crate::client::{Answer, Wire};
use crate::origin::{Origin, Seen, Speaks, full, held};
use crate::world::{Builder, World, until};

/// Where the egress listener is, once it is.
type Egress = Arc<OnceLock<SocketAddr>>;

/// A service that asks its dependency, by way of the egress listener, whatever it is asked. It passes on those of its
/// request's fields that `passes` names, as a tracing library or a framework would.
async fn service(egress: &Egress, passes: &'static [&'static str]) -> Origin {
    let egress = Arc::clone(egress);
    Origin::serving(Speaks::Http1, move |request| {
        let egress = *egress.get().expect("the gateway runs before it is asked");
        async move {
            let answer = call(egress, request.headers(), passes).await;
            Ok(Response::builder()
                .status(answer.status)
                .body(full(answer.body))
                .unwrap())
        }
    })
    .await
}

async fn call(egress: SocketAddr, given: &HeaderMap, passes: &[&str]) -> Answer {
    let fields: String = passes
        .iter()
        .filter_map(|name| Some(format!("{name}: {}\r\n", given.get(*name)?.to_str().unwrap())))
        .collect();
    Wire::to(egress)
        .await
        .ask("GET", "/dependency", &fields, b"")
        .await
}

/// The gateway in front of the service and behind it.
fn between(service: &Origin, dependency: &Origin) -> Builder {
    World::of(&[service]).plan(|plan| {
        let address = dependency.address;
        let endpoint = EndpointPlan::Host(address.ip().to_string(), address.port());
        plan.upstreams
            .push(UpstreamPlan::new("dependency", vec![endpoint]));
        let mut egress = plan.listeners[0].clone();
        egress.name = "egress".into();
        egress.direction = Direction::Egress;
        egress.address = ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        egress.routes[0].upstream = "dependency".into();
        egress.routes[0].retry = None;
        plan.listeners.push(egress);
        plan.callers.tier_header = Some("x-tier".parse().unwrap());
        plan.callers.tiers = vec!["gold".into()];
    })
}

/// Starts it, and tells the service where to call.
async fn start(builder: Builder, egress: &Egress) -> World {
    let world = builder.start().await;
    let addresses = world.gateway.addresses();
    let (_, address) = addresses.iter().find(|(name, _)| **name == *"egress").unwrap();
    egress.set(address.unwrap()).unwrap();
    world
}

const FIELDS: &str = "X-Plimsoll-Deadline-Ms: 3000\r\nX-Priority: critical\r\nX-Tier: gold\r\nX-Tenant: acme\r\nX-Plimsoll-Attempt: 2\r\n";

/// One request, and the call that the dependency saw of it.
async fn one_call(passes: &'static [&'static str], fields: &str) -> (Answer, Seen, World) {
    let egress = Egress::default();
    let service = service(&egress, passes).await;
    let dependency = Origin::saying("from the dependency").await;
    let world = start(between(&service, &dependency), &egress).await;
    let answer = world.wire().await.ask("GET", "/", fields, b"").await;
    let seen = dependency.only();
    (answer, seen, world)
}

fn inherits(seen: &Seen) {
    let left: u64 = seen.header("x-plimsoll-deadline-ms").parse().unwrap();
    assert!((1_000..3_000).contains(&left), "{left} ms are left");
    for (name, value) in [
        ("x-priority", "critical"),
        ("x-tier", "gold"),
        ("x-tenant", "acme"),
        ("x-plimsoll-attempt", "2"),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
}

#[tokio::test]
async fn a_call_inherits_by_its_trace() {
    let (answer, seen, world) = one_call(&["traceparent"], FIELDS).await;
    assert_eq!((answer.status, answer.text()), (200, "from the dependency"));
    inherits(&seen);
    let joins = world.gateway.joins();
    assert_eq!((joins.joined, joins.ambiguous, joins.unknown), (1, 0, 0));
    until("the request to be forgotten", || {
        world.gateway.joins().remembered == 0
    })
    .await;
}

#[tokio::test]
async fn a_call_inherits_by_its_request_id() {
    let (answer, seen, _world) = one_call(&["x-request-id"], FIELDS).await;
    assert_eq!(answer.status, 200);
    inherits(&seen);
}

#[tokio::test]
async fn a_call_that_passes_nothing_on_inherits_nothing() {
    let (answer, seen, world) = one_call(&[], FIELDS).await;
    assert_eq!(answer.status, 200);
    for name in ["x-priority", "x-tier", "x-tenant"] {
        assert_eq!(seen.header(name), "", "{name}");
    }
    assert_eq!(seen.header("x-plimsoll-attempt"), "1");
    assert_eq!(world.gateway.joins().unknown, 1);
}

#[tokio::test]
async fn what_a_call_says_itself_holds() {
    let (_, seen, _world) = one_call(
        &["traceparent", "x-tenant", "x-plimsoll-deadline-ms"],
        "X-Tenant: acme\r\nX-Plimsoll-Deadline-Ms: 500\r\n",
    )
    .await;
    assert_eq!(seen.header("x-tenant"), "acme");
    assert_eq!(seen.head.headers.get_all("x-tenant").iter().count(), 1);
    let left: u64 = seen.header("x-plimsoll-deadline-ms").parse().unwrap();
    assert!(left < 500, "{left}");
}

#[tokio::test]
async fn several_requests_of_one_trace_are_told_apart_by_their_spans_or_not_at_all() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let egress = Egress::default();
    let (dependency, gate) = held().await;
    // One passes its `traceparent` on as it was; tracing libraries put a span of their own into it.
    let own_span = format!("00-{TRACE}-b7ad6b7169203331-01");
    let service = {
        let egress = Arc::clone(&egress);
        Origin::serving(Speaks::Http1, move |request| {
            let (egress, own_span) = (*egress.get().unwrap(), own_span.clone());
            async move {
                let mut given = request.headers().clone();
                if request.uri().path() == "/own-span" {
                    given.insert("traceparent", own_span.parse().unwrap());
                }
                let answer = call(egress, &given, &["traceparent"]).await;
                Ok(Response::new(full(answer.body)))
            }
        })
        .await
    };
    let world = start(between(&service, &dependency), &egress).await;
    let mut wires = Vec::new();
    for (path, tenant, joins) in [("/as-it-was", "first", (1, 0)), ("/own-span", "second", (1, 1))] {
        let mut wire = world.wire().await;
        wire.send(format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nX-Tenant: {tenant}\r\nTraceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n\r\n"
        ))
        .await;
        until("its call", || {
            let reading = world.gateway.joins();
            (reading.joined, reading.ambiguous) == joins
        })
        .await;
        wires.push(wire);
    }
    gate.add_permits(2);
    for wire in &mut wires {
        assert_eq!(wire.answer().await.status, 200);
    }
}

#[tokio::test]
async fn a_call_is_refused_when_nobody_waits_for_it_any_more() {
    let egress = Egress::default();
    let service = service(&egress, &["traceparent"]).await;
    let (dependency, _gate) = held().await;
    let mut world = start(between(&service, &dependency), &egress).await;
    let asked = "X-Plimsoll-Deadline-Ms: 80\r\n";
    let answer = world.wire().await.ask("GET", "/", asked, b"").await;
    assert_eq!(answer.status, 504);
    let mut told = vec![world.told().await, world.told().await];
    told.sort();
    assert_eq!(
        told,
        ["bad deadline-exceeded 504 x1", "bad deadline-exceeded 504 x1"],
        "both end by the one deadline, and the dependency's call does not go on without it"
    );
}

#[tokio::test]
async fn a_request_that_waits_for_a_dependency_holds_no_slot() {
    let egress = Egress::default();
    let service = service(&egress, &["traceparent"]).await;
    let (dependency, gate) = held().await;
    let world = start(
        between(&service, &dependency).upstream(|upstream| {
            upstream.adaptive = Some(AdaptivePlan {
                min: 1,
                max: Some(1),
                wait: Duration::from_secs(10),
            });
        }),
        &egress,
    )
    .await;
    let admission = || world.gateway.running().upstreams[0].state.admission();
    let mut wires = Vec::new();
    for inside in 1..=3 {
        let mut wire = world.wire().await;
        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        until("it to wait for the dependency", || {
            world.gateway.joins().joined == inside && admission().busy == 0
        })
        .await;
        wires.push(wire);
    }
    assert_eq!(admission().waiting, 0, "one at a time, and three are under way");
    release(&gate, 3);
    for wire in &mut wires {
        assert_eq!(wire.answer().await.status, 200);
    }
    until("all slots to be free", || admission().busy == 0).await;
}

fn release(gate: &Semaphore, count: usize) {
    gate.add_permits(count);
}
