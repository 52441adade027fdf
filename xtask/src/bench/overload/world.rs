//! Everything of one measurement: services, a proxy in front of them, and load on it.
//!
//! The proxy runs on one CPU and this process, which is the load, the service and its dependency, on the other.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::Context as _;

use super::Programs;
use super::generator::Load;
use super::peers::{Peer, Retrying, Site};
use super::samples::Samples;
use super::service::{Service, Sort};
use crate::bench::measure::{OTHER_CPU, PROXY_CPU};
use crate::bench::process::{self, Process, now};
use crate::bench::tools::quietly;

/// Where ports are looked for: below those that the kernel gives to outgoing connections, so that a service that
/// comes back finds its own free.
const PORTS: std::ops::Range<u16> = 12_000..32_000;
/// A request that is sent later than this, in one of a hundred cases, was held up by the generator: a hundredth of
/// what callers wait.
const LAG_MAX: Duration = Duration::from_millis(10);
/// Load, service and proxies use a sixth of two CPUs. Beside neighbours who compiled, requests were up to a second late
/// without this, and 3 ms with it.
const NICE: &str = "-15";
/// Beyond this share of its CPU, the generator's side is what is measured.
const BUSY_MAX: f64 = 0.8;

#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) programs: Programs,
    /// For configurations and logs.
    pub(crate) directory: PathBuf,
}

/// What stands behind a proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) service: Sort,
    pub(crate) endpoints: usize,
    pub(crate) dependency: Option<Sort>,
    /// How many proxies stand one behind the other.
    pub(crate) hops: usize,
    pub(crate) retrying: Retrying,
}

/// What stands.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) services: Vec<Service>,
    pub(crate) dependency: Option<Service>,
    /// The one that callers meet comes last.
    proxies: Vec<Process>,
    pub(crate) front: u16,
    pub(crate) admin: u16,
}

/// What came of a load, and whether it may be believed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    pub(crate) samples: Samples,
    /// Requests that the services saw.
    pub(crate) arrived: u64,
    /// The share of its CPU that this process used.
    pub(crate) busy: f64,
    /// The share of its CPU that the proxies used.
    pub(crate) proxy_busy: f64,
}

impl Run {
    /// Why nothing can be said of the proxy, if so.
    pub(crate) fn void(&self) -> Option<String> {
        let lag = self.samples.lag_p99();
        if lag > LAG_MAX {
            return Some(format!(
                "1 % of requests were sent {} ms late or more",
                lag.as_millis()
            ));
        }
        (self.busy > BUSY_MAX).then(|| format!("the load used {:.0} % of its CPU", self.busy * 100.0))
    }
}

impl World {
    /// Starts everything anew.
    ///
    /// # Errors
    /// If a part of it does not start; with what it logged.
    pub(crate) fn start(ground: &Ground, peer: &Peer, shape: Shape) -> anyhow::Result<Self> {
        let egress = free_port()?;
        let dependency = match shape.dependency {
            Some(sort) => Some(Service::start(sort, free_port()?, None).context("starting the dependency")?),
            None => None,
        };
        let direct = dependency.as_ref().map(|service| service.port);
        let outward = direct.map(|port| if peer.launch.is_some() { egress } else { port });
        let mut services = Vec::new();
        for at in 0..shape.endpoints {
            let sort = Sort {
                seed: shape.service.seed + at as u64,
                ..shape.service
            };
            services.push(Service::start(sort, free_port()?, outward).context("starting the service")?);
        }
        let mut behind: Vec<u16> = services.iter().map(|service| service.port).collect();
        let (mut proxies, mut admin) = (Vec::new(), 0);
        if let Some(launch) = peer.launch {
            for hop in 0..shape.hops {
                let directory = ground.directory.join(format!("{}-{hop}", peer.name));
                let site = Site {
                    listen: free_port()?,
                    admin: free_port()?,
                    egress,
                    services: &behind,
                    workers: shape.service.workers,
                    dependency: direct.filter(|_| hop == 0),
                    retrying: shape.retrying,
                    directory: &directory,
                };
                proxies.push(start(ground, launch, &site)?);
                admin = site.admin;
                behind = vec![site.listen];
            }
        }
        Ok(Self {
            front: behind[0],
            services,
            dependency,
            proxies,
            admin,
        })
    }

    /// Makes a load on it.
    ///
    /// # Errors
    /// If it cannot be made, or a proxy is gone.
    pub(crate) fn load(&self, load: Load<'_>) -> anyhow::Result<Run> {
        let (before, began) = (self.used()?, now());
        let arrived = self.arrived();
        let samples = load.make().with_context(|| self.logged())?;
        let (after, seconds) = (self.used()?, began.elapsed().as_secs_f64());
        Ok(Run {
            samples,
            arrived: self.arrived() - arrived,
            busy: after.0.saturating_sub(before.0).as_secs_f64() / seconds,
            proxy_busy: after.1.saturating_sub(before.1).as_secs_f64() / seconds,
        })
    }

    fn arrived(&self) -> u64 {
        self.services.iter().map(Service::arrived).sum()
    }

    /// CPU time so far, of this process and of the proxies.
    fn used(&self) -> anyhow::Result<(Duration, Duration)> {
        let mut proxies = Duration::ZERO;
        for proxy in &self.proxies {
            proxies += proxy.cpu().with_context(|| self.logged())?;
        }
        Ok((process::own_cpu()?, proxies))
    }

    fn logged(&self) -> String {
        let ends: Vec<String> = self.proxies.iter().map(Process::log_end).collect();
        format!("the proxy logged:\n{}", ends.join("\n"))
    }
}

fn start(
    ground: &Ground,
    launch: fn(&Programs, &Site<'_>) -> anyhow::Result<crate::bench::setting::Launch>,
    site: &Site<'_>,
) -> anyhow::Result<Process> {
    let directory = site.directory;
    fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    let launch = launch(&ground.programs, site)?;
    Process::start(&launch, PROXY_CPU, site.listen, directory.join("log"))
}

/// Keeps this process, and the threads that it will start, on the CPU that is not the proxy's, and puts them and the
/// proxies before others who want these CPUs. Says whether the latter was granted: it takes an administrator.
///
/// # Errors
/// If there is no such CPU.
pub(crate) fn pin_self() -> anyhow::Result<bool> {
    let pid = std::process::id().to_string();
    quietly(Command::new("taskset").args(["--cpu-list", "--pid", &OTHER_CPU.to_string(), &pid]))
        .context("moving the load to its CPU")?;
    Ok(quietly(Command::new("renice").args(["-n", NICE, "-p", &pid])).is_ok())
}

/// A port that nobody listens on, and that was not given before.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    // Two runs at once begin at different places.
    let first = (std::process::id() % u32::from(PORTS.end - PORTS.start)) as u16;
    for _ in PORTS {
        let step = GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + first.wrapping_add(step) % (PORTS.end - PORTS.start);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no port is free from {} to {}", PORTS.start, PORTS.end)
}

/// Where a run keeps what it writes.
pub(crate) fn directory(target: &Path) -> PathBuf {
    target.join("bench/overload")
}
