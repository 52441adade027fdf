//! A service of known capacity behind the limit, the slots and the queue, in simulated time.
//!
//! The service is what most are: so many workers, and a queue without a bound in front of them. Everything that
//! decides is the real code; the world only moves the clock from one event to the next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::Duration;

use plimsoll_policy::{
    Adaptive, AdaptiveConfig, Dice, Pressure, Priority, Pushed, Sample, SeededDice, ShedQueue, ShedWhy,
    Slots, Usual, Waiter, Waits,
};
use plimsoll_slo::Instant;

/// What the world is like from some moment on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// Requests per second.
    pub(super) rate: f64,
    /// Workers of the service.
    pub(super) workers: usize,
    /// What a request takes a worker, in milliseconds, on average.
    pub(super) takes: f64,
    /// Time that a request spends in a dependency, in milliseconds, while its worker is free for others.
    pub(super) depends: f64,
}

/// How the world is set up.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) seed: u64,
    /// The coefficient of variation of the time that a worker takes; 0 is always the same, else log-normal.
    pub(super) spread: f64,
    /// Shares of critical and sheddable requests; the rest is normal.
    pub(super) critical: f64,
    pub(super) sheddable: f64,
    /// How much of the load one tenant of seven makes.
    pub(super) noisy: f64,
    pub(super) weather: Vec<(f64, Weather)>,
    pub(super) seconds: f64,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            seed: 1,
            spread: 0.0,
            critical: 0.05,
            sheddable: 0.3,
            noisy: 1.0 / 7.0,
            weather: Vec::new(),
            seconds: 0.0,
        }
    }
}

/// What became of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    /// When it came, in seconds.
    pub(super) at: f64,
    pub(super) priority: Priority,
    pub(super) tenant: u64,
    /// From coming to its answer, in milliseconds; `None` if it was shed.
    pub(super) took: Option<f64>,
}

#[derive(Debug, Default)]
pub(super) struct Story {
    pub(super) ended: Vec<Ended>,
    /// The limit, four times a second.
    pub(super) limits: Vec<(f64, u32, Pressure)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives,
    /// The dependency has answered: the request is back in the service.
    Returns(usize),
    Done(usize),
    Expires(usize),
    Ticks,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    at: Instant,
    priority: Priority,
    tenant: u64,
    sent: Instant,
    /// How many were at work when it was sent.
    found: u32,
    parked: Duration,
    place: Option<plimsoll_policy::Place>,
}

pub(super) struct World {
    setting: Setting,
    dice: SeededDice,
    now: Instant,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    next: u64,
    requests: Vec<Request>,
    slots: Slots,
    adaptive: Adaptive,
    usual: Usual,
    queue: ShedQueue<usize>,
    /// Workers of the service that are at work, and what waits for one.
    working: usize,
    inside: VecDeque<usize>,
    story: Story,
}

const MAX: u32 = 1024;
const CALM: Duration = Duration::from_millis(100);
/// The way to the service and back.
const WAY: Duration = Duration::from_micros(200);

pub(super) fn play(setting: Setting) -> Story {
    let config = AdaptiveConfig { min: 2, max: MAX };
    let mut world = World {
        dice: SeededDice::new(setting.seed),
        now: Instant::ORIGIN,
        events: BinaryHeap::new(),
        next: 0,
        requests: Vec::new(),
        slots: Slots::new(MAX),
        adaptive: Adaptive::new(config, Instant::ORIGIN),
        usual: Usual::default(),
        queue: ShedQueue::default(),
        working: 0,
        inside: VecDeque::new(),
        story: Story::default(),
        setting,
    };
    world.push(Duration::ZERO, Event::Arrives);
    world.push(Duration::from_millis(250), Event::Ticks);
    let end = Instant::ORIGIN + Duration::from_secs_f64(world.setting.seconds);
    while let Some(Reverse((at, _, event))) = world.events.pop() {
        if at > end {
            break;
        }
        world.now = at;
        world.happen(event);
    }
    world.story
}

