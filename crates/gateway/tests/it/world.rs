//! A gateway on threads of its own, on loopback, with a plan that a test has tuned.

use std::net::SocketAddr;
use std::time::Duration;

use gateway::env::{Bound, Env};
use gateway::event::Event;
use gateway::plan::{EndpointPlan, Plan, RoutePlan, UpstreamPlan};
use gateway::{CoreSeat, Gateway, Inherited};
use plimsoll_policy::Backoff;
use plimsoll_slo::{Class, Reason, Tally, TallySnapshot};
use tokio::sync::mpsc;

use crate::client::{Answer, Wire};
use crate::origin::Origin;

/// Nothing that a test waits for takes longer, unless the gateway is wrong.
pub(crate) const LONG: Duration = Duration::from_secs(10);

/// Waits for `future`, but not for ever.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(LONG, future).await;
    done.unwrap_or_else(|_| panic!("{what}: nothing within {LONG:?}"))
}

/// Waits until `holds` does.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let poll = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within(what, poll).await;
}

/// A gateway that runs.
pub(crate) struct World {
    pub(crate) gateway: Gateway,
    events: mpsc::Receiver<Box<Event>>,
    threads: Vec<std::thread::JoinHandle<()>>,
    told: Tally,
}

/// A gateway about to run.
pub(crate) struct Builder {
    pub(crate) plan: Plan,
    cores: usize,
    inherited: Inherited,
}

impl World {
    /// In front of these origins, which are one upstream.
    pub(crate) fn of(origins: &[&Origin]) -> Builder {
        Self::at(origins.iter().map(|origin| origin.address))
    }

    /// In front of whatever is at these addresses.
    pub(crate) fn at(addresses: impl IntoIterator<Item = SocketAddr>) -> Builder {
        Builder {
            plan: plan(addresses),
            cores: 1,
            inherited: Inherited::default(),
        }
    }

    /// The address of the first listener.
    pub(crate) fn address(&self) -> SocketAddr {
        self.gateway.addresses()[0].1.expect("the listener is TCP")
    }

    /// A new connection.
    pub(crate) async fn wire(&self) -> Wire {
        Wire::to(self.address()).await
    }

    /// One GET on a connection of its own.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.wire().await.ask("GET", path, "", b"").await
    }

    /// The next event, which the ledger must have counted too.
    pub(crate) async fn event(&mut self) -> Event {
        let event = within("an event", self.events.recv())
            .await
            .expect("the gateway runs");
        self.told.record(&event.outcome);
        let (told, counted) = (self.told.snapshot(), self.tally());
        let fewer =
            |told: &[u64], counted: &[u64]| told.iter().zip(counted).all(|(told, counted)| told <= counted);
        assert!(
            told.good <= counted.good && fewer(&told.bad, &counted.bad),
            "the ledger missed {event:?}"
        );
        assert!(
            fewer(&told.excluded, &counted.excluded),
            "the ledger missed {event:?}"
        );
        assert!(
            told.attempts <= counted.attempts,
            "the ledger missed an attempt of {event:?}"
        );
        *event
    }

    /// The next event in short: class, reason, status, attempts.
    pub(crate) async fn told(&mut self) -> String {
        say(&self.event().await)
    }

    /// The event that waits, if one does.
    pub(crate) fn pending_event(&mut self) -> Option<Event> {
        self.events.try_recv().ok().map(|event| *event)
    }

    /// All that was counted, in one.
    pub(crate) fn tally(&self) -> TallySnapshot {
        let mut sum = TallySnapshot::default();
        for (_, tally) in self.gateway.ledger().snapshot() {
            sum.merge(&tally);
        }
        sum
    }

    /// All that was counted, in short: `good 3, bad upstream-reset 1, attempts 5`.
    pub(crate) fn counted(&self) -> String {
        let tally = self.tally();
        let mut said = vec![format!("good {}", tally.good)];
        for (word, counts) in [("bad", &tally.bad), ("excluded", &tally.excluded)] {
            let counts = Reason::ALL.iter().zip(counts).filter(|(_, count)| **count > 0);
            said.extend(counts.map(|(reason, count)| format!("{word} {reason} {count}")));
        }
        said.push(format!("attempts {}", tally.attempts));
        said.join(", ")
    }

    /// Waits until the gateway's cores have returned.
    pub(crate) async fn stopped(&mut self) {
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|t| t.join().unwrap()));
        within("the cores to return", joined).await.unwrap();
    }

    /// Whether all cores have returned.
    pub(crate) fn has_stopped(&self) -> bool {
        self.threads.iter().all(std::thread::JoinHandle::is_finished)
    }

    /// Runs what the plan becomes under `tune`.
    pub(crate) async fn reload(&self, tune: impl FnOnce(&mut Plan)) {
        let mut plan = self.gateway.running().plan.clone();
        tune(&mut plan);
        self.gateway.apply(plan).await.expect("the plan holds together");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.gateway.stop();
    }
}

