//! What a deploy is made of, and the plan with the versions that deploys have brought.

use std::collections::BTreeMap;
use std::sync::Arc;

use change::{Change, Kind, Phase, Standing};
use gateway::plan::{Between, EndpointPlan, Plan, SplitPlan, UpstreamPlan};
use serde::{Deserialize, Serialize};

use super::judged::{Judged, What};
use crate::config::{Endpoint, Scalar};
use crate::drivers::Version;
use crate::record::changes::Changes;

/// What has to be known to roll out a version, in the words of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deploy {
    /// The upstream whose version it is to be.
    pub(crate) upstream: String,
    /// Where the candidate is, as a configuration would say.
    pub(crate) endpoints: Vec<String>,
    /// Where that was which it replaces.
    pub(crate) replaces: Vec<String>,
    /// Where the file said that it was: the same, but for what was promoted before and is not in the file yet.
    #[serde(default)]
    pub(crate) in_file: Vec<String>,
    /// What requests that keep to one version have in common, as for a journey.
    pub(crate) key: Option<String>,
    /// Microseconds beyond which a request is slow: the median and the 90th and 99th percentile of before, and what nobody
    /// notices.
    pub(crate) slow_us: Option<[u64; 3]>,
    pub(crate) alpha: f64,
    pub(crate) tolerated: f64,
    pub(crate) tolerated_slow: f64,
    /// The share of its requests that an objective allows to fail.
    pub(crate) allowed: Option<f64>,
    /// The version that it replaces.
    #[serde(default)]
    pub(crate) from: Option<String>,
    /// Whether the upstream's driver starts and stops it.
    #[serde(default)]
    pub(crate) driven: bool,
}

impl Deploy {
    /// `None` if the change is another kind, or of a release that says it otherwise.
    pub(crate) fn of(change: &Change) -> Option<Self> {
        (change.kind == Kind::Deploy).then_some(())?;
        serde_json::from_str(&change.how).ok()
    }

    /// Whether an upstream that is said to be there is what this replaces, or what the file said when it was asked for.
    fn is_in_place_of(&self, endpoints: &[String]) -> bool {
        self.in_file == endpoints || self.replaces == endpoints
    }

    /// The candidate, for whoever starts it.
    pub(crate) fn candidate_version(&self, version: &str) -> Option<Version> {
        Some(Version {
            upstream: self.upstream.clone(),
            version: version.to_owned(),
            endpoint: self.endpoints.first()?.clone(),
        })
    }

    /// What it replaces, for whoever stops it.
    pub(crate) fn before(&self) -> Option<Version> {
        Some(Version {
            upstream: self.upstream.clone(),
            version: self.from.clone()?,
            endpoint: self.replaces.first()?.clone(),
        })
    }

    /// How it is judged.
    pub(super) fn judged(&self) -> Judged {
        Judged {
            key: self.key.clone(),
            slow_us: self.slow_us,
            alpha: self.alpha,
            tolerated: self.tolerated,
            tolerated_slow: self.tolerated_slow,
            allowed: self.allowed,
        }
    }

    /// The candidate beside the version that it is to replace: the same in all but where it is.
    fn candidate(&self, version: &str, stable: &UpstreamPlan) -> UpstreamPlan {
        UpstreamPlan {
            name: format!("{}@{version}", self.upstream).into(),
            version: version.into(),
            endpoints: self.endpoints.iter().filter_map(|text| endpoint(text)).collect(),
            ..stable.clone()
        }
    }
}

#[cfg(test)]
impl Deploy {
    /// One of `orders` to this place, and to nothing else.
    pub(crate) fn fake(endpoint: &str) -> Self {
        Self {
            upstream: "orders".to_owned(),
            endpoints: vec![endpoint.to_owned()],
            replaces: Vec::new(),
            in_file: Vec::new(),
            key: None,
            slow_us: None,
            alpha: 0.001,
            tolerated: 0.0,
            tolerated_slow: 0.0,
            allowed: None,
            from: None,
            driven: false,
        }
    }

    /// A change that does it in no steps, and keeps nothing warm.
    pub(crate) fn fake_change(&self, id: &str, to: &str) -> Change {
        Change {
            id: id.to_owned(),
            kind: Kind::Deploy,
            target: self.upstream.clone(),
            to: to.to_owned(),
            steps: Vec::new(),
            needs: Vec::new(),
            offers: Vec::new(),
            undecided: change::Undecided::default(),
            probation_ms: 0,
            hold_back: 0.0,
            relief: false,
            how: serde_json::to_string(self).unwrap(),
        }
    }
}

