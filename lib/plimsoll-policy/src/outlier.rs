//! Outlier ejection: taking the endpoints out of service that do worse than their siblings.
//!
//! Once per interval [`Outliers::sweep`] is shown what every host did since the last sweep. A host is *in
//! service* or *ejected until* a moment. There are three grounds for ejection:
//!
//! - consecutive failures: at least `consecutive` in a row (Envoy's 5), whatever the others do;
//! - success rate: with at least `success_rate_hosts_min` hosts of `success_rate_requests_min` requests each,
//!   those whose success rate is below `mean − success_rate_stdev · stdev`, and more than five points below
//!   the mean;
//! - failure rate: a host that the comparison above cannot judge, for want of siblings or of requests, and
//!   that failed at least `failure_rate` of at least `failure_rate_requests_min` requests.
//!
//! The five points are ours. Among n hosts of which one differs from the rest, that one is always √(n−1)
//! deviations away, however small the difference: with five hosts, one failure in ten thousand requests gives
//! 2.0 > 1.9. The comparison is blind in another way, too: k of n dead hosts are √((n−k)/k) deviations away,
//! so two of five hide each other. The consecutive failures find those.
//!
//! An ejection lasts `eject_base` times the number of ejections so far, `eject_max` at most, plus up to a
//! tenth by chance, so that hosts do not come back all at once. Each sweep in which a host in service
//! succeeds and gives no ground takes one off its number.
//!
//! **The floor.** At least half of all hosts, rounded up, stay in service; a single host is never ejected.
//! The worst go first, so what the floor protects is the better half, and when hosts leave the list the
//! ejected ones nearest to their return come back early. Envoy has a 10 % cap and a panic threshold instead.
//! The cap rounds down to no ejection at all (or, by version and flag, up to one) for the two to nine
//! endpoints that most services have; the panic threshold sends traffic to *every* host, dead ones included,
//! exactly when half are dead. Both make ejection look broken (envoy issues 2671, 12076, 28304; istio 8846,
//! 20135). One floor needs neither: at worst half the hosts carry the traffic of all, which is what an
//! operator has to plan for, and when all fail alike the other half is what traffic goes to.
//!
//! When this policy fails it errs on the side of service: an unknown host is in service, one that disappears
//! from the list is forgotten, and a change of configuration keeps what is known.

use core::time::Duration;
use std::collections::BTreeMap;

use plimsoll_slo::Instant;

use crate::Dice;

/// How much worse than the mean a success rate must be, besides the deviations. See the module's header.
const SUCCESS_RATE_GAP_MIN: f64 = 0.05;

/// When a host is ejected, and for how long. Rates are in `0.0..=1.0`.
///
/// ```
/// use plimsoll_policy::OutlierConfig;
/// let quieter = OutlierConfig { consecutive: 0, ..OutlierConfig::default() };
/// assert_eq!(quieter.success_rate_hosts_min, 5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutlierConfig {
    /// Failures in a row that eject a host; 0: none do. Default 5.
    pub consecutive: u32,
    /// Time between two sweeps, kept by the caller. Default 10 s.
    pub interval: Duration,
    /// How long the first ejection lasts. Default 30 s.
    pub eject_base: Duration,
    /// How long an ejection lasts at most, before jitter. Default 300 s.
    pub eject_max: Duration,
    /// Standard deviations below the mean success rate at which a host is an outlier. Default 1.9, as in
    /// Envoy.
    pub success_rate_stdev: f64,
    /// Hosts with enough requests that it takes to compare success rates. Default 5.
    pub success_rate_hosts_min: u32,
    /// Requests since the last sweep that it takes for a host to be compared. Default 100.
    pub success_rate_requests_min: u64,
    /// Share of failures at which a host is ejected when it cannot be compared. Default 0.85.
    pub failure_rate: f64,
    /// Requests since the last sweep that it takes for that. Default 20.
    pub failure_rate_requests_min: u64,
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self {
            consecutive: 5,
            interval: Duration::from_secs(10),
            eject_base: Duration::from_secs(30),
            eject_max: Duration::from_mins(5),
            success_rate_stdev: 1.9,
            success_rate_hosts_min: 5,
            success_rate_requests_min: 100,
            failure_rate: 0.85,
            failure_rate_requests_min: 20,
        }
    }
}

/// What one host did since the last sweep, summed over the cores.
///
/// ```
/// use plimsoll_policy::HostSample;
/// let quiet = HostSample { host: 7, ..HostSample::default() };
/// assert_eq!(quiet.failed, 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostSample {
    /// A stable id; every host stands in the list once.
    pub host: u64,
    /// Attempts that succeeded since the last sweep.
    pub succeeded: u64,
    /// Attempts that failed since the last sweep.
    pub failed: u64,
    /// Failures since the last success, over any number of sweeps.
    pub consecutive_failures: u32,
}

