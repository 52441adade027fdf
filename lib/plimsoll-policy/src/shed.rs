//! Shedding: who waits for a slot, who gets the next one, and who has to make way.
//!
//! The queue is short and its waits are bounded, so that what is admitted is still worth answering. A queue as long as
//! callers are patient serves only answers that nobody waits for any more.
//!
//! **Who is next.** First the most important [`Priority`]. Within it the cohort of tenants that has had the least so
//! far (start-time fair queueing, Goyal and others, 1996), so that one tenant that asks for everything gets its share
//! and no more. Within a cohort whoever has the earliest deadline; in overload the newest, who has the most patience
//! left, while the oldest would be answered just before they give up (Facebook's adaptive LIFO).
//!
//! **Who makes way** when the queue is full: the least important; among those the cohort that holds most places; of it
//! whoever would be served last. That may be the newcomer.
//!
//! **Overload** is a queue that has not been empty for 100 ms: a burst drains, a standing queue does not (CoDel,
//! Nichols and Jacobson, 2012; the number is Facebook's). From then on nobody waits longer than [`Waits::overload`],
//! but for the critical, who are few enough for the upstream as long as they wait at all.
//!
//! **Cohorts.** Tenants are hashed into 64 cohorts with a salt that the shell changes now and then: whoever shares a
//! cohort with a noisy neighbour does not do so for long.
//!
//! **States:** empty, waiting, overloaded. **Failure:** none; everyone who is pushed comes out exactly once.

use core::time::Duration;

use plimsoll_slo::Instant;

use crate::Dice;

pub use excess::Excess;

mod excess;

/// How much a request matters: a class that its route or its caller declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// May be dropped first: prefetching, batch work, retries by machines.
    Sheddable,
    /// Everything that says nothing else.
    #[default]
    Normal,
    /// Served as long as anything is: checkout, login, health of patients.
    Critical,
}

impl Priority {
    /// From the least important to the most.
    pub const ALL: [Self; 3] = [Self::Sheddable, Self::Normal, Self::Critical];

    /// The word for it in headers, configuration and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sheddable => "sheddable",
            Self::Normal => "normal",
            Self::Critical => "critical",
        }
    }

    /// The priority that `word` names, in any case.
    ///
    /// ```
    /// use plimsoll_policy::Priority;
    /// assert_eq!(Priority::named(b"Critical"), Some(Priority::Critical));
    /// assert_eq!(Priority::named(b"1"), None);
    /// ```
    pub fn named(word: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|priority| priority.word().as_bytes().eq_ignore_ascii_case(word))
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// How long anyone waits for a slot, and how many may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// While the queue is short of overload, and for the critical always; 100 ms by default.
    pub calm: Duration,
    /// In overload. Less than what a request usually takes keeps the slowest answers near twice the usual.
    pub overload: Duration,
    /// Places in the queue for each slot.
    pub per_slot: u32,
}

/// The fewest places for each slot, the most, and the fewest and the most of a queue whatever its limit: its costs are
/// linear in them.
const PER_SLOT: (f64, f64) = (2.0, 64.0);
const PLACES: (usize, usize) = (8, 4096);

impl Waits {
    /// The waits for an upstream whose requests usually take `usual`: three quarters of it in overload, 5 ms to `calm`.
    ///
    /// There are places for twice as many as get a slot in that time or in 10 ms, which is one for each slot in `usual`.
    /// A longer queue is longer than anyone may wait; a shorter one refuses at a quick upstream those that it would serve
    /// a few milliseconds later.
    pub fn of(calm: Duration, usual: Option<Duration>) -> Self {
        let usual = usual.unwrap_or(Duration::ZERO);
        let overload = (usual * 3 / 4).max(Duration::from_millis(5)).min(calm);
        let turns = if usual.is_zero() {
            0.0
        } else {
            overload.max(Duration::from_millis(10)).div_duration_f64(usual)
        };
        Self {
            calm,
            overload,
            per_slot: (2.0 * turns).ceil().clamp(PER_SLOT.0, PER_SLOT.1) as u32,
        }
    }

    /// Places in the queue in front of so many slots: 8 to 4,096.
    pub fn places(&self, limit: u32) -> usize {
        let places = self.per_slot as usize * limit as usize;
        places.clamp(PLACES.0, PLACES.1)
    }
}

impl Default for Waits {
    fn default() -> Self {
        Self::of(Duration::from_millis(100), None)
    }
}

/// One that waits for a slot.
#[derive(Clone, Copy, Debug)]
pub struct Waiter<T> {
    /// How much it matters.
    pub priority: Priority,
    /// Its tenant, hashed; only the lowest 6 bits count.
    pub cohort: u64,
    /// When the request is given up.
    pub deadline: Instant,
    /// What the upstream usually takes for it: whoever has less than that left is not sent any more.
    pub usual: Duration,
    /// Whom to tell.
    pub token: T,
}

/// Why somebody leaves the queue without a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShedWhy {
    /// It made way for others.
    Full,
    /// It has waited as long as anyone may.
    Waited,
    /// What is left of its deadline is less than what the upstream usually takes.
    Doomed,
}

