//! The model: what every other store has to do, in the fewest words.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use plimsoll_slo::EvidenceMark;

use crate::minutes::{HOUR, by_minute};
use crate::{BODY_MAX, Fact, Key, Minute, Remembered, Row, Shared, Store, StoreError};

/// A store that forgets everything when it is dropped.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    rows: BTreeMap<RowId, Minute>,
    /// What was written of late, and its place in the order of writing.
    lately: BTreeMap<RowId, (u64, Row)>,
    written: u64,
    evidence: BTreeMap<(Key, Arc<str>), EvidenceMark>,
    /// By their places.
    facts: BTreeMap<u64, Fact>,
    places: u64,
    /// Who leads, by which number, and until when.
    leader: Option<(Arc<str>, u64, u64)>,
    shared: BTreeMap<(Arc<str>, u32, Arc<str>), Shared>,
}

/// Whether a row is one of somebody who counted, and of nothing that was made of those.
fn is_apart(instance: &str) -> bool {
    !instance.is_empty() && *instance != *HOUR
}

/// Of what, which minute, and by whom.
type RowId = (Key, u64, Arc<str>);

impl Store for Memory {
    fn write(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        for row in rows {
            let id = (row.key.clone(), row.minute.minute, Arc::clone(&row.instance));
            if self.rows.get(&id).is_some_and(|before| !row.is_newer(before)) {
                continue;
            }
            self.written += 1;
            self.rows.insert(id.clone(), row.minute);
            let mut row = row.clone();
            // Who has no log takes none away.
            row.log = row.log.or_else(|| self.lately.get(&id)?.1.log.clone());
            self.lately.insert(id, (self.written, row));
        }
        Ok(())
    }

    fn others(&mut self, but: &str, key: &Key, from: u64) -> Result<Vec<Minute>, StoreError> {
        let of_others = |of: &Key, instance: &str| of == key && *instance != *but;
        let rows = self
            .rows
            .iter()
            .filter(|((of, _, instance), _)| of_others(of, instance));
        let rows = rows.map(|((.., instance), row)| (*row, **instance == *HOUR));
        Ok(by_minute(rows, from))
    }

    fn minutes(&mut self, after: Option<&Row>, limit: usize) -> Result<Vec<Row>, StoreError> {
        let after = after.map(|row| (row.key.clone(), row.minute.minute, Arc::clone(&row.instance)));
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.rows.range((from, Bound::Unbounded)).take(limit);
        let rows = rows.map(|((key, _, instance), minute)| Row {
            instance: Arc::clone(instance),
            key: key.clone(),
            minute: *minute,
            log: None,
        });
        Ok(rows.collect())
    }

    fn put_back(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let (lately, written) = (self.lately.clone(), self.written);
        self.write(rows)?;
        (self.lately, self.written) = (lately, written);
        Ok(())
    }

    fn lately(&mut self, but: Option<&str>, mark: u64) -> Result<(Vec<Row>, u64), StoreError> {
        let of_others = |row: &Row| but.is_none_or(|process| !row.instance.starts_with(process));
        let rows = self.lately.values();
        let rows = rows.filter(|(place, row)| *place > mark && of_others(row));
        Ok((rows.map(|(_, row)| row.clone()).collect(), self.written))
    }

    fn pass(&mut self, mark: u64) -> Result<(), StoreError> {
        self.lately.retain(|_, (place, _)| *place > mark);
        Ok(())
    }

    fn remember(&mut self, evidence: &[Remembered]) -> Result<(), StoreError> {
        for one in evidence {
            let id = (one.key.clone(), Arc::clone(&one.asked));
            if self.evidence.get(&id).is_none_or(|before| one.replaces(before)) {
                self.evidence.insert(id, one.mark.clone());
            }
        }
        Ok(())
    }

    fn remembered(&mut self) -> Result<Vec<Remembered>, StoreError> {
        let all = self.evidence.iter();
        let all = all.map(|((key, asked), mark)| Remembered {
            key: key.clone(),
            asked: Arc::clone(asked),
            mark: mark.clone(),
        });
        Ok(all.collect())
    }

