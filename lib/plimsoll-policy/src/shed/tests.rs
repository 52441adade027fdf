use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::script::{duration, pairs};
use crate::transcript;

/// A queue that a script talks to.
struct Table {
    queue: ShedQueue<String>,
    places: BTreeMap<String, Place>,
    size: usize,
    waits: Waits,
}

impl Table {
    fn new() -> Self {
        Self {
            queue: ShedQueue::default(),
            places: BTreeMap::new(),
            size: 3,
            waits: Waits::default(),
        }
    }

    /// `places N`, `waits calm=… overload=…`, or a time and what happens then: `push NAME [priority=…] [cohort=…]
    /// [deadline=…] [usual=…]`, `pop`, `remove NAME`, `overloaded`.
    fn play(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["places", size] => self.size = size.parse().unwrap(),
            ["waits", ..] => self.set_waits(&command["waits".len()..]),
            [at, "push", name, ..] => {
                return self.push(Instant::ORIGIN + duration(at), name, &words[3..].join(" "));
            }
            [at, "pop"] => return self.pop(Instant::ORIGIN + duration(at)),
            [_, "remove", name] => {
                let gone = self.queue.remove(self.places[name]);
                return gone.unwrap_or_else(|| "gone already".to_owned());
            }
            [at, "overloaded"] => {
                return self
                    .queue
                    .is_overloaded(Instant::ORIGIN + duration(at))
                    .to_string();
            }
            _ => panic!("unknown command {command}"),
        }
        String::new()
    }

    fn set_waits(&mut self, words: &str) {
        for (key, value) in pairs(words) {
            match key {
                "calm" => self.waits.calm = duration(value),
                "overload" => self.waits.overload = duration(value),
                _ => panic!("unknown key {key}"),
            }
        }
    }

    fn push(&mut self, now: Instant, name: &str, words: &str) -> String {
        let mut waiter = Waiter {
            priority: Priority::Normal,
            cohort: 0,
            deadline: now + Duration::from_secs(15),
            usual: Duration::ZERO,
            token: name.to_owned(),
        };
        for (key, value) in pairs(words) {
            match key {
                "priority" => waiter.priority = Priority::named(value.as_bytes()).unwrap(),
                "cohort" => waiter.cohort = value.parse().unwrap(),
                "deadline" => waiter.deadline = now + duration(value),
                "usual" => waiter.usual = duration(value),
                _ => panic!("unknown key {key}"),
            }
        }
        let (place, said) = match self.queue.push(now, waiter, self.size) {
            Pushed::Waits(place) => (place, "waits".to_owned()),
            Pushed::Displaced(place, who) => (place, format!("waits instead of {who}")),
            Pushed::Refused(_) => return "refused".to_owned(),
        };
        self.places.insert(name.to_owned(), place);
        said
    }

    fn pop(&mut self, now: Instant) -> String {
        let mut said = Vec::new();
        let next = self.queue.pop(now, self.waits, |name, why| {
            said.push(format!("shed {name}: {why:?}"));
        });
        said.push(next.unwrap_or_else(|| "nobody".to_owned()));
        said.join("\n")
    }
}

#[test]
fn scripts() {
    transcript::check("shed", || {
        let mut table = Table::new();
        move |command| table.play(command)
    });
}

#[test]
fn a_noisy_tenant_gets_its_share_and_no_more() {
    // Ten places; one tenant offers fifty for every one of each of three others, who ask for a quarter of the slots.
    let mut queue = ShedQueue::default();
    let mut dice = crate::SeededDice::new(3);
    let (mut asked, mut served) = ([0_u32; 4], [0_u32; 4]);
    let mut now = Instant::ORIGIN;
    for _ in 0..4_000 {
        now = now + Duration::from_millis(1);
        let quiet = if dice.unit() < 0.25 { 1 + dice.below(3) } else { 0 };
        for tenant in std::iter::repeat_n(0, 50).chain((quiet > 0).then_some(quiet)) {
            asked[tenant as usize] += 1;
            let waiter = Waiter {
                priority: Priority::Normal,
                cohort: tenant,
                deadline: Instant::NEVER,
                usual: Duration::ZERO,
                token: tenant,
            };
            let _ = queue.push(now, waiter, 10);
        }
        if let Some(tenant) = queue.pop(now, Waits::default(), |_, _| {}) {
            served[tenant as usize] += 1;
        }
    }
    for quiet in 1..4 {
        assert!(
            served[quiet] >= asked[quiet] - 1,
            "{quiet} had {} of {}",
            served[quiet],
            asked[quiet]
        );
    }
    assert!(
        served[0] >= 2_900,
        "the noisy one has what is left: {}",
        served[0]
    );
}

#[derive(Clone, Debug)]
enum Act {
    Push(u8, u8, u64),
    Pop,
    Remove(usize),
    Wait(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0..3u8, 0..70u8, 0..300u64).prop_map(|(p, c, d)| Act::Push(p, c, d)),
        2 => Just(Act::Pop),
        1 => (0..50usize).prop_map(Act::Remove),
        1 => (0..60u64).prop_map(Act::Wait),
    ];
    prop::collection::vec(act, 1..200)
}

proptest! {
    #[test]
    fn everyone_comes_out_exactly_once_and_the_bound_holds(acts in acts(), places in 0..8usize) {
        let mut queue = ShedQueue::default();
        let mut out = BTreeMap::<u32, u32>::new();
        let mut seats = Vec::new();
        let (mut now, mut pushed) = (Instant::ORIGIN, 0_u32);
        for act in acts {
            match act {
                Act::Push(priority, cohort, deadline) => {
                    let waiter = Waiter {
                        priority: Priority::ALL[usize::from(priority)],
                        cohort: cohort.into(),
                        deadline: now + Duration::from_millis(deadline),
                        usual: Duration::from_millis(5),
                        token: pushed,
                    };
                    pushed += 1;
                    match queue.push(now, waiter, places) {
                        Pushed::Waits(place) => seats.push(place),
                        Pushed::Displaced(place, who) => {
                            seats.push(place);
                            *out.entry(who).or_default() += 1;
                        }
                        Pushed::Refused(who) => *out.entry(who).or_default() += 1,
                    }
                }
                Act::Pop => {
                    let mut shed = Vec::new();
                    let next = queue.pop(now, Waits::default(), |who, _| shed.push(who));
                    for who in shed.into_iter().chain(next) {
                        *out.entry(who).or_default() += 1;
                    }
                }
                Act::Remove(at) => {
                    let gone = seats.get(at).and_then(|place| queue.remove(*place));
                    if let Some(who) = gone {
                        *out.entry(who).or_default() += 1;
                    }
                }
                Act::Wait(millis) => now = now + Duration::from_millis(millis),
            }
            prop_assert!(queue.len() <= places);
        }
        prop_assert_eq!(queue.len() + out.len(), pushed as usize);
        let later = now + Duration::from_mins(1);
        queue.pop(later, Waits::default(), |who, _| *out.entry(who).or_default() += 1);
        prop_assert!(queue.is_empty());
        prop_assert_eq!(out.len(), pushed as usize);
        prop_assert!(out.values().all(|times| *times == 1));
    }
}