impl ShedWhy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Full, Self::Waited, Self::Doomed];

    /// The word for it in metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Waited => "waited",
            Self::Doomed => "doomed",
        }
    }
}

/// A place in the queue, to leave it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    number: u64,
    priority: Priority,
    cohort: usize,
}

/// What [`ShedQueue::push`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed<T> {
    /// It waits.
    Waits(Place),
    /// It waits, and this one made way for it.
    Displaced(Place, T),
    /// It is the one that makes way.
    Refused(T),
}

/// Cohorts within a priority: enough that tenants seldom meet, few enough to look at all of them.
const COHORTS: usize = 64;

/// How long a queue stands before it is called overload.
const STANDING: Duration = Duration::from_millis(100);

/// The queue in front of one upstream's slots. Costs are linear in what waits, which the caller bounds.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::{Priority, Pushed, ShedQueue, Waiter, Waits};
/// use plimsoll_slo::Instant;
///
/// let now = Instant::ORIGIN;
/// let ask = |priority, token| Waiter {
///     priority,
///     cohort: 0,
///     deadline: now + Duration::from_secs(15),
///     usual: Duration::from_millis(20),
///     token,
/// };
/// let mut queue = ShedQueue::default();
/// let waits = Waits::default();
/// assert!(matches!(queue.push(now, ask(Priority::Sheddable, "batch"), 1), Pushed::Waits(_)));
/// // There is one place, and somebody who matters more.
/// assert!(matches!(queue.push(now, ask(Priority::Critical, "checkout"), 1), Pushed::Displaced(_, "batch")));
/// assert_eq!(queue.pop(now, waits, |_, _| {}), Some("checkout"));
/// ```
#[derive(Debug)]
pub struct ShedQueue<T> {
    classes: [Class<T>; Priority::ALL.len()],
    len: usize,
    next: u64,
    /// Since when it has not been empty.
    busy_since: Option<Instant>,
}

#[derive(Debug)]
struct Class<T> {
    cohorts: Vec<Cohort<T>>,
    len: usize,
    /// What the cohort had had that was served last: a cohort that comes back begins there and is owed nothing.
    served: u64,
}

#[derive(Debug)]
struct Cohort<T> {
    /// In the order of their coming.
    waiting: Vec<Entry<T>>,
    /// Slots that it has had, by start-time fair queueing.
    had: u64,
}

#[derive(Debug)]
struct Entry<T> {
    number: u64,
    since: Instant,
    deadline: Instant,
    usual: Duration,
    token: T,
}

impl<T> Default for ShedQueue<T> {
    fn default() -> Self {
        let class = || Class {
            cohorts: Vec::new(),
            len: 0,
            served: 0,
        };
        Self {
            classes: [class(), class(), class()],
            len: 0,
            next: 0,
            busy_since: None,
        }
    }
}

impl<T> ShedQueue<T> {
    /// Those that wait.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody waits.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the queue has stood for so long that it does not drain by itself.
    pub fn is_overloaded(&self, now: Instant) -> bool {
        self.busy_since.is_some_and(|since| now.since(since) >= STANDING)
    }

    /// How long one of this priority may wait by now.
    pub fn wait_max(&self, now: Instant, priority: Priority, waits: Waits) -> Duration {
        if priority < Priority::Critical && self.is_overloaded(now) {
            waits.overload
        } else {
            waits.calm
        }
    }

    /// Lets somebody wait, in a queue of so many places. With no place at all the newcomer is refused.
    pub fn push(&mut self, now: Instant, waiter: Waiter<T>, places: usize) -> Pushed<T> {
        let priority = waiter.priority;
        let cohort = waiter.cohort as usize % COHORTS;
        if places == 0 {
            return Pushed::Refused(waiter.token);
        }
        let place = Place {
            number: self.next,
            priority,
            cohort,
        };
        self.next += 1;
        self.busy_since.get_or_insert(now);
        self.classes[priority.index()].push(cohort, place.number, now, waiter);
        self.len += 1;
        if self.len <= places {
            return Pushed::Waits(place);
        }
        let newest_first = self.is_overloaded(now);
        let class = self.classes.iter_mut().find(|class| class.len > 0);
        let (number, token) = class
            .expect("somebody was pushed just now")
            .displace(newest_first);
        self.left();
        if number == place.number {
            Pushed::Refused(token)
        } else {
            Pushed::Displaced(place, token)
        }
    }

    /// Who gets the slot that is free. Those whose turn would come and who may not be sent any more are handed to
    /// `shed` on the way.
    pub fn pop(&mut self, now: Instant, waits: Waits, mut shed: impl FnMut(T, ShedWhy)) -> Option<T> {
        for priority in Priority::ALL.into_iter().rev() {
            let wait_max = self.wait_max(now, priority, waits);
            let newest_first = self.is_overloaded(now);
            while let Some(entry) = self.classes[priority.index()].take(newest_first) {
                self.left();
                if entry.deadline < now + entry.usual {
                    shed(entry.token, ShedWhy::Doomed);
                } else if now.since(entry.since) > wait_max {
                    shed(entry.token, ShedWhy::Waited);
                } else {
                    self.classes[priority.index()].paid(entry.cohort);
                    return Some(entry.token);
                }
            }
        }
        None
    }

