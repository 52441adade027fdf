//! Evidence in the order of time, whatever the order in which it is heard.
//!
//! The test of [`Evidence`] takes one second after the other, and what it has come to depends on their order. Another
//! node tells of a second later, so what the evidence was before each of the latest minutes is remembered, and from there
//! it is weighed anew. Whoever knows the same seconds then has the same evidence, to the last bit.
//!
//! What it was a while ago may be told to others, who were not there yet: see [`EvidenceMark`].

use std::collections::VecDeque;

use crate::slices::Slices;
use crate::{Evidence, Second, Target, Track};

/// Seconds that can be weighed anew: 15 minutes, as a [`Track`] keeps them.
pub(crate) const KEPT: u64 = 900;
/// Seconds after which it is told to others what evidence had come to: whoever goes on from there cannot weigh anew what
/// was before, and they have two minutes to hear of it in which they can weigh all that was since.
const SETTLED: u64 = KEPT - 120;

/// What evidence had come to before a second, of an objective that asks the same.
#[derive(Clone, Debug, PartialEq)]
pub struct EvidenceMark {
    /// The second that was not weighed yet.
    pub at: Second,
    /// The first that ever was, in this row: of two, the one that goes back farther knows more.
    pub since: Second,
    /// What was found: see [`Evidence::values`].
    pub values: Vec<f64>,
}

/// See the module's header.
#[derive(Clone, Debug)]
pub(crate) struct Weighing {
    target: Target,
    alpha: f64,
    evidence: Evidence,
    /// Callers that failed in each of the latest seconds, for the first time in its minute.
    callers: Box<[u32]>,
    /// What the evidence was before the first second of each of the latest minutes, the oldest first.
    marks: VecDeque<(Second, Evidence)>,
    since: Second,
    newest: Second,
}

/// What the seconds brought.
pub(crate) struct Seen<'a> {
    pub(crate) events: &'a Track,
    /// Those count, if there are any, and not events.
    pub(crate) slices: Option<&'a Slices>,
}

impl Weighing {
    pub(crate) fn new(target: Target, alpha: f64) -> Self {
        Self {
            target,
            alpha,
            evidence: Evidence::new(target, alpha),
            callers: vec![0; KEPT as usize].into(),
            marks: VecDeque::new(),
            since: Second(0),
            newest: Second(0),
        }
    }

    pub(crate) const fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// A second came, or more is said of the newest.
    pub(crate) fn second(&mut self, at: Second, callers: u64, seen: &Seen<'_>) {
        let is_first = self.newest == Second(0);
        if is_first || at < self.newest {
            // The clock stepped back so far that all began anew, but for what is held against the service.
            self.evidence.begin(at);
            self.since = if is_first { at } else { self.since };
            self.newest = Second(at.0.saturating_sub(1));
            self.marks.clear();
            self.callers.fill(0);
        }
        if at == self.newest {
            self.note(at, callers);
            return self.anew(at, seen);
        }
        let skipped = at.0 - self.newest.0 - 1;
        if skipped >= KEPT {
            self.evidence.quiet(u32::try_from(skipped).unwrap_or(u32::MAX));
            self.marks.clear();
            self.callers.fill(0);
            let last = std::mem::replace(&mut self.newest, Second(at.0 - 1));
            self.end_slices(last, self.newest, seen);
        }
        for second in self.newest.0 + 1..=at.0 {
            self.callers[(second % KEPT) as usize] = 0;
            if second == at.0 {
                self.note(at, callers);
            }
            self.step(Second(second), seen);
        }
        self.newest = at;
        let oldest = Second((at.0 + 1).saturating_sub(KEPT));
        while self.marks.get(1).is_some_and(|(mark, _)| *mark <= oldest) {
            self.marks.pop_front();
        }
    }

    fn note(&mut self, at: Second, callers: u64) {
        let known = &mut self.callers[(at.0 % KEPT) as usize];
        *known = known.saturating_add(u32::try_from(callers).unwrap_or(u32::MAX));
    }

    fn is_kept(&self, at: Second) -> bool {
        at <= self.newest && at.0 + KEPT > self.newest.0
    }

