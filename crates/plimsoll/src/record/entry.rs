//! What is said in the record: one fact, and who said it.

use std::sync::Arc;

use change::Transition;
use plimsoll_slo::{Corrected, Correction, Severity};
use serde::{Deserialize, Serialize};
use store::Fact;

/// A fact, as this program means it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// The same of two processes that say the same: it is one fact then.
    pub(crate) id: Arc<str>,
    /// Milliseconds since the Unix epoch.
    pub(crate) at: u64,
    /// The alert, incident, silence or correction that it is about.
    pub(crate) about: Arc<str>,
    /// A person, or a process.
    pub(crate) author: Arc<str>,
    pub(crate) said: Said,
}

/// What can be said. The words are those of the store, and are never changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "body", rename_all = "kebab-case")]
pub(crate) enum Said {
    AlertOpened(Box<Opened>),
    AlertClosed {
        why: String,
    },
    AlertTold {
        target: String,
        told: Told,
    },
    /// `alert` is the one that opened it.
    IncidentOpened {
        alert: String,
        /// Seconds since the Unix epoch.
        began: u64,
    },
    IncidentJoined {
        alert: String,
    },
    IncidentAcknowledged,
    IncidentNoted {
        text: String,
    },
    /// A figure of the business has fallen, for which the incident may be the reason.
    IncidentFigureFell {
        figure: String,
        says: String,
    },
    IncidentMitigated,
    IncidentResolved,
    SilenceSet {
        /// The name of an objective, with `*` at the end or instead of it for all that begin so.
        objective: String,
        /// Milliseconds since the Unix epoch.
        from: u64,
        until: u64,
        reason: String,
    },
    SilenceEnded,
    CorrectionMade {
        objective: String,
        /// Minutes since the Unix epoch; `to` is the one after the last.
        from: u64,
        to: u64,
        /// `None` excludes what happened then.
        added: Option<Added>,
        reason: String,
    },
    CorrectionWithdrawn {
        reason: String,
    },
    /// Until then no change goes on.
    FreezeSet {
        /// Milliseconds since the Unix epoch.
        from: u64,
        until: u64,
        reason: String,
    },
    FreezeEnded,
    /// Somebody asks that nothing holds changes up, for so many minutes from when another confirms it.
    GlassAsked {
        minutes: u64,
        reason: String,
    },
    GlassConfirmed,
    /// A change goes on its way, or comes to its end.
    ChangeWent(Box<Transition>),
    /// Something changed that may be why: a configuration, a version, a breaker.
    Changed {
        what: String,
    },
    /// Somebody had this process do something, or came in.
    Operated {
        what: String,
    },
}

/// What is known when an alert opens, and kept with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) objective: String,
    pub(crate) severity: Calls,
    /// Seconds since the Unix epoch.
    pub(crate) began: Option<u64>,
    pub(crate) sentence: String,
    /// Requests that failed.
    pub(crate) examples: Vec<Example>,
    /// What those that failed have in common, the most telling first.
    pub(crate) stands_out: Vec<StandsOut>,
    /// What changed in the hour before.
    pub(crate) changes: Vec<String>,
    pub(crate) runbook: Option<String>,
}

/// Whom an alert calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Calls {
    #[default]
    Ticket,
    Page,
}

impl Calls {
    pub(crate) const fn severity(self) -> Severity {
        match self {
            Self::Ticket => Severity::Ticket,
            Self::Page => Severity::Page,
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        self.severity().word()
    }
}

/// What a target was told of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Told {
    Firing,
    Resolved,
}

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Example {
    pub(crate) trace_id: String,
    pub(crate) request_id: String,
    pub(crate) route: String,
    pub(crate) tier: String,
    pub(crate) reason: String,
    pub(crate) latency_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub(crate) at: u64,
}

/// A value of a dimension that has more of the failures than of the traffic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StandsOut {
    /// `route`, `tier`, `upstream`, `version`.
    pub(crate) dimension: String,
    pub(crate) value: String,
    pub(crate) bad: u64,
    pub(crate) events: u64,
    /// Its share of all failures, and that over its share of all events.
    pub(crate) share: f64,
    pub(crate) lift: f64,
}

/// Events that a correction adds, or takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Added {
    pub(crate) good: i64,
    pub(crate) bad: i64,
}

impl Entry {
    pub(crate) fn to_fact(&self) -> Fact {
        let said = serde_json::to_value(&self.said).unwrap_or_default();
        let kind = said["kind"].as_str().unwrap_or_default();
        let body = said.get("body").map(ToString::to_string);
        Fact {
            id: Arc::clone(&self.id),
            at: self.at,
            kind: kind.into(),
            about: Arc::clone(&self.about),
            author: Arc::clone(&self.author),
            body: body.unwrap_or_else(|| "null".to_owned()).into(),
        }
    }

    /// `None` if it is a fact of another release, of which this one knows nothing.
    pub(crate) fn of_fact(fact: &Fact) -> Option<Self> {
        let body: serde_json::Value = serde_json::from_str(&fact.body).ok()?;
        let said = serde_json::json!({ "kind": &*fact.kind, "body": body });
        Some(Self {
            id: Arc::clone(&fact.id),
            at: fact.at,
            about: Arc::clone(&fact.about),
            author: Arc::clone(&fact.author),
            said: serde_json::from_value(said).ok()?,
        })
    }
}

impl Said {
    /// A correction for the judge, if it is one.
    pub(crate) fn correction(&self) -> Option<Correction> {
        let Self::CorrectionMade { from, to, added, .. } = self else {
            return None;
        };
        let what = match *added {
            None => Corrected::Excluded,
            Some(Added { good, bad }) => Corrected::Added { good, bad },
        };
        Some(Correction {
            from: *from,
            to: *to,
            what,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(said: Said) -> Entry {
        Entry {
            id: "checkout-page-1".into(),
            at: 1_795_464_600_123,
            about: "checkout".into(),
            author: "ada".into(),
            said,
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        for said in [
            Said::AlertOpened(Box::new(Opened {
                objective: "checkout".to_owned(),
                severity: Calls::Page,
                began: Some(7),
                ..Opened::default()
            })),
            Said::IncidentAcknowledged,
            Said::ChangeWent(Box::new(Transition::Armed)),
            Said::ChangeWent(Box::new(Transition::Cut {
                cause: change::Cause::Bad("failures".to_owned()),
                evidence: None,
            })),
            Said::AlertTold {
                target: "oncall".to_owned(),
                told: Told::Resolved,
            },
            Said::CorrectionMade {
                objective: "checkout".to_owned(),
                from: 1,
                to: 2,
                added: Some(Added { good: -3, bad: 3 }),
                reason: "auth".to_owned(),
            },
        ] {
            let entry = entry(said);
            assert_eq!(Entry::of_fact(&entry.to_fact()), Some(entry));
        }
        let fact = entry(Said::IncidentAcknowledged).to_fact();
        assert_eq!((&*fact.kind, &*fact.body), ("incident-acknowledged", "null"));
    }

    #[test]
    fn a_fact_of_a_later_release_is_left_alone() {
        let known = entry(Said::IncidentMitigated).to_fact();
        let kind = Fact {
            kind: "incident-sung-about".into(),
            ..known.clone()
        };
        let body = Fact {
            body: "no JSON".into(),
            ..known
        };
        assert_eq!((Entry::of_fact(&kind), Entry::of_fact(&body)), (None, None));
    }
}
