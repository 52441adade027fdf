//! The model: what every other store has to do, in the fewest words.

use std::collections::BTreeMap;

use crate::{Key, Minute, Row, Store, StoreError};

/// A store that forgets everything when it is dropped.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    rows: BTreeMap<(Key, u64, String), Minute>,
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
}
