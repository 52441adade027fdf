//! What is doubtful about the objectives of a running Plimsoll: what the judge can tell of each, and what only shows in how
//! long requests took and which journeys they belong to.

use std::sync::{Arc, PoisonError};

use gateway::objectives::WalkReading;

use crate::api::history::Latencies;
use crate::heat;
use crate::instance::Parts;

/// Something doubtful about an objective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doubtful {
    pub(crate) objective: Arc<str>,
    /// `little-happens` and the like.
    pub(crate) word: &'static str,
    /// What is wrong, and what would be right.
    pub(crate) says: String,
}

/// Requests of the last hour by which it is told whether a latency is in the right unit.
const REQUESTS_MIN: u64 = 1_000;
/// A latency that is so many times as long as the slowest request took is in the wrong unit, or asks nothing.
const TIMES_MAX: f64 = 100.0;
/// Requests that say of no journey that it is theirs, before that is doubted.
const NAMELESS_MIN: u64 = 100;

/// All that is doubtful by now, in the order of the objectives.
pub(crate) fn find(parts: &Parts) -> Vec<Doubtful> {
    let mut doubtful = parts
        .judging
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .doubts();
    let (running, now) = (parts.gateway.running(), parts.gateway.env().now());
    for counts in &running.objectives {
        let of = |word, says| Doubtful {
            objective: Arc::clone(&counts.name),
            word,
            says,
        };
        let latencies = parts.latencies(&counts.name);
        doubtful.extend(
            latencies
                .as_ref()
                .and_then(wrong_unit)
                .map(|says| of("wrong-unit", says)),
        );
        doubtful.extend(counts.walks(now).and_then(no_key).map(|says| of("no-key", says)));
    }
    doubtful
}

/// Whether all requests are far quicker than what is asked, or none is quick enough.
fn wrong_unit(seen: &Latencies) -> Option<String> {
    let limit = seen.limit_ms? as f64;
    let sums = seen.sums();
    let total: u64 = sums.iter().sum();
    let millis: Vec<f64> = heat::bounds()
        .map(|bound| 1_000.0 * bound.as_secs_f64())
        .collect();
    let slowest = sums.iter().rposition(|count| *count > 0)?;
    let quickest = sums.iter().position(|count| *count > 0)?;
    if total < REQUESTS_MIN {
        return None;
    }
    let right = "right would be a latency that some requests come near to; is it in the right unit?";
    if let Some(bound) = millis.get(slowest)
        && bound * TIMES_MAX <= limit
    {
        return Some(format!(
            "none of {total} requests took longer than {bound:.0} ms, and {limit:.0} ms are allowed; {right}"
        ));
    }
    let least = quickest.checked_sub(1).and_then(|below| millis.get(below))?;
    (*least >= limit).then(|| {
        format!(
            "each of {total} requests took longer than {least:.0} ms, and {limit:.0} ms are allowed; {right}"
        )
    })
}

fn no_key(walks: WalkReading) -> Option<String> {
    let WalkReading {
        under_way,
        left,
        nameless,
        turned_away: _,
    } = walks;
    (nameless >= NAMELESS_MIN && under_way + left == 0).then(|| {
        format!("{nameless} requests of its routes did not say which journey they belong to, and none did; right would be a `key` that they have")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_in_the_wrong_unit_is_told_from_one_that_asks_something() {
        let seen = |limit_ms: Option<u64>, place: usize, count: u64| {
            let mut counts = vec![0; heat::bounds().count() + 1];
            counts[place] = count;
            Latencies {
                minutes: vec![(1, counts)],
                limit_ms,
                examples: Vec::new(),
            }
        };
        // 8 ms, with 300 s where 300 ms were meant.
        let said = wrong_unit(&seen(Some(300_000), 6, 5_000)).unwrap();
        assert!(
            said.starts_with("none of 5000 requests took longer than 8 ms, and 300000 ms"),
            "{said}"
        );
        let said = wrong_unit(&seen(Some(1), 6, 5_000)).unwrap();
        assert!(
            said.starts_with("each of 5000 requests took longer than 6 ms, and 1 ms"),
            "{said}"
        );
        assert_eq!(wrong_unit(&seen(Some(300), 6, 5_000)), None);
        assert_eq!(wrong_unit(&seen(Some(300_000), 6, 50)), None, "nobody knows yet");
        assert_eq!(wrong_unit(&seen(None, 6, 5_000)), None);
    }

    #[test]
    fn journeys_that_nobody_is_on_are_doubtful() {
        let walks = |nameless, under_way| WalkReading {
            under_way,
            nameless,
            ..WalkReading::default()
        };
        assert!(no_key(walks(1_000, 0)).is_some());
        assert_eq!(no_key(walks(1_000, 1)), None);
        assert_eq!(no_key(walks(3, 0)), None);
    }
}