/// An endpoint of a plan, from the text of a configuration.
fn endpoint(text: &str) -> Option<EndpointPlan> {
    Some(match Endpoint::parse(text)? {
        Endpoint::Host { host, port, .. } => EndpointPlan::Host(host, port),
        Endpoint::Unix(path) => EndpointPlan::Unix(path),
    })
}

/// Where an upstream is, as a configuration would say.
pub(crate) fn texts(upstream: &UpstreamPlan) -> Vec<String> {
    let tls = upstream.tls.is_some();
    let text = |endpoint: &EndpointPlan| match endpoint {
        EndpointPlan::Host(host, port) => Scalar::render(&Endpoint::Host {
            tls,
            host: host.clone(),
            port: *port,
        }),
        EndpointPlan::Unix(path) => Scalar::render(&Endpoint::Unix(path.clone())),
    };
    upstream.endpoints.iter().map(text).collect()
}

/// A file as it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileRead<'a> {
    /// Which one, among those of all who share a record.
    pub(crate) place: &'a str,
    /// When, in milliseconds since the Unix epoch.
    pub(crate) at: u64,
}

impl FileRead<'_> {
    /// Whether it was read after this change had yielded to it. A process that still runs what it has read before goes on
    /// as it did: of two that have one file, as in an upgrade, one reads it first.
    pub(crate) fn has_its_word(&self, standing: &Standing) -> bool {
        standing
            .yielded_at(self.place)
            .is_some_and(|since| self.at >= since)
    }
}

/// What the file says, with what deploys have made of it: those that are final stand in the place of what they have
/// replaced, for as long as the file has never said anything else; those that are under way are candidates beside it.
pub(crate) fn compose(mut plan: Plan, changes: &Changes, file: FileRead<'_>) -> Plan {
    for standing in changes.machine.in_force() {
        let Some(deploy) = Deploy::of(&standing.change).filter(|_| !file.has_its_word(standing)) else {
            continue;
        };
        let mut upstreams = plan.upstreams.iter_mut();
        let stable = upstreams.find(|upstream| *upstream.name == *deploy.upstream);
        if let Some(stable) = stable.filter(|stable| deploy.is_in_place_of(&texts(stable))) {
            stable.endpoints = deploy
                .endpoints
                .iter()
                .filter_map(|text| endpoint(text))
                .collect();
            stable.version = standing.change.to.as_str().into();
        }
    }
    for standing in changes
        .machine
        .all()
        .filter(|standing| !standing.phase().is_over())
    {
        let deploy = match What::of(&standing.change) {
            Some(What::Deploy(deploy)) => deploy,
            Some(What::Flag(edit)) => {
                plan.splits.push(edit.split(&standing.change, &plan));
                continue;
            }
            None => continue,
        };
        let mut upstreams = plan.upstreams.iter();
        let Some(stable) = upstreams.find(|upstream| *upstream.name == *deploy.upstream) else {
            continue;
        };
        let candidate = deploy.candidate(&standing.change.to, stable);
        // Nothing is there twice, and what was written by a release that knows more is left alone.
        let is_taken = plan
            .upstreams
            .iter()
            .any(|upstream| upstream.name == candidate.name);
        if is_taken || candidate.endpoints.is_empty() {
            continue;
        }
        plan.splits.push(SplitPlan {
            change: standing.change.id.as_str().into(),
            between: Between::Versions {
                stable: stable.name.clone(),
                candidate: candidate.name.clone(),
            },
            key: deploy.judged().key(),
            slow: deploy.judged().slow(),
        });
        plan.upstreams.push(candidate);
    }
    plan
}

/// The changes that are in force against what this file said, and it says something else now. From then on it has its
/// own word: who puts the old place back into it means it.
pub(crate) fn outdated<'a>(
    places: &'a BTreeMap<Arc<str>, Vec<String>>,
    changes: &'a Changes,
    place: &'a str,
) -> impl Iterator<Item = &'a Standing> {
    changes.machine.in_force().filter(move |standing| {
        standing.yielded_at(place).is_none()
            && Deploy::of(&standing.change).is_some_and(|deploy| {
                let said = places.get(&*deploy.upstream);
                !said.is_some_and(|said| deploy.is_in_place_of(said))
            })
    })
}

/// Whether two plans have the same versions in the same places.
pub(crate) fn is_same(a: &Plan, b: &Plan) -> bool {
    let places = |plan: &Plan| -> Vec<_> {
        let all = plan.upstreams.iter();
        all.map(|upstream| {
            (
                upstream.name.clone(),
                upstream.version.clone(),
                upstream.endpoints.clone(),
            )
        })
        .collect()
    };
    a.splits == b.splits && places(a) == places(b)
}