/// A host to take out of service, or to put back.
///
/// ```
/// use plimsoll_policy::{OutlierAction, OutlierChange};
/// let back = OutlierChange { host: 7, action: OutlierAction::Restore };
/// assert_ne!(back.host, 8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierChange {
    /// The id from the sample.
    pub host: u64,
    /// What to do with it.
    pub action: OutlierAction,
}

/// What to do with a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutlierAction {
    /// Send it nothing. It comes back by a `Restore` of the first sweep after `until`.
    Eject {
        /// When its ejection ends.
        until: Instant,
        /// On what ground.
        why: EjectWhy,
    },
    /// Use it again.
    Restore,
}

/// The ground of an ejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EjectWhy {
    /// Too many failures in a row.
    Consecutive,
    /// Its success rate is far below its siblings'.
    SuccessRate,
    /// It fails nearly always, and there are too few siblings or requests to compare.
    FailureRate,
}

impl EjectWhy {
    /// The word for it in metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Consecutive => "consecutive",
            Self::SuccessRate => "success-rate",
            Self::FailureRate => "failure-rate",
        }
    }
}

/// Who is ejected among the hosts of one upstream.
///
/// ```
/// use plimsoll_policy::{HostSample, OutlierConfig, Outliers, SeededDice};
/// use plimsoll_slo::Instant;
///
/// let mut outliers = Outliers::new(OutlierConfig::default());
/// let well = HostSample { host: 1, succeeded: 90, ..HostSample::default() };
/// let ill = HostSample { host: 2, failed: 5, consecutive_failures: 5, ..HostSample::default() };
/// let changes = outliers.sweep(Instant::ORIGIN, &[well, ill], &mut SeededDice::new(1));
/// assert_eq!(changes[0].host, 2);
/// assert!(!outliers.in_service(2));
/// ```
#[derive(Clone, Debug)]
pub struct Outliers {
    config: OutlierConfig,
    /// Ordered, so that the same samples give the same changes in the same order.
    hosts: BTreeMap<u64, Host>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Host {
    ejected_until: Option<Instant>,
    /// How often it was ejected, less one for every clean sweep since.
    times: u32,
    /// The failures in a row that its last ejection was for: they do not count again when it is back.
    atoned: u32,
}

impl Outliers {
    /// All hosts are in service.
    pub const fn new(config: OutlierConfig) -> Self {
        Self {
            config,
            hosts: BTreeMap::new(),
        }
    }

    /// Judges by `config` from now on; who is ejected stays so, and until when.
    pub fn set_config(&mut self, config: OutlierConfig) {
        self.config = config;
    }

    /// Whether the host may be used. A host that was never seen may.
    pub fn in_service(&self, host: u64) -> bool {
        self.hosts
            .get(&host)
            .is_none_or(|known| known.ejected_until.is_none())
    }

    /// The hosts that are ejected, by id, each with the end of its ejection.
    pub fn ejected(&self) -> impl Iterator<Item = (u64, Instant)> {
        self.hosts
            .iter()
            .filter_map(|(&id, host)| Some((id, host.ejected_until?)))
    }

    /// Looks at all hosts once. To be called every `interval`, with `hosts` complete: a host that is not in
    /// it is forgotten. Restores come first, then ejections, the worst host first.
    pub fn sweep(&mut self, now: Instant, hosts: &[HostSample], dice: &mut impl Dice) -> Vec<OutlierChange> {
        let samples: BTreeMap<u64, &HostSample> = hosts.iter().map(|sample| (sample.host, sample)).collect();
        self.hosts.retain(|id, _| samples.contains_key(id));
        for &id in samples.keys() {
            self.hosts.entry(id).or_default();
        }
        // Judged before anyone is restored: what an ejected host shows is from before its ejection.
        let mut judged = self.grounds(&samples);
        judged.sort_by(|(a, _), (b, _)| worse_first(a, b));
        let floor = self.hosts.len().div_ceil(2);
        let mut changes = self.restore(now, floor, &samples);
        for (sample, why) in judged {
            if self.serving() <= floor {
                break;
            }
            let until = self.eject(now, sample, dice);
            changes.push(OutlierChange {
                host: sample.host,
                action: OutlierAction::Eject { until, why },
            });
        }
        changes
    }

    fn serving(&self) -> usize {
        self.hosts
            .values()
            .filter(|host| host.ejected_until.is_none())
            .count()
    }

