//! What is done to a service and its proxy: one file each, and one entry here.

pub(crate) mod chain;
pub(crate) mod dependency;
pub(crate) mod dying;
pub(crate) mod outage;
pub(crate) mod steady;
pub(crate) mod sweep;

use std::time::Duration;

use super::generator::Load;
use super::peers::Retrying;
use super::service::Sort;
use super::world::Shape;

/// The service: 16 workers at 32 ms are 500 requests per second, of which ten times as many are easily made on half
/// a machine. The times are lognormal with half their mean as standard deviation: one in a hundred takes 2.7 times as
/// long as the mean.
pub(crate) const SERVICE: Sort = Sort {
    workers: 16,
    mean: Duration::from_millis(32),
    variation: 0.5,
    seed: 1,
};

/// One endpoint with that service behind one proxy.
pub(crate) const SHAPE: Shape = Shape {
    service: SERVICE,
    endpoints: 1,
    dependency: None,
    hops: 1,
    retrying: Retrying::AsShipped,
};

/// How long callers wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// Load before anything is measured: connections are made, and whoever learns has something to learn from.
pub(crate) const WARM: Duration = Duration::from_secs(4);

/// Every scenario's name and what it asks, in the order of the report.
pub(crate) const SCENARIOS: &[(&str, &str)] = &[
    (
        "sweep",
        "from 0.3 to 10 times the capacity: who is served, and how fast",
    ),
    ("steady", "0.7 times the capacity for long: nobody may be refused"),
    ("dependency", "a dependency that gets 5 and then 10 times slower"),
    (
        "outage",
        "30 s without the service, and callers who try again at once",
    ),
    ("dying", "one endpoint of three refuses, or hangs"),
    (
        "chain",
        "a service that fails behind four hops, and behind one, for several retry budgets",
    ),
];

/// Plain callers, who try once.
pub(crate) const fn load(arrivals: &[super::arrivals::Arrival], port: u16) -> Load<'_> {
    Load {
        arrivals,
        port,
        patience: PATIENCE,
        retries: 0,
        acts: Vec::new(),
    }
}