/// The epoch of a split in which a change is: one for each step, and some for its probation, so that what becomes worse
/// late is seen for itself.
pub(crate) fn epoch(standing: &Standing, now: u64) -> usize {
    const ROUNDS: u64 = 16;
    let steps = standing.change.steps.len();
    match (standing.phase(), standing.promoted_at()) {
        (Phase::Promoted, Some(promoted)) => {
            let round = standing.change.probation_ms / ROUNDS;
            let passed = now.saturating_sub(promoted) / round.max(1);
            // The last is for what comes after it, when nothing is held back.
            steps + passed.min(ROUNDS) as usize
        }
        _ => standing.step().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use change::Transition;

    use super::*;
    use crate::config::Config;

    fn final_at(changes: &mut Changes, number: u64, at: u64, replaces: &str, in_file: &str, to: &str) {
        let deploy = Deploy {
            replaces: vec![replaces.to_owned()],
            in_file: vec![in_file.to_owned()],
            ..Deploy::fake(to)
        };
        let change = deploy.fake_change(&format!("orders-{number}"), &format!("v{number}"));
        let id = change.id.clone();
        for said in [
            Transition::Proposed(Box::new(change)),
            Transition::Promoted { evidence: None },
            Transition::Finished { evidence: None },
        ] {
            changes.machine.hear(&id, at, &said);
        }
    }

    #[test]
    fn what_was_promoted_last_runs_until_the_file_says_something_else() {
        let in_file = |port: u16| {
            let text = format!(
                "listeners: [{{ name: ingress, listen: '127.0.0.1:0', routes: [{{ name: all, path: '/{{*rest}}', upstream: orders }}] }}]
upstreams: [{{ name: orders, endpoints: ['http://127.0.0.1:{port}'] }}]\n"
            );
            Config::read("test.yaml", text.as_bytes()).unwrap().plan
        };
        let [one, two, three] = [1, 2, 3].map(|port| format!("http://127.0.0.1:{port}"));
        let file = |at| FileRead {
            place: "host:file",
            at,
        };
        let runs =
            |plan: Plan, changes: &Changes| texts(&compose(plan, changes, file(100)).upstreams[0])[0].clone();
        let mut changes = Changes::default();
        final_at(&mut changes, 1, 10, &one, &one, &two);
        assert_eq!(runs(in_file(1), &changes), two);
        final_at(&mut changes, 2, 20, &two, &one, &three);
        assert_eq!(
            runs(in_file(1), &changes),
            three,
            "the file says what it said then"
        );
        assert_eq!(runs(in_file(2), &changes), three, "or what was replaced");
        assert_eq!(runs(in_file(3), &changes), three);
        assert_eq!(runs(in_file(4), &changes), "http://127.0.0.1:4");
        let again = compose(in_file(1), &changes, file(100));
        assert!(
            is_same(&compose(again.clone(), &changes, file(100)), &again),
            "twice is the same"
        );

        // Back to the version before, and the first of them is not needed for it.
        final_at(&mut changes, 3, 30, &three, &one, &two);
        assert_eq!(runs(in_file(1), &changes), two);

        // A file that says otherwise has its own word from then on, for whoever reads it after that.
        let outdated = |plan: &Plan, changes: &Changes| {
            let places = plan
                .upstreams
                .iter()
                .map(|upstream| (Arc::clone(&upstream.name), texts(upstream)));
            let places = places.collect();
            let outdated = outdated(&places, changes, "host:file");
            outdated
                .map(|standing| standing.change.id.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(outdated(&in_file(1), &changes), Vec::<String>::new());
        assert_eq!(outdated(&in_file(2), &changes), ["orders-3"]);
        let place = "host:file".to_owned();
        changes
            .machine
            .hear("orders-3", 200, &Transition::Yielded { place });
        assert_eq!(outdated(&in_file(2), &changes), Vec::<String>::new(), "once");
        let runs = |changes: &Changes, read: FileRead<'_>| {
            texts(&compose(in_file(1), changes, read).upstreams[0])[0].clone()
        };
        assert_eq!(runs(&changes, file(200)), one);
        assert_eq!(runs(&changes, file(199)), two, "this one has not seen it");
        let elsewhere = FileRead {
            place: "other:file",
            at: 300,
        };
        assert_eq!(runs(&changes, elsewhere), two);
    }
}
