//! Slots and the queue in front of them: who goes at once, who after what wait, who not at all.
//! `at priority stays => admit waited | shed waited`.
//!
//! The limit stands still, so that what is decided is the queue's doing; what requests usually take is learned, and with
//! it how long anyone may wait in overload.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_policy::{
    Adaptive, AdaptiveConfig, Place, Priority, Pushed, Sample, SeededDice, ShedQueue, Slots, Usual, Waiter,
    Waits,
};
use plimsoll_slo::Instant;

use super::format::{Case, SHED, cases};
use super::{Draw as _, Vectors};

pub(super) const VECTORS: Vectors = Vectors {
    name: "shed",
    text: SHED,
    about: "Slots and queues: at priority stays => admit waited | shed waited",
    cases: 40,
    draw,
    play,
};

fn draw(dice: &mut SeededDice) -> (String, Vec<String>) {
    loop {
        let config = format!("limit={} wait={}", dice.within(1, 3), dice.within(20, 130));
        let (mut at, rush) = (0, dice.within(8, 50));
        let steps = (0..24).map(|_| {
            at += dice.within(1, rush);
            let priority = dice.one(&["critical", "normal", "normal", "normal", "sheddable", "sheddable"]);
            format!("{at} {priority} {}", dice.within(5, 60))
        });
        let steps: Vec<_> = steps.collect();
        let case = format!("case {config}\n  {}\n", steps.join("\n  "));
        // What happens in the same millisecond has no order that all would agree on.
        let mut desk = Desk::new(&cases(&case)[0]);
        let mixed = desk.run().iter().any(|answer| answer.starts_with("shed"));
        if !desk.tied && mixed {
            return (config, steps);
        }
    }
}

fn play(case: &Case<'_>, _: &mut dyn FnMut() -> u64) -> Vec<String> {
    Desk::new(case).run()
}

#[derive(Clone, Copy)]
enum Event {
    Comes,
    Done,
    Gives,
}

struct Request {
    at: Instant,
    priority: Priority,
    stays: Duration,
    sent: Instant,
    found: u32,
    place: Option<Place>,
    answer: Option<String>,
}

/// The shell around the policies, as small as it can be: a clock that goes from one event to the next.
struct Desk {
    calm: Duration,
    slots: Slots,
    adaptive: Adaptive,
    usual: Usual,
    queue: ShedQueue<usize>,
    requests: Vec<Request>,
    /// By milliseconds; a second one at the same time is a tie.
    events: BTreeMap<u64, (Event, usize)>,
    tied: bool,
    now: Instant,
}

impl Desk {
    fn new(case: &Case<'_>) -> Self {
        let limit = case.number("limit");
        let request = |step: &super::format::Step<'_>| Request {
            at: Instant::ORIGIN + step.ms(0),
            priority: Priority::named(step.word(1).as_bytes()).expect("a priority"),
            stays: step.ms(2),
            sent: Instant::ORIGIN,
            found: 0,
            place: None,
            answer: None,
        };
        let mut desk = Self {
            calm: case.ms("wait"),
            slots: Slots::new(limit),
            adaptive: Adaptive::new(
                AdaptiveConfig {
                    min: limit,
                    max: limit,
                },
                Instant::ORIGIN,
            ),
            usual: Usual::default(),
            queue: ShedQueue::default(),
            requests: case.steps.iter().map(request).collect(),
            events: BTreeMap::new(),
            tied: false,
            now: Instant::ORIGIN,
        };
        for id in 0..desk.requests.len() {
            desk.plan(desk.requests[id].at, Event::Comes, id);
        }
        desk
    }

    /// A timer rings at the first whole millisecond that is not before its time.
    fn plan(&mut self, at: Instant, event: Event, id: usize) {
        let ms = at.as_nanos().div_ceil(1_000_000);
        self.tied |= self.events.insert(ms, (event, id)).is_some();
    }

    fn run(&mut self) -> Vec<String> {
        while let Some((ms, (event, id))) = self.events.pop_first() {
            self.now = Instant::from_nanos(ms * 1_000_000);
            match event {
                Event::Comes if self.slots.enter() => self.send(id),
                Event::Comes => self.wait(id),
                Event::Done => self.done(id),
                Event::Gives => {
                    if let Some(place) = self.requests[id].place.take()
                        && self.queue.remove(place).is_some()
                    {
                        self.slots.stop_waiting();
                        self.shed(id);
                    }
                }
            }
        }
        let answer = |request: &mut Request| request.answer.take().unwrap_or_else(|| "nothing".to_owned());
        self.requests.iter_mut().map(answer).collect()
    }

    fn wait(&mut self, id: usize) {
        self.adaptive.note_full();
        let usual = self.usual.get();
        let priority = self.requests[id].priority;
        let waits = Waits::of(self.calm, usual);
        let until = self.now + self.queue.wait_max(self.now, priority, waits);
        let waiter = Waiter {
            priority,
            cohort: 0,
            deadline: Instant::NEVER,
            usual: usual.unwrap_or_default(),
            token: id,
        };
        let places = waits.places(self.slots.limit());
        let place = match self.queue.push(self.now, waiter, places) {
            Pushed::Waits(place) => {
                self.slots.begin_waiting();
                place
            }
            Pushed::Displaced(place, other) => {
                self.shed(other);
                place
            }
            Pushed::Refused(id) => return self.shed(id),
        };
        self.requests[id].place = Some(place);
        self.plan(until, Event::Gives, id);
    }

    fn dispatch(&mut self) {
        while self.slots.enter_waiting() {
            let waits = Waits::of(self.calm, self.usual.get());
            let mut gone = Vec::new();
            let next = self.queue.pop(self.now, waits, |id, _| gone.push(id));
            // One of them was counted out when the slot was taken.
            (1..gone.len() + usize::from(next.is_some())).for_each(|_| self.slots.stop_waiting());
            for id in gone {
                self.shed(id);
            }
            match next {
                Some(id) => self.send(id),
                None => drop(self.slots.leave()),
            }
        }
    }

    fn send(&mut self, id: usize) {
        let found = self.slots.busy().max(1);
        let request = &mut self.requests[id];
        (request.sent, request.found, request.place) = (self.now, found, None);
        request.answer = Some(format!("admit {}", (self.now - request.at).as_millis()));
        let done = self.now + request.stays;
        self.plan(done, Event::Done, id);
    }

    fn done(&mut self, id: usize) {
        let Request { sent, found, .. } = self.requests[id];
        let took = self.now - sent;
        let sample = Sample {
            took,
            ratio: self.usual.ratio(took),
            busy: found,
        };
        let moved = self.adaptive.record(self.now, sample);
        assert_eq!(moved, None, "its bounds are one number");
        if self.adaptive.is_learning() {
            self.usual.learn(self.now, took);
        }
        if self.slots.leave() {
            self.dispatch();
        }
    }

    fn shed(&mut self, id: usize) {
        let request = &mut self.requests[id];
        request.place = None;
        request.answer = Some(format!("shed {}", (self.now - request.at).as_millis()));
    }
}