impl World {
    fn weather(&self) -> Weather {
        let seconds = self.seconds();
        let mut latest_first = self.setting.weather.iter().rev();
        let now = latest_first.find(|(from, _)| *from <= seconds);
        now.expect("the weather begins at 0").1
    }

    fn seconds(&self) -> f64 {
        self.now.since(Instant::ORIGIN).as_secs_f64()
    }

    fn push(&mut self, after: Duration, event: Event) {
        self.next += 1;
        self.events.push(Reverse((self.now + after, self.next, event)));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrives => self.arrive(),
            Event::Returns(id) => {
                self.slots.unpark();
                self.work(id);
            }
            Event::Done(id) => self.done(id),
            Event::Expires(id) => {
                if let Some(place) = self.requests[id].place.take()
                    && self.queue.remove(place).is_some()
                {
                    self.slots.stop_waiting();
                    self.shed(id);
                }
            }
            Event::Ticks => {
                let limit = self.adaptive.tick(self.now);
                self.moved(limit);
                let (limit, pressure) = (self.adaptive.limit(), self.adaptive.pressure());
                self.story.limits.push((self.seconds(), limit, pressure));
                self.push(Duration::from_millis(250), Event::Ticks);
            }
        }
    }

    fn arrive(&mut self) {
        let gap = -(1.0 - self.dice.unit()).ln() / self.weather().rate;
        self.push(Duration::from_secs_f64(gap), Event::Arrives);
        let die = self.dice.unit();
        let priority = if die < self.setting.critical {
            Priority::Critical
        } else if die < self.setting.critical + self.setting.sheddable {
            Priority::Sheddable
        } else {
            Priority::Normal
        };
        let tenant = if self.dice.unit() < self.setting.noisy {
            0
        } else {
            1 + self.dice.below(6)
        };
        let id = self.requests.len();
        self.requests.push(Request {
            at: self.now,
            priority,
            tenant,
            sent: self.now,
            found: 0,
            parked: Duration::ZERO,
            place: None,
        });
        if self.slots.enter() {
            self.send(id);
        } else {
            self.wait(id);
        }
    }

    fn wait(&mut self, id: usize) {
        self.adaptive.note_full();
        let usual = self.usual.get();
        let request = self.requests[id];
        let waiter = Waiter {
            priority: request.priority,
            cohort: request.tenant,
            deadline: self.now + Duration::from_secs(15),
            usual: usual.unwrap_or_default(),
            token: id,
        };
        let waits = Waits::of(CALM, usual);
        let places = waits.places(self.slots.limit());
        let wait_max = self.queue.wait_max(self.now, request.priority, waits);
        match self.queue.push(self.now, waiter, places) {
            Pushed::Waits(place) => self.requests[id].place = Some(place),
            Pushed::Displaced(place, other) => {
                self.requests[id].place = Some(place);
                self.requests[other].place = None;
                self.slots.stop_waiting();
                self.shed(other);
            }
            Pushed::Refused(id) => return self.shed(id),
        }
        self.slots.begin_waiting();
        self.push(wait_max, Event::Expires(id));
        self.dispatch();
    }

    fn dispatch(&mut self) {
        while self.slots.waiting() > 0 && self.slots.enter_waiting() {
            let waits = Waits::of(CALM, self.usual.get());
            let mut shed: Vec<(usize, ShedWhy)> = Vec::new();
            let next = self.queue.pop(self.now, waits, |id, why| shed.push((id, why)));
            // `enter_waiting` counted one of them as waiting no longer.
            let gone = shed.len() + usize::from(next.is_some());
            for _ in 1..gone {
                self.slots.stop_waiting();
            }
            for (id, _) in shed {
                self.requests[id].place = None;
                self.shed(id);
            }
            let Some(id) = next else {
                let _ = self.slots.leave();
                return;
            };
            self.requests[id].place = None;
            self.send(id);
        }
    }

    fn shed(&mut self, id: usize) {
        self.end(id, None);
    }

    fn send(&mut self, id: usize) {
        self.requests[id].sent = self.now;
        self.requests[id].found = self.slots.busy();
        let depends = self.weather().depends;
        if depends > 0.0 {
            // It calls its dependency first.
            let took = Duration::from_secs_f64(depends / 1e3);
            self.requests[id].parked = took;
            if self.slots.park() {
                self.dispatch();
            }
            self.push(took, Event::Returns(id));
        } else {
            self.work(id);
        }
    }

    fn work(&mut self, id: usize) {
        if self.working < self.weather().workers {
            self.begin(id);
        } else {
            self.inside.push_back(id);
        }
    }

    fn begin(&mut self, id: usize) {
        self.working += 1;
        let mean = self.weather().takes / 1e3;
        let spread = self.setting.spread;
        let takes = if spread == 0.0 {
            mean
        } else {
            let sigma2 = (1.0 + spread * spread).ln();
            let (a, b) = (1.0 - self.dice.unit(), self.dice.unit());
            let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
            mean * (sigma2.sqrt() * normal - sigma2 / 2.0).exp()
        };
        self.push(Duration::from_secs_f64(takes) + WAY, Event::Done(id));
    }

    fn done(&mut self, id: usize) {
        self.working -= 1;
        while self.working < self.weather().workers {
            let Some(next) = self.inside.pop_front() else {
                break;
            };
            self.begin(next);
        }
        let request = self.requests[id];
        let took = self.now.since(request.sent).saturating_sub(request.parked);
        let ratio = self.usual.ratio(took);
        if self.adaptive.is_learning() {
            self.usual.learn(self.now, took);
        }
        let sample = Sample {
            took,
            ratio,
            busy: request.found,
        };
        let limit = self.adaptive.record(self.now, sample);
        self.moved(limit);
        self.end(id, Some(self.now.since(request.at)));
        if self.slots.leave() {
            self.dispatch();
        }
    }

    fn moved(&mut self, limit: Option<u32>) {
        if let Some(limit) = limit
            && self.slots.set_limit(limit)
        {
            self.dispatch();
        }
    }

    fn end(&mut self, id: usize, took: Option<Duration>) {
        let request = self.requests[id];
        self.story.ended.push(Ended {
            at: request.at.since(Instant::ORIGIN).as_secs_f64(),
            priority: request.priority,
            tenant: request.tenant,
            took: took.map(|took| took.as_secs_f64() * 1e3),
        });
    }
}

