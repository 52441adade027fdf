//! What was taken comes back: when nothing has been asked for a while, nothing is held.

use crate::Run;

pub(super) fn check(run: &Run) -> Vec<String> {
    let last = &run.readings.last;
    let held = [
        ("permits of the bulkhead", last.in_flight),
        ("slots of the adaptive limit", last.busy),
        ("places in its queue", last.waiting),
        ("attempts pending", last.pending),
        ("probes of the breaker", last.probes),
        ("connections of callers", last.connections_in),
        ("connections to an endpoint", last.connections_out),
    ];
    let held = held.into_iter().filter(|(_, count)| *count > 0);
    held.map(|(what, count)| format!("{count} {what} held in the end"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::good;
    use super::check;
    use crate::trace::Kind;

    #[test]
    fn anything_held_in_the_end_is_a_breach() {
        let mut run = good(Kind::Get);
        assert_eq!(check(&run), [""; 0]);
        let last = &mut run.readings.last;
        (last.in_flight, last.pending, last.probes) = (1, 1, 1);
        (last.connections_in, last.connections_out) = (1, 1);
        (last.busy, last.waiting) = (1, 1);
        assert_eq!(check(&run).len(), 7);
    }
}
