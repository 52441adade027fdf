//! What is to become of a process that runs a version: pure.

use std::time::Duration;

use plimsoll_slo::Instant;

/// How long it waits before it starts again what has ended by itself: twice as long each time, up to a bound.
const BACKOFF_BASE: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// What has run for so long had started well.
const STEADY_AFTER: Duration = Duration::from_mins(1);
/// How long something has to be unwanted before it is stopped: what is known of changes may be on its way.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// Where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Nothing runs, and nothing is started before this time.
    Absent(Instant),
    /// It runs since then.
    Up(Instant),
    /// It was asked to end then; or was killed, if so.
    Ending(Instant, bool),
}

/// What is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Nothing,
    Start,
    /// Ask it to end.
    Terminate,
    /// It had its time.
    Kill,
    /// It is not wanted, and nothing of it is there.
    Forget,
}

/// What is to be done now. `unwanted` is since when nobody wants it.
pub(super) fn decide(life: Life, unwanted: Option<Instant>, now: Instant, stop_within: Duration) -> Act {
    let is_settled = unwanted.is_some_and(|since| now.since(since) >= SETTLED_AFTER);
    match life {
        Life::Absent(_) if is_settled => Act::Forget,
        Life::Absent(until) if now >= until && unwanted.is_none() => Act::Start,
        Life::Up(_) if is_settled => Act::Terminate,
        // Who wants it again while it ends waits for its end, and starts another.
        Life::Ending(since, false) if now.since(since) >= stop_within => Act::Kill,
        Life::Absent(_) | Life::Up(_) | Life::Ending(..) => Act::Nothing,
    }
}

/// When what has ended by itself is started again, and which time in a row it was.
pub(super) fn again(began: Instant, failures: u32, now: Instant) -> (Instant, u32) {
    let failures = if now.since(began) >= STEADY_AFTER {
        1
    } else {
        failures.saturating_add(1)
    };
    let pause = BACKOFF_BASE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    (now + pause.min(BACKOFF_MAX), failures)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOP_WITHIN: Duration = Duration::from_secs(30);

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn what_is_wanted_is_started_and_what_is_not_is_stopped_and_then_killed() {
        let decide = |life, unwanted: Option<u64>, now| decide(life, unwanted.map(at), at(now), STOP_WITHIN);
        assert_eq!(decide(Life::Absent(at(0)), None, 0), Act::Start);
        assert_eq!(decide(Life::Absent(at(500)), None, 499), Act::Nothing);
        assert_eq!(decide(Life::Up(at(0)), None, 100_000), Act::Nothing);
        assert_eq!(
            decide(Life::Up(at(0)), Some(5_000), 5_999),
            Act::Nothing,
            "it may be wanted yet"
        );
        assert_eq!(decide(Life::Up(at(0)), Some(5_000), 6_000), Act::Terminate);
        let ending = Life::Ending(at(6_000), false);
        assert_eq!(decide(ending, Some(5_000), 35_999), Act::Nothing);
        assert_eq!(decide(ending, Some(5_000), 36_000), Act::Kill);
        assert_eq!(
            decide(ending, None, 36_000),
            Act::Kill,
            "wanted again: the old one ends first"
        );
        assert_eq!(
            decide(Life::Ending(at(6_000), true), Some(5_000), 90_000),
            Act::Nothing
        );
        assert_eq!(decide(Life::Absent(at(0)), Some(5_000), 6_000), Act::Forget);
        assert_eq!(
            decide(Life::Absent(at(0)), Some(5_000), 5_100),
            Act::Nothing,
            "nothing new is started"
        );
    }

    #[test]
    fn what_ends_by_itself_is_started_less_and_less_often() {
        let (mut failures, mut now) = (0, at(0));
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let (until, count) = again(now, failures, now);
            pauses.push(until.since(now).as_millis());
            (failures, now) = (count, until);
        }
        assert_eq!(
            pauses,
            [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]
        );
        let (until, count) = again(at(0), 9, at(60_000));
        assert_eq!(
            (until, count),
            (at(60_250), 1),
            "it had run for a minute, and begins anew"
        );
    }
}
