//! When health returns, so does service: in the calm every request is answered well, and the breaker passes all.

use crate::Run;
use crate::swarm::Phase;
use crate::trace::What;

use std::collections::BTreeMap;

pub(super) fn check(run: &Run) -> Vec<String> {
    let mut waiting = BTreeMap::new();
    let mut breaches = Vec::new();
    for entry in &run.trace {
        match &entry.what {
            What::Asked(ask) if run.swarm.phase(entry.at) == Phase::Calm => {
                waiting.insert(ask.id, entry.at);
            }
            What::Answered(answer) if waiting.remove(&answer.id).is_some() && answer.status != 200 => {
                let reason = answer.reason.map_or("-", plimsoll_slo::Reason::code);
                breaches.push(format!(
                    "#{} was answered {} ({reason}) in the calm",
                    answer.id, answer.status
                ));
            }
            _ => {}
        }
    }
    breaches.extend(
        waiting
            .into_iter()
            .map(|(id, at)| format!("#{id}, asked at {at:?} in the calm, was not answered")),
    );
    if run.readings.last.tripped {
        breaches.push("the breaker does not pass everything in the end".to_owned());
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::good;
    use super::check;
    use crate::trace::{Kind, What};

    #[test]
    fn a_bad_answer_in_the_calm_is_a_breach() {
        let mut run = good(Kind::Get);
        assert_eq!(check(&run), [""; 0]);
        if let What::Answered(answer) = &mut run.trace.last_mut().unwrap().what {
            answer.status = 503;
        }
        assert_eq!(check(&run).len(), 1);
    }

    #[test]
    fn no_answer_in_the_calm_is_a_breach() {
        let mut run = good(Kind::Get);
        run.trace.pop();
        assert_eq!(check(&run).len(), 1);
    }

    #[test]
    fn a_breaker_that_stays_tripped_is_a_breach() {
        let mut run = good(Kind::Get);
        run.readings.last.tripped = true;
        assert_eq!(check(&run).len(), 1);
    }
}
