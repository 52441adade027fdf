//! What several gateways have counted of one change: each leaves its own, and takes up what the others have left.
//!
//! What a process has left stays when it is gone, so a rollout outlives restarts with all that was seen of it. Counts of
//! requests add up, sets of keys unite, and both only grow; so it does not matter in which order they are heard.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway::splits::{EpochReading, SplitSeen};
use plimsoll_slo::{KeySlots, Seen, SlotSet};
use store::Shared;

/// How what was seen is written: the first byte of a body.
const OF_REQUESTS: u8 = 0;
const OF_KEYS: u8 = 1;

/// What others have counted, by change.
pub(crate) type Others = BTreeMap<String, Vec<EpochReading>>;

/// What this process has counted of a change, as others read it.
pub(crate) fn rows(change: &str, instance: &Arc<str>, readings: &[EpochReading]) -> Vec<Shared> {
    let row = |reading: &EpochReading| Shared {
        about: change.into(),
        part: u32::try_from(reading.epoch).unwrap_or(u32::MAX),
        instance: Arc::clone(instance),
        said: said(&reading.seen),
        body: written(reading).into(),
    };
    readings.iter().map(row).collect()
}

/// How much was counted: it never goes down.
fn said(seen: &SplitSeen) -> u64 {
    match seen {
        SplitSeen::Each { stable, candidate } => [stable, candidate]
            .into_iter()
            .map(|seen| seen.events + seen.failed + seen.slow.iter().sum::<u64>())
            .sum(),
        SplitSeen::Keys(keys) => {
            let all = sets(keys).into_iter().flat_map(SlotSet::words);
            all.map(|word| u64::from(word.count_ones())).sum()
        }
    }
}

fn sets(keys: &KeySlots) -> [&SlotSet; 5] {
    let [half, most, nearly_all] = &keys.slow;
    [&keys.seen, &keys.failed, half, most, nearly_all]
}

fn written(reading: &EpochReading) -> Vec<u8> {
    let mut body = Vec::new();
    let kind = match &reading.seen {
        SplitSeen::Each { .. } => OF_REQUESTS,
        SplitSeen::Keys(_) => OF_KEYS,
    };
    body.push(kind);
    body.extend(reading.boundary.to_le_bytes());
    let mut put = |number: u64| body.extend(number.to_le_bytes());
    match &reading.seen {
        SplitSeen::Each { stable, candidate } => {
            for seen in [stable, candidate] {
                [seen.events, seen.failed]
                    .into_iter()
                    .chain(seen.slow)
                    .for_each(&mut put);
            }
        }
        SplitSeen::Keys(keys) => {
            let all = sets(keys).into_iter().flat_map(SlotSet::words);
            all.for_each(|word| put(*word));
        }
    }
    body
}

/// What others have left, by change; what cannot be read is of a release that counts otherwise.
pub(crate) fn read(rows: &[Shared]) -> Others {
    let mut others = Others::new();
    for row in rows {
        if let Some(reading) = reading(row) {
            others.entry(row.about.to_string()).or_default().push(reading);
        }
    }
    others
}

fn reading(row: &Shared) -> Option<EpochReading> {
    let (kind, rest) = row.body.split_first()?;
    let (boundary, rest) = rest.split_first_chunk()?;
    let (words, []) = rest.as_chunks() else {
        return None;
    };
    let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
    let seen = match *kind {
        OF_REQUESTS => {
            let mut seen = || {
                let (events, failed) = (words.next()?, words.next()?);
                let slow = [words.next()?, words.next()?, words.next()?];
                Some(Seen { events, failed, slow })
            };
            SplitSeen::Each {
                stable: seen()?,
                candidate: seen()?,
            }
        }
        OF_KEYS => {
            let length = SlotSet::default().words().len();
            let mut set = || SlotSet::of_words(words.by_ref().take(length));
            SplitSeen::Keys(Box::new(KeySlots {
                seen: set()?,
                failed: set()?,
                slow: [set()?, set()?, set()?],
            }))
        }
        _ => return None,
    };
    words.next().is_none().then_some(EpochReading {
        epoch: row.part as usize,
        boundary: u16::from_le_bytes(*boundary),
        seen,
    })
}

/// What all have counted together, by epoch in order. What was counted by another share or in another way in the same epoch
/// is left out.
pub(crate) fn together(own: Vec<EpochReading>, others: &[EpochReading]) -> Vec<EpochReading> {
    let mut all: BTreeMap<usize, EpochReading> = own.into_iter().map(|one| (one.epoch, one)).collect();
    for other in others {
        let Some(known) = all.get_mut(&other.epoch) else {
            all.insert(other.epoch, other.clone());
            continue;
        };
        if known.boundary != other.boundary {
            continue;
        }
        match (&mut known.seen, &other.seen) {
            (
                SplitSeen::Each { stable, candidate },
                SplitSeen::Each {
                    stable: more_stable,
                    candidate: more,
                },
            ) => {
                *stable = stable.and(*more_stable);
                *candidate = candidate.and(*more);
            }
            (SplitSeen::Keys(keys), SplitSeen::Keys(more)) => keys.unite(more),
            _ => {}
        }
    }
    all.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(epoch: usize, boundary: u16, failed: u64) -> EpochReading {
        let seen = |events, failed| Seen {
            events,
            failed,
            slow: [3, 2, 1],
        };
        EpochReading {
            epoch,
            boundary,
            seen: SplitSeen::Each {
                stable: seen(1_000, 7),
                candidate: seen(50, failed),
            },
        }
    }

    fn keyed(slots: &[u16]) -> EpochReading {
        let mut keys = KeySlots::default();
        for slot in slots {
            keys.seen.insert(*slot);
            keys.slow[2].insert(*slot);
        }
        EpochReading {
            epoch: 4,
            boundary: 100,
            seen: SplitSeen::Keys(Box::new(keys)),
        }
    }

    #[test]
    fn what_is_left_is_what_is_taken_up() {
        let readings = vec![each(0, 328, 5), keyed(&[1, 32_767])];
        let mut rows = rows("orders-1", &"one".into(), &readings);
        assert_eq!(rows.iter().map(|row| row.said).collect::<Vec<_>>(), [1_074, 4]);
        assert!(rows.iter().all(|row| row.body.len() <= store::BODY_MAX));
        let read_back = read(&rows);
        assert_eq!(read_back["orders-1"], readings);
        // One that is cut short, one that goes on, and one of another kind.
        let body = rows[0].body.to_vec();
        for body in [
            &body[..body.len() - 1],
            &[&body[..], &[0; 8]].concat(),
            &[7, 0, 0],
            &[],
        ] {
            rows[0].body = body.into();
            assert_eq!(read(&rows[..1]), Others::new(), "{body:?}");
        }
    }

    #[test]
    fn counts_add_up_and_keys_unite() {
        let sum = together(
            vec![each(0, 328, 5), keyed(&[1])],
            &[
                each(0, 328, 6),
                each(0, 999, 100),
                each(1, 1_638, 1),
                keyed(&[1, 2]),
            ],
        );
        let epochs: Vec<usize> = sum.iter().map(|reading| reading.epoch).collect();
        assert_eq!(epochs, [0, 1, 4]);
        let SplitSeen::Each { candidate, stable } = &sum[0].seen else {
            panic!("{sum:?}");
        };
        assert_eq!((candidate.failed, stable.events), (11, 2_000));
        assert_eq!(sum[2], keyed(&[1, 2]));
    }
}
