//! The model: what every other store has to do, in the fewest words.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{BODY_MAX, Fact, Key, Minute, Row, Store, StoreError};

/// A store that forgets everything when it is dropped.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    rows: BTreeMap<(Key, u64, String), Minute>,
    /// By their places.
    facts: BTreeMap<u64, Fact>,
    places: u64,
}

impl Store for Memory {
    fn write(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        for Row {
            instance,
            key,
            minute,
        } in rows
        {
            self.rows
                .insert((key.clone(), minute.minute, instance.to_string()), *minute);
        }
        Ok(())
    }

    fn others(&mut self, but: &str, key: &Key, from: u64) -> Result<Vec<Minute>, StoreError> {
        let mut minutes: Vec<Minute> = Vec::new();
        for ((of, at, instance), row) in &self.rows {
            if of != key || *at < from || instance == but {
                continue;
            }
            match minutes.last_mut().filter(|last| last.minute == *at) {
                Some(last) => {
                    last.counts.good += row.counts.good;
                    last.counts.bad += row.counts.bad;
                    last.measured = last.measured.max(row.measured);
                }
                None => minutes.push(*row),
            }
        }
        Ok(minutes)
    }

    fn forget(&mut self, before: u64) -> Result<usize, StoreError> {
        let rows = self.rows.len();
        self.rows.retain(|(_, at, _), _| *at >= before);
        Ok(rows - self.rows.len())
    }
    fn note(&mut self, facts: &[Fact]) -> Result<(), StoreError> {
        if let Some(long) = facts.iter().find(|fact| fact.body.len() > BODY_MAX) {
            return Err(StoreError::TooLong(Arc::clone(&long.id)));
        }
        for fact in facts {
            if !self.facts.values().any(|known| known.id == fact.id) {
                self.places += 1;
                self.facts.insert(self.places, fact.clone());
            }
        }
        Ok(())
    }

    fn noted(&mut self, after: u64, limit: usize) -> Result<Vec<(u64, Fact)>, StoreError> {
        let facts = self.facts.range(after + 1..).take(limit);
        Ok(facts.map(|(place, fact)| (*place, fact.clone())).collect())
    }

    fn forget_facts(&mut self, before: u64) -> Result<usize, StoreError> {
        let facts = self.facts.len();
        self.facts.retain(|_, fact| fact.at >= before);
        Ok(facts - self.facts.len())
    }
}
