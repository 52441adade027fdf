//! What is said of a change, in sentences: the same in the log, in a terminal, on a page and on an axis of time.

use std::fmt::Write as _;

use change::{Cause, Evidence, Next, Phase, Standing, Transition, Wait};
use plimsoll_slo::Seen;

use crate::civil;

/// A share as people say it: `5 %`, `0.25 %`.
pub(crate) fn share(share: f64) -> String {
    let text = format!("{:.2}", 100.0 * share);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// `orders to v2`.
pub(crate) fn what(standing: &Standing) -> String {
    format!("{} to {}", standing.change.target, standing.change.to)
}

/// Where it is: `step 2 of 4`, `promoted`.
pub(crate) fn state(standing: &Standing) -> String {
    match standing.phase() {
        Phase::Step(step) => format!("step {} of {}", step + 1, standing.change.steps.len()),
        phase => phase.word().to_owned(),
    }
}

/// What was said, as a sentence without its subject, which is the change.
pub(crate) fn sentence(standing: &Standing, said: &Transition) -> String {
    let steps = &standing.change.steps;
    let of_step = |step: usize| steps.get(step).map_or(1.0, |step| step.share);
    match said {
        Transition::Proposed(_) => "is asked for".to_owned(),
        Transition::Armed => "is ready, and nobody has it yet".to_owned(),
        Transition::Entered { step, evidence } => {
            let text = format!(
                "gets {} (step {} of {})",
                share(of_step(*step)),
                step + 1,
                steps.len()
            );
            text + &by(evidence.as_deref())
        }
        Transition::Promoted { evidence } => {
            let held = match standing.change.hold_back {
                back if back > 0.0 => format!(", but for {} that is held back", share(back)),
                _ => String::new(),
            };
            format!("is promoted: everybody has it{held}{}", by(evidence.as_deref()))
        }
        Transition::Finished { .. } => "is final: what it has replaced is not needed any more".to_owned(),
        Transition::Cut { cause, evidence } => {
            let by = match cause {
                Cause::Bad(_) => by(evidence.as_deref()),
                _ => String::new(),
            };
            format!("is rolled back, because {}{by}", cause.sentence())
        }
        Transition::Undone => "is rolled back: nothing of it is left".to_owned(),
        Transition::Parked { why } => format!("needs somebody to see to it: {why}"),
        Transition::Paused { why } => format!("is paused: {why}"),
        Transition::Resumed => "goes on".to_owned(),
        Transition::Approved { step, why } => {
            let to = if *step < steps.len() {
                share(of_step(*step))
            } else {
                "everybody".to_owned()
            };
            format!("may go to {to}, whatever is known of it: {why}")
        }
        Transition::Asked { step } => format!(
            "needs a decision: at {} nobody could tell whether it is good",
            share(of_step(*step))
        ),
        Transition::Yielded { place } => format!("is the file's to say again at {place}"),
    }
}

/// By which counts.
fn by(evidence: Option<&Evidence>) -> String {
    let Some(evidence) = evidence else {
        return String::new();
    };
    let (candidate, stable) = evidence.of_step();
    let of = |seen: Seen| {
        let mut text = format!("{} of {}", seen.failed, seen.events);
        if seen.events > 0 {
            _ = write!(text, " ({})", share(seen.failed as f64 / seen.events as f64));
        }
        text
    };
    format!("; {} failed, and {} before", of(candidate), of(stable))
}

/// What people who look for a cause want to know of it; `None` if it changed nothing for users.
pub(crate) fn news(standing: &Standing, said: &Transition) -> Option<String> {
    let tells = matches!(
        said,
        Transition::Entered { .. }
            | Transition::Promoted { .. }
            | Transition::Finished { .. }
            | Transition::Cut { .. }
            | Transition::Parked { .. }
    );
    tells.then(|| {
        let (id, what) = (&standing.change.id, what(standing));
        format!("{id} ({what}) {}", sentence(standing, said))
    })
}

/// What a change waits for.
pub(crate) fn waits(next: &Next) -> Option<String> {
    let Next::Wait(wait) = next else {
        return None;
    };
    Some(match wait {
        Wait::Over => return None,
        Wait::Ready => "for the candidate to answer".to_owned(),
        Wait::Evidence => "for evidence".to_owned(),
        Wait::Paused => "for somebody to resume it".to_owned(),
        Wait::Approval(step) => format!("for somebody to approve step {}", step + 1),
        Wait::Leader => "for the gateway that leads".to_owned(),
        Wait::Budget(rung) => format!("for the budget, which is {}", rung.word()),
        Wait::Closed(why) => format!("since {why}"),
        Wait::Probation(left) => format!("for its probation to end, in {}", civil::span(Some(*left))),
        Wait::Idle => "for what is under way at the version before".to_owned(),
        Wait::Undoing => "for what is under way to end".to_owned(),
        Wait::Needed(other) => format!("for {other}, which needs it, to be taken back"),
    })
}