impl Builder {
    /// Changes the plan.
    pub(crate) fn plan(mut self, tune: impl FnOnce(&mut Plan)) -> Self {
        tune(&mut self.plan);
        self
    }

    /// Changes the only route.
    pub(crate) fn route(self, tune: impl FnOnce(&mut RoutePlan)) -> Self {
        self.plan(|plan| tune(&mut plan.listeners[0].routes[0]))
    }

    /// Changes the only upstream.
    pub(crate) fn upstream(self, tune: impl FnOnce(&mut UpstreamPlan)) -> Self {
        self.plan(|plan| tune(&mut plan.upstreams[0]))
    }

    /// Runs on so many cores.
    pub(crate) fn cores(mut self, cores: usize) -> Self {
        self.cores = cores;
        self
    }

    /// Gives it the sockets of another one.
    pub(crate) fn on_sockets_of(mut self, gateway: &Gateway) -> Self {
        for handed in gateway.sockets().unwrap() {
            let sockets = handed
                .sockets
                .into_iter()
                .map(|socket| Bound::adopt(socket).unwrap());
            self.inherited
                .from_predecessor(&handed.name, &handed.asked.to_string(), sockets.collect());
        }
        self
    }

    /// Starts it.
    pub(crate) async fn start(mut self) -> World {
        let built = Gateway::build_on(Env::real(), self.plan, self.cores, &mut self.inherited).await;
        let (gateway, seats, events) = built.expect("the plan comes to life");
        World {
            gateway,
            events,
            threads: seats.into_iter().map(sit).collect(),
            told: Tally::default(),
        }
    }
}

/// Every request is told, retries wait a millisecond or two; else the defaults.
fn plan(addresses: impl IntoIterator<Item = SocketAddr>) -> Plan {
    let endpoint = |address: SocketAddr| EndpointPlan::Host(address.ip().to_string(), address.port());
    let upstream = UpstreamPlan::new("origin", addresses.into_iter().map(endpoint).collect());
    let mut plan = Plan::in_front_of(SocketAddr::from(([127, 0, 0, 1], 0)), upstream);
    plan.observe.log_good = true;
    plan.observe.trace_share = 0.0;
    plan.drain_idle = Duration::from_millis(50);
    let retry = plan.listeners[0].routes[0]
        .retry
        .as_mut()
        .expect("the default retries");
    retry.backoff = Backoff {
        base: Duration::from_millis(1),
        cap: Duration::from_millis(2),
    };
    plan
}

fn sit(seat: CoreSeat) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default())
            .unwrap();
        runtime.block_on(seat.run());
    })
}

/// An event in short.
pub(crate) fn say(event: &Event) -> String {
    let outcome = &event.outcome;
    let reason = match outcome.class {
        Class::Good => String::new(),
        Class::Bad(reason) | Class::Excluded(reason) => format!(" {reason}"),
    };
    format!(
        "{}{reason} {} x{}",
        outcome.class.word(),
        event.status,
        outcome.attempts
    )
}