    /// Leaves the queue: the caller is gone, or has waited long enough. `None` if it has left already.
    pub fn remove(&mut self, place: Place) -> Option<T> {
        let token = self.classes[place.priority.index()].remove(place)?;
        self.left();
        Some(token)
    }

    fn left(&mut self) {
        self.len -= 1;
        if self.len == 0 {
            self.busy_since = None;
        }
    }
}

/// One that has been taken from its class.
struct Taken<T> {
    cohort: usize,
    since: Instant,
    deadline: Instant,
    usual: Duration,
    token: T,
}

impl<T> Class<T> {
    fn push(&mut self, cohort: usize, number: u64, now: Instant, waiter: Waiter<T>) {
        if self.cohorts.len() <= cohort {
            self.cohorts.resize_with(cohort + 1, || Cohort {
                waiting: Vec::new(),
                had: 0,
            });
        }
        let cohort = &mut self.cohorts[cohort];
        if cohort.waiting.is_empty() {
            cohort.had = cohort.had.max(self.served);
        }
        cohort.waiting.push(Entry {
            number,
            since: now,
            deadline: waiter.deadline,
            usual: waiter.usual,
            token: waiter.token,
        });
        self.len += 1;
    }

    /// Whose turn it is.
    fn take(&mut self, newest_first: bool) -> Option<Taken<T>> {
        let waiting = self.cohorts.iter_mut().enumerate();
        let (index, cohort) = waiting
            .filter(|(_, cohort)| !cohort.waiting.is_empty())
            .min_by_key(|(_, cohort)| cohort.had)?;
        let at = cohort.first(newest_first);
        let entry = cohort.waiting.remove(at);
        self.len -= 1;
        Some(Taken {
            cohort: index,
            since: entry.since,
            deadline: entry.deadline,
            usual: entry.usual,
            token: entry.token,
        })
    }

    /// A cohort has had a slot.
    fn paid(&mut self, cohort: usize) {
        let cohort = &mut self.cohorts[cohort];
        self.served = cohort.had;
        cohort.had += 1;
    }

    /// Who makes way. Somebody waits in this class.
    fn displace(&mut self, newest_first: bool) -> (u64, T) {
        let cohort = self.cohorts.iter_mut().max_by_key(|cohort| cohort.waiting.len());
        let cohort = cohort.expect("a class in which somebody waits has a cohort");
        let at = cohort.last(newest_first);
        let entry = cohort.waiting.remove(at);
        self.len -= 1;
        (entry.number, entry.token)
    }

    fn remove(&mut self, place: Place) -> Option<T> {
        let cohort = self.cohorts.get_mut(place.cohort)?;
        let at = cohort
            .waiting
            .iter()
            .position(|entry| entry.number == place.number)?;
        self.len -= 1;
        Some(cohort.waiting.remove(at).token)
    }
}

impl<T> Cohort<T> {
    /// Who of it is served first. Somebody waits in it.
    fn first(&self, newest_first: bool) -> usize {
        if newest_first {
            return self.waiting.len() - 1;
        }
        self.position(self.waiting.iter().map(|entry| entry.deadline).min())
    }

    /// Who of it would be served last.
    fn last(&self, newest_first: bool) -> usize {
        if newest_first {
            return 0;
        }
        let latest = self.waiting.iter().map(|entry| entry.deadline).max();
        let at = self
            .waiting
            .iter()
            .rposition(|entry| Some(entry.deadline) == latest);
        at.unwrap_or(0)
    }

    fn position(&self, deadline: Option<Instant>) -> usize {
        let at = self
            .waiting
            .iter()
            .position(|entry| Some(entry.deadline) == deadline);
        at.unwrap_or(0)
    }
}

/// When one that was shed should come back, if the upstream was asked for `excess` times what it could bear: after a
/// second, and then spread over two seconds for each time that it was asked for, 30 at most. All who come back at the
/// same moment would be shed again.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::{SeededDice, shed_retry_after};
///
/// let dice = &mut SeededDice::new(1);
/// assert!(shed_retry_after(1.0, dice) <= Duration::from_secs(3));
/// let spread: Vec<_> = (0..100).map(|_| shed_retry_after(10.0, dice)).collect();
/// assert!(spread.iter().max() > Some(&Duration::from_secs(19)));
/// assert!(spread.iter().min() < Some(&Duration::from_secs(3)));
/// ```
pub fn shed_retry_after(excess: f64, dice: &mut impl Dice) -> Duration {
    let spread = if excess.is_finite() {
        (2.0 * excess).clamp(2.0, 30.0)
    } else {
        30.0
    };
    Duration::from_secs(1) + Duration::from_secs_f64(spread * dice.unit())
}

#[cfg(test)]
mod tests;
