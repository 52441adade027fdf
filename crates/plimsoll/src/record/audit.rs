//! Everything that somebody did who is no process: one line for each.

use std::collections::VecDeque;
use std::sync::Arc;

use change::{Cause, Transition};

use super::{Entry, MACHINE, Said};
use crate::civil;

/// Deeds that are remembered; the store has them for longer.
const DEEDS_MAX: usize = 1_000;

/// What somebody did.
#[derive(Clone, Debug)]
pub(crate) struct Deed {
    pub(crate) id: Arc<str>,
    /// Milliseconds since the Unix epoch.
    pub(crate) at: u64,
    pub(crate) author: Arc<str>,
    /// The incident, silence or correction; the deed itself if it is about nothing else.
    pub(crate) about: Arc<str>,
    pub(crate) did: String,
}

#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// The latest last.
    deeds: VecDeque<Deed>,
}

impl Audit {
    /// The latest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Deed> {
        self.deeds.iter().rev()
    }

    pub(super) fn apply(&mut self, entry: &Entry) {
        if entry.author.starts_with(MACHINE) {
            return;
        }
        let deed = Deed {
            id: Arc::clone(&entry.id),
            at: entry.at,
            author: Arc::clone(&entry.author),
            about: Arc::clone(&entry.about),
            did: did(&entry.said),
        };
        let place = self.deeds.partition_point(|before| before.at <= deed.at);
        self.deeds.insert(place, deed);
        if self.deeds.len() > DEEDS_MAX {
            self.deeds.pop_front();
        }
    }
}

/// In words.
fn did(said: &Said) -> String {
    match said {
        Said::AlertOpened(opened) => format!("opened an alert of {}", opened.objective),
        Said::AlertClosed { why } => format!("closed an alert: {why}"),
        Said::AlertTold { target, .. } => format!("told {target}"),
        Said::IncidentOpened { .. } => "opened an incident".to_owned(),
        Said::IncidentJoined { alert } => format!("joined {alert} to an incident"),
        Said::IncidentAcknowledged => "acknowledged the incident".to_owned(),
        Said::IncidentNoted { text } | Said::IncidentFigureFell { says: text, .. } => {
            format!("noted: {text}")
        }
        Said::IncidentMitigated => "said that the incident is mitigated".to_owned(),
        Said::IncidentResolved => "resolved the incident".to_owned(),
        Said::SilenceSet {
            objective,
            until,
            reason,
            ..
        } => format!("silenced {objective} until {}: {reason}", civil::moment(*until)),
        Said::SilenceEnded => "ended the silence".to_owned(),
        Said::CorrectionMade {
            objective,
            from,
            to,
            added,
            reason,
        } => {
            let what = added.map_or_else(
                || "excluded".to_owned(),
                |added| format!("added {} good and {} bad to", added.good, added.bad),
            );
            let (from, to) = (civil::moment(60_000 * from), civil::moment(60_000 * to));
            format!("{what} {objective} from {from} to {to}: {reason}")
        }
        Said::CorrectionWithdrawn { reason } => format!("withdrew the correction: {reason}"),
        Said::FreezeSet { until, reason, .. } => {
            format!("froze all changes until {}: {reason}", civil::moment(*until))
        }
        Said::FreezeEnded => "ended the freeze".to_owned(),
        Said::GlassAsked { minutes, reason } => {
            format!("asked to break the glass for {minutes} min: {reason}")
        }
        Said::GlassConfirmed => "confirmed that the glass is broken".to_owned(),
        Said::ChangeWent(said) => match &**said {
            Transition::Proposed(change) => format!("asked for {} of {}", change.to, change.target),
            Transition::Cut {
                cause: Cause::Asked(why),
                ..
            } => format!("took the change back: {why}"),
            Transition::Cut { cause, .. } => format!("took the change back, because {}", cause.sentence()),
            Transition::Paused { why } => format!("paused the change: {why}"),
            Transition::Resumed => "had the change go on".to_owned(),
            Transition::Approved { step, why } => {
                format!("let the change enter step {}: {why}", step + 1)
            }
            said => format!("said that the change is {}", said.word()),
        },
        Said::Changed { what } | Said::Operated { what } => what.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Record;
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_has_what_people_did_in_the_order_of_time() {
        let record = Record::new("plimsoll/one".into(), false);
        let say = |second, author: &str, said| {
            let author = author.into();
            record.say_for(&author, Duration::from_secs(second), None, said);
        };
        say(
            2,
            "ada",
            Said::Operated {
                what: "drained this process".to_owned(),
            },
        );
        say(
            3,
            "plimsoll/one",
            Said::Changed {
                what: "a breaker".to_owned(),
            },
        );
        let silence = Said::SilenceSet {
            objective: "check*".to_owned(),
            from: 1_000,
            until: 61_000,
            reason: "we know".to_owned(),
        };
        say(1, "bob", silence);
        let all = record.read(|state| {
            let all = state
                .audit
                .all()
                .map(|deed| format!("{} {}", deed.author, deed.did));
            all.collect::<Vec<_>>()
        });
        assert_eq!(
            all,
            [
                "ada drained this process",
                "bob silenced check* until 1970-01-01T00:01:01.000Z: we know"
            ]
        );
        for second in 10..2_000 {
            say(second, "ada", Said::SilenceEnded);
        }
        assert_eq!(record.read(|state| state.audit.all().count()), DEEDS_MAX);
    }
}
