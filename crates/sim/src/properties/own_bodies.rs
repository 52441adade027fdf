//! Nobody gets what belongs to another: bodies are whole and their own, or they break off and can be seen to.

use crate::Run;
use crate::trace::{Body, What};

pub(super) fn check(run: &Run) -> Vec<String> {
    let wrong = run.trace.iter().filter_map(|entry| match &entry.what {
        What::Answered(answer) if answer.status == 200 && !answer.own => {
            Some(format!("the answer of #{} is not its own", answer.id))
        }
        What::Received(id, Body::Wrong) => Some(format!("the body of #{id} is not what was sent")),
        _ => None,
    });
    wrong.collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{good, push};
    use super::check;
    use crate::trace::{Body, Kind, What};

    #[test]
    fn a_body_of_another_is_a_breach() {
        let mut run = good(Kind::Put);
        assert_eq!(check(&run), [""; 0]);
        push(&mut run, What::Received(1, Body::Broken));
        assert_eq!(check(&run), [""; 0]);
        push(&mut run, What::Received(1, Body::Wrong));
        assert_eq!(check(&run).len(), 1);
    }

    #[test]
    fn an_answer_of_another_is_a_breach() {
        let mut run = good(Kind::Get);
        for entry in &mut run.trace {
            if let What::Answered(answer) = &mut entry.what {
                answer.own = false;
            }
        }
        assert_eq!(check(&run).len(), 1);
    }
}