    /// Everyone in service whom there is ground to eject. Takes one off the number of those who were clean.
    fn grounds<'a>(&mut self, samples: &BTreeMap<u64, &'a HostSample>) -> Vec<(&'a HostSample, EjectWhy)> {
        let bar = self.success_bar(samples);
        let mut found = Vec::new();
        for (id, host) in &mut self.hosts {
            let sample = samples[id];
            if host.ejected_until.is_some() {
                continue;
            }
            if sample.consecutive_failures < host.atoned {
                host.atoned = 0;
            }
            match ground(&self.config, bar, host, sample) {
                Some(why) => found.push((sample, why)),
                None if sample.succeeded > 0 => host.times = host.times.saturating_sub(1),
                None => {}
            }
        }
        found
    }

    /// The success rate below which a host is an outlier; `None` when too few can be compared.
    fn success_bar(&self, samples: &BTreeMap<u64, &HostSample>) -> Option<f64> {
        let rates: Vec<f64> = samples
            .iter()
            .filter(|(id, sample)| self.in_service(**id) && comparable(&self.config, sample))
            .map(|(_, sample)| sample.success_rate())
            .collect();
        if rates.is_empty() || rates.len() < self.config.success_rate_hosts_min as usize {
            return None;
        }
        let n = rates.len() as f64;
        let mean = rates.iter().sum::<f64>() / n;
        let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / n;
        Some((mean - self.config.success_rate_stdev * variance.sqrt()).min(mean - SUCCESS_RATE_GAP_MIN))
    }

    /// Puts back those whose time is over, then those nearest to it for as long as the floor is not met.
    fn restore(
        &mut self,
        now: Instant,
        floor: usize,
        samples: &BTreeMap<u64, &HostSample>,
    ) -> Vec<OutlierChange> {
        let mut waiting: Vec<(Instant, u64)> = self.ejected().map(|(id, until)| (until, id)).collect();
        waiting.sort_unstable();
        let serving = self.serving();
        let mut changes = Vec::new();
        for (restored, (until, id)) in waiting.into_iter().enumerate() {
            if until > now && serving + restored >= floor {
                break;
            }
            let host = self.hosts.get_mut(&id).expect("it was listed a moment ago");
            host.ejected_until = None;
            host.atoned = samples[&id].consecutive_failures;
            changes.push(OutlierChange {
                host: id,
                action: OutlierAction::Restore,
            });
        }
        changes
    }

    fn eject(&mut self, now: Instant, sample: &HostSample, dice: &mut impl Dice) -> Instant {
        let host = self.hosts.entry(sample.host).or_default();
        host.times = host.times.saturating_add(1);
        let span = self
            .config
            .eject_base
            .saturating_mul(host.times)
            .min(self.config.eject_max);
        let jitter = Duration::from_nanos(dice.below((span / 10).as_nanos() as u64));
        let until = now + span + jitter;
        host.ejected_until = Some(until);
        until
    }
}

impl HostSample {
    fn total(&self) -> u64 {
        self.succeeded.saturating_add(self.failed)
    }

    /// 1 when there was no request.
    fn success_rate(&self) -> f64 {
        if self.total() == 0 {
            1.0
        } else {
            self.succeeded as f64 / self.total() as f64
        }
    }
}

fn comparable(config: &OutlierConfig, sample: &HostSample) -> bool {
    sample.total() >= config.success_rate_requests_min.max(1)
}

fn ground(config: &OutlierConfig, bar: Option<f64>, host: &Host, sample: &HostSample) -> Option<EjectWhy> {
    // Old failures in a row are no news: it takes one since the last sweep.
    let in_a_row = sample.consecutive_failures.saturating_sub(host.atoned);
    if config.consecutive > 0 && sample.failed > 0 && in_a_row >= config.consecutive {
        return Some(EjectWhy::Consecutive);
    }
    match bar {
        Some(bar) if comparable(config, sample) => {
            (sample.success_rate() < bar).then_some(EjectWhy::SuccessRate)
        }
        _ => (sample.total() >= config.failure_rate_requests_min.max(1)
            && 1.0 - sample.success_rate() >= config.failure_rate)
            .then_some(EjectWhy::FailureRate),
    }
}

/// The lower success rate first, then the more failures, then the longer row of them; the id decides a draw.
fn worse_first(a: &HostSample, b: &HostSample) -> core::cmp::Ordering {
    a.success_rate()
        .total_cmp(&b.success_rate())
        .then(b.failed.cmp(&a.failed))
        .then(b.consecutive_failures.cmp(&a.consecutive_failures))
        .then(a.host.cmp(&b.host))
}

#[cfg(test)]
mod tests;
