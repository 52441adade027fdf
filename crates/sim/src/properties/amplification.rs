//! Retries and hedges are paid for: at no moment have more of both arrived than `share × requests + burst`.
//!
//! It is checked at every arrival and not only at the end, when many good requests have paid for anything.
//!
//! Reloads are no exception: an upstream has one budget for life, and new rules grant nothing by themselves.

use crate::Run;
use crate::trace::What;

pub(super) fn check(run: &Run) -> Vec<String> {
    let setup = &run.swarm.setup;
    let (mut asked, mut retried) = (0_u32, 0_u32);
    for entry in &run.trace {
        match &entry.what {
            What::Asked(_) => asked += 1,
            What::Arrived(arrival) if arrival.attempt > 1 => retried += 1,
            _ => continue,
        }
        let most = f64::from(asked) * setup.share + f64::from(setup.burst);
        // A token is counted in millionths; rounding them may give one away in a million requests.
        if f64::from(retried) > most + 0.01 {
            return vec![format!(
                "{retried} retries of {asked} requests at {:?}, and {most:.1} were paid for",
                entry.at
            )];
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{arrived, good, push};
    use super::check;
    use crate::trace::Kind;

    #[test]
    fn one_retry_more_than_share_and_burst_is_a_breach() {
        let mut run = good(Kind::Get);
        (run.swarm.setup.share, run.swarm.setup.burst) = (0.5, 2);
        for attempt in 2..=3 {
            push(&mut run, arrived(1, Kind::Get, attempt));
        }
        assert_eq!(check(&run), [""; 0]);
        push(&mut run, arrived(1, Kind::Get, 4));
        assert_eq!(check(&run).len(), 1);
    }
}