    fn add_up(&mut self, before: u64) -> Result<bool, StoreError> {
        let apart = self.rows.keys().filter(|(.., instance)| is_apart(instance));
        let Some(oldest) = apart.map(|(_, at, _)| *at).min().filter(|at| *at < before) else {
            return Ok(false);
        };
        let before = before.min(oldest + 60);
        let apart = |(_, at, instance): &RowId| *at < before && is_apart(instance);
        let apart: Vec<_> = self.rows.extract_if(.., |id, _| apart(id)).collect();
        for ((key, at, _), row) in apart {
            let sum = self.rows.entry((key, at, "".into()));
            sum.or_insert(Minute::empty(at)).add(&row);
        }
        Ok(true)
    }

    fn thin_out(&mut self, before: u64) -> Result<bool, StoreError> {
        let hours = self.rows.keys().filter(|(.., instance)| **instance == *HOUR);
        let thinned = hours.map(|(_, at, _)| at + 60).max().unwrap_or(0);
        let whole = self.rows.keys().map(|(_, at, _)| *at).filter(|at| *at >= thinned);
        let Some(hour) = whole
            .min()
            .map(|at| at / 60 * 60)
            .filter(|hour| hour + 60 <= before)
        else {
            return Ok(false);
        };
        let of_hour = |(_, at, instance): &RowId| (hour..hour + 60).contains(at) && instance.is_empty();
        let whole: Vec<_> = self.rows.extract_if(.., |id, _| of_hour(id)).collect();
        let mut measured: BTreeMap<Key, u64> = BTreeMap::new();
        for ((key, ..), row) in &whole {
            let sum = self.rows.entry((key.clone(), hour, HOUR.into()));
            let sum = sum.or_insert(Minute::empty(hour));
            sum.counts.good += row.counts.good;
            sum.counts.bad += row.counts.bad;
            *measured.entry(key.clone()).or_default() += u64::from(row.measured);
        }
        for (key, seconds) in measured {
            if let Some(sum) = self.rows.get_mut(&(key, hour, HOUR.into())) {
                sum.measured = (u64::from(sum.measured) + (seconds + 30) / 60).min(60) as u8;
            }
        }
        Ok(!whole.is_empty())
    }

    fn forget_counted(&mut self, counted: &str, before: u64) -> Result<(), StoreError> {
        let day = before.saturating_sub(1_440)..before;
        self.rows
            .retain(|(key, at, _), _| *key.counted != *counted || !day.contains(at));
        Ok(())
    }

    fn forget(&mut self, before: u64) -> Result<usize, StoreError> {
        let rows = self.rows.len();
        self.rows.retain(|(_, at, _), _| *at >= before);
        self.evidence.retain(|_, mark| mark.at.minute() >= before);
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

    fn lead(&mut self, who: &str, now: u64, until: u64) -> Result<Option<u64>, StoreError> {
        let (fence, until) = match &self.leader {
            None => (1, until),
            Some((leader, fence, ends)) if **leader == *who => (*fence, until.max(*ends)),
            Some((_, fence, ends)) if *ends <= now => (fence + 1, until.max(*ends)),
            Some(_) => return Ok(None),
        };
        self.leader = Some((who.into(), fence, until));
        Ok(Some(fence))
    }

    fn note_leading(&mut self, fence: u64, facts: &[Fact]) -> Result<bool, StoreError> {
        let leads = self
            .leader
            .as_ref()
            .is_some_and(|(_, latest, _)| *latest == fence);
        if leads {
            self.note(facts)?;
        }
        Ok(leads)
    }

    fn share(&mut self, rows: &[Shared]) -> Result<(), StoreError> {
        for row in rows {
            let id = (Arc::clone(&row.about), row.part, Arc::clone(&row.instance));
            if self.shared.get(&id).is_none_or(|before| before.said <= row.said) {
                self.shared.insert(id, row.clone());
            }
        }
        Ok(())
    }

    fn shared(&mut self, but: &str) -> Result<Vec<Shared>, StoreError> {
        let all = self.shared.values().filter(|row| *row.instance != *but);
        Ok(all.cloned().collect())
    }

    fn unshare(&mut self, about: &str) -> Result<(), StoreError> {
        self.shared.retain(|(of, ..), _| **of != *about);
        Ok(())
    }

    fn forget_facts(&mut self, before: u64, kept: &[&str]) -> Result<usize, StoreError> {
        let facts = self.facts.len();
        self.facts
            .retain(|_, fact| fact.at >= before || kept.contains(&&*fact.about));
        Ok(facts - self.facts.len())
    }
}
