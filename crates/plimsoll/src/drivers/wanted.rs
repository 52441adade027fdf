//! Which versions have to run, by what is configured and what was said of changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use change::{Phase, Standing};
use gateway::Plan;

use super::Version;
use crate::config::DriverConfig;
use crate::record::changes::Changes;
use crate::rollout::versions::{self, Deploy};

/// See the module's header.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// What has to run.
    pub(super) here: BTreeSet<Version>,
    /// What was there, and has to be gone.
    pub(super) gone: BTreeSet<Version>,
}

/// What is wanted of the upstreams that have a driver. `plans` are what runs and what is to run: between the two nothing
/// is stopped. `drained` says whether nothing is under way any more at the candidate of a change that was cut.
pub(super) fn wanted(
    drivers: &BTreeMap<Arc<str>, DriverConfig>,
    plans: &[&Plan],
    changes: &Changes,
    drained: impl Fn(&Standing) -> bool,
) -> Wanted {
    let mut wanted = Wanted::default();
    for upstream in plans.iter().flat_map(|plan| &plan.upstreams) {
        if drivers.contains_key(&upstream.name)
            && let [endpoint] = &*versions::texts(upstream)
        {
            wanted.here.insert(Version {
                upstream: upstream.name.to_string(),
                version: upstream.version.to_string(),
                endpoint: endpoint.clone(),
            });
        }
    }
    for standing in changes.machine.all() {
        let is_final = standing.phase() == Phase::Final;
        if standing.phase().is_over() && !is_final {
            continue;
        }
        let Some(deploy) = Deploy::of(&standing.change).filter(|deploy| deploy.driven) else {
            continue;
        };
        if !drivers.contains_key(&*deploy.upstream) {
            continue;
        }
        if is_final {
            wanted.gone.extend(deploy.before());
        } else if standing.phase() == Phase::Reverting && drained(standing) {
            wanted.gone.extend(deploy.candidate_version(&standing.change.to));
        } else {
            wanted.here.extend(deploy.candidate_version(&standing.change.to));
        }
    }
    wanted.gone.retain(|version| !wanted.here.contains(version));
    wanted
}

#[cfg(test)]
mod tests {
    use change::{Cause, Transition};

    use super::*;
    use crate::config::Config;
    use crate::rollout::versions::FileRead;

    fn config() -> Config {
        let text = "listeners: [{ name: ingress, listen: '127.0.0.1:0', routes: [{ name: all, path: '/{*rest}', upstream: orders }] }]
upstreams: [{ name: orders, version: v1, endpoints: ['http://127.0.0.1:3001'], driver: { at: 'http://127.0.0.1:{port}', ports: 3001-3009, process: { command: [orders, '{port}'] } } }]\n";
        Config::read("test.yaml", text.as_bytes()).unwrap()
    }

    fn version(version: &str, port: u16) -> Version {
        Version {
            upstream: "orders".to_owned(),
            version: version.to_owned(),
            endpoint: format!("http://127.0.0.1:{port}"),
        }
    }

    #[test]
    fn a_candidate_runs_until_it_is_gone_and_what_it_replaces_until_it_is_final() {
        let config = config();
        let (mut changes, mut cut) = (Changes::default(), Changes::default());
        let deploy = Deploy {
            driven: true,
            from: Some("v1".to_owned()),
            replaces: vec!["http://127.0.0.1:3001".to_owned()],
            in_file: vec!["http://127.0.0.1:3001".to_owned()],
            ..Deploy::fake("http://127.0.0.1:3002")
        };
        let change = deploy.fake_change("orders-1", "v2");
        let file = FileRead { place: "here", at: 0 };
        let wanted = |changes: &Changes, is_drained: bool| {
            let composed = versions::compose(config.plan.clone(), changes, file);
            let wanted = wanted(&config.drivers, &[&composed], changes, |_| is_drained);
            (
                wanted.here.into_iter().collect::<Vec<_>>(),
                wanted.gone.into_iter().collect::<Vec<_>>(),
            )
        };
        let (old, new) = (version("v1", 3001), version("v2", 3002));
        assert_eq!(wanted(&changes, false), (vec![old.clone()], vec![]));
        let proposed = Transition::Proposed(Box::new(change));
        changes.machine.hear("orders-1", 1, &proposed);
        let both = (vec![old.clone(), new.clone()], vec![]);
        assert_eq!(wanted(&changes, false), both);
        cut.machine.hear("orders-1", 1, &proposed);
        let cause = Cause::Lost;
        cut.machine.hear(
            "orders-1",
            2,
            &Transition::Cut {
                cause,
                evidence: None,
            },
        );
        assert_eq!(wanted(&cut, false), both, "requests are under way there");
        assert_eq!(wanted(&cut, true), (vec![old.clone()], vec![new.clone()]));
        changes
            .machine
            .hear("orders-1", 2, &Transition::Promoted { evidence: None });
        assert_eq!(wanted(&changes, false), both, "the old one is kept warm");
        changes
            .machine
            .hear("orders-1", 3, &Transition::Finished { evidence: None });
        assert_eq!(wanted(&changes, false), (vec![new], vec![old]));
    }
}