/// Figures of the requests that came in a span.
#[derive(Debug)]
pub(super) struct Figures {
    /// Answers per second within the callers' patience.
    pub(super) goodput: f64,
    pub(super) asked: usize,
    pub(super) shed: usize,
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// Share that was answered, by priority.
    pub(super) served: BTreeMap<Priority, f64>,
    /// Share that was answered of the quiet tenants' requests.
    pub(super) quiet: f64,
}

/// How long callers wait for an answer, in milliseconds.
const PATIENCE: f64 = 1e3;

impl Story {
    pub(super) fn between(&self, from: f64, to: f64) -> Figures {
        let came: Vec<&Ended> = self.ended.iter().filter(|e| (from..to).contains(&e.at)).collect();
        let mut took: Vec<f64> = came.iter().filter_map(|e| e.took).collect();
        took.sort_by(f64::total_cmp);
        let quantile = |q: f64| took.get((took.len() as f64 * q) as usize).copied().unwrap_or(0.0);
        let good = took.iter().filter(|took| **took <= PATIENCE).count();
        let share = |wanted: &dyn Fn(&Ended) -> bool| {
            let of: Vec<_> = came.iter().filter(|e| wanted(e)).collect();
            let good = of
                .iter()
                .filter(|e| e.took.is_some_and(|took| took <= PATIENCE))
                .count();
            good as f64 / of.len().max(1) as f64
        };
        Figures {
            goodput: good as f64 / (to - from),
            asked: came.len(),
            shed: came.len() - took.len(),
            p50: quantile(0.5),
            p99: quantile(0.99),
            served: Priority::ALL
                .into_iter()
                .map(|priority| (priority, share(&|e: &Ended| e.priority == priority)))
                .collect(),
            quiet: share(&|e: &Ended| e.tenant > 0 && e.priority == Priority::Normal),
        }
    }
}