    /// So many callers failed in a second that has passed. Whether that is something else than was known.
    pub(crate) fn set_callers(&mut self, at: Second, callers: u64) -> bool {
        let callers = u32::try_from(callers).unwrap_or(u32::MAX);
        let is_kept = self.is_kept(at);
        let known = &mut self.callers[(at.0 % KEPT) as usize];
        is_kept && std::mem::replace(known, callers) != callers
    }

    /// Callers that failed in a minute, as far as its seconds are kept.
    pub(crate) fn callers(&self, minute: u64) -> u64 {
        let seconds = 60 * minute..60 * (minute + 1);
        let kept = seconds.filter(|second| self.is_kept(Second(*second)));
        kept.map(|second| u64::from(self.callers[(second % KEPT) as usize]))
            .sum()
    }

    /// Weighs anew whatever came from this second on.
    pub(crate) fn anew(&mut self, from: Second, seen: &Seen<'_>) {
        let oldest = (self.newest.0 + 1).saturating_sub(KEPT);
        let from = Second(from.0.max(oldest));
        let first = if from < self.since {
            // Somebody was there before.
            self.since = from;
            self.evidence = self.nothing(from);
            self.marks.clear();
            from
        } else {
            let at_or_before = self.marks.partition_point(|(mark, _)| *mark <= from);
            let index = at_or_before.saturating_sub(1);
            let Some((mark, evidence)) = self.marks.get(index) else {
                return;
            };
            self.evidence.clone_from(evidence);
            let mark = *mark;
            // It is made again.
            self.marks.truncate(index);
            mark
        };
        (first.0..=self.newest.0).for_each(|second| self.step(Second(second), seen));
    }

    fn nothing(&self, at: Second) -> Evidence {
        let mut evidence = Evidence::new(self.target, self.alpha);
        evidence.begin(at);
        evidence
    }

    fn step(&mut self, at: Second, seen: &Seen<'_>) {
        if at.0.is_multiple_of(60) || self.marks.is_empty() {
            self.marks.push_back((at, self.evidence.clone()));
        }
        if seen.slices.is_some() {
            self.evidence.quiet(1);
            self.end_slices(Second(at.0.saturating_sub(1)), at, seen);
        } else {
            let (counts, _) = seen.events.second(at);
            let callers = self.callers[(at.0 % KEPT) as usize];
            self.evidence.second(counts.good, callers.into());
        }
    }

    /// Slices that the first of these seconds is in or before, and the other is not, are over.
    fn end_slices(&mut self, last: Second, at: Second, seen: &Seen<'_>) {
        // Of what was before the first second there is a mark, and no evidence.
        let Some(slices) = seen.slices.filter(|_| last >= self.since) else {
            return;
        };
        for bad in slices.ended(last, at, seen.events) {
            self.evidence.slice(bad);
        }
    }

    /// What may be told to others.
    pub(crate) fn mark(&self) -> Option<EvidenceMark> {
        let settled = |(at, _): &&(Second, Evidence)| at.0 + SETTLED <= self.newest.0;
        let (at, evidence) = self.marks.iter().rev().find(settled)?;
        Some(EvidenceMark {
            at: *at,
            since: self.since,
            values: evidence.values().collect(),
        })
    }

    /// Goes on from what others have found, if they have looked for longer. Whether it does.
    pub(crate) fn believe(&mut self, mark: &EvidenceMark, seen: &Seen<'_>) -> bool {
        if mark.since >= self.since || mark.at > self.newest || mark.since > mark.at {
            return false;
        }
        let mut evidence = self.nothing(mark.at);
        if !evidence.restore(&mark.values) {
            return false;
        }
        let oldest = Second((self.newest.0 + 1).saturating_sub(KEPT));
        let first = mark.at.max(oldest);
        // Of the time between nobody knows anything.
        evidence.quiet(u32::try_from(first.0 - mark.at.0).unwrap_or(u32::MAX));
        self.evidence = evidence;
        self.since = mark.since;
        self.marks.clear();
        (first.0..=self.newest.0).for_each(|second| self.step(Second(second), seen));
        true
    }
}
