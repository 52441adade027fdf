//! Gateways that share a store, in schedules of chance: they crash, are cut off from the store, hear late, twice and out of
//! order, lose the lead in the middle of a thought, and see candidates that are good, bad, or unhealthy, while people pause,
//! approve and revert. Whatever happens:
//!
//! - nobody who has heard of a cut exposes anybody to it any more, until what it replaced is gone;
//! - more is exposed only by evidence that it is good, or because a person said so;
//! - what cannot be taken back is entered only because a person said so;
//! - what is cut comes to its end, reverted or parked, once everybody hears of everything.

use std::collections::{BTreeMap, BTreeSet};

use change::{
    Assignment, Cause, Change, Changes, Evidence, Gate, Health, Next, Phase, Reversibility, Seen, Step, Then,
    Transition, Undecided,
};
use plimsoll_slo::Comparison;

use crate::machine::{canary, compared, seen};

const GATEWAYS: usize = 3;
const ID: &str = "orders-1";

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % n
    }

    fn chance(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}

/// What is said, when, and by whom.
type Said = (u64, Transition);

#[derive(Default)]
struct Gateway {
    changes: Changes,
    /// What it has said while it could not reach the store.
    unsent: Vec<Said>,
    /// How much of the store it has heard, in the store's order; parts of it may come again.
    heard: usize,
    is_cut_off: bool,
    /// Which lead it believes to have.
    fence: u64,
}

struct World {
    dice: Dice,
    now: u64,
    /// What the store has, in its order.
    store: Vec<Said>,
    /// Who leads by the store's word, and for which time.
    leader: usize,
    fence: u64,
    gateways: Vec<Gateway>,
    /// What is true of the candidate.
    is_bad: bool,
    health: Health,
    approved: BTreeSet<usize>,
    comparisons: [(Comparison, Evidence); 3],
}

impl World {
    fn new(seed: u64, change: &Change) -> Self {
        let mut dice = Dice(seed);
        let is_bad = dice.chance(2);
        let mut world = Self {
            is_bad,
            now: 1,
            store: Vec::new(),
            leader: 0,
            fence: 1,
            gateways: (0..GATEWAYS).map(|_| Gateway::default()).collect(),
            health: Health::Ready,
            approved: BTreeSet::new(),
            comparisons: [
                compared(20_000, false),
                compared(50, false),
                compared(1_000, true),
            ],
            dice,
        };
        world.gateways[0].fence = 1;
        world.append((0, Transition::Proposed(Box::new(change.clone()))), None);
        world
    }

    /// The store takes what adds risk only of who leads by its own word.
    fn append(&mut self, said: Said, fence: Option<u64>) -> bool {
        if fence.is_some_and(|fence| fence != self.fence) {
            return false;
        }
        self.store.push(said);
        true
    }

    fn hear(&mut self, place: usize) {
        let gateway = &mut self.gateways[place];
        if gateway.is_cut_off {
            return;
        }
        self.store.append(&mut gateway.unsent);
        let until = gateway.heard + self.dice.below((self.store.len() - gateway.heard + 1) as u64) as usize;
        // Some of it comes again, and backwards.
        let from = gateway.heard.saturating_sub(self.dice.below(4) as usize);
        for (at, said) in self.store[from..until].iter().rev() {
            gateway.changes.hear(ID, *at, said);
        }
        gateway.heard = until;
    }

    /// A gateway looks, and says what is to be said.
    fn tick(&mut self, place: usize) {
        // What it finds by itself: little, or what is true.
        let finds = match (self.dice.chance(3), self.is_bad) {
            (true, _) => 1,
            (false, true) => 2,
            (false, false) => 0,
        };
        let (comparison, evidence) = &self.comparisons[finds];
        let gateway = &mut self.gateways[place];
        let Some(standing) = gateway.changes.get(ID) else {
            return;
        };
        let leads = gateway.fence > 0 && !gateway.is_cut_off;
        let what = Seen {
            leads,
            health: self.health,
            comparison: Some(comparison),
            guarded: !self.is_bad,
            ..seen(self.now)
        };
        let Next::Say(mut said) = standing.decide(&what) else {
            return;
        };
        // Where there is nothing to compare with, what shows that all is well is another thing than a comparison.
        let by_guard = standing
            .step()
            .is_some_and(|step| standing.change.steps[step].gate() == Gate::Guard);
        let evidence = if by_guard {
            &self.comparisons[0].1
        } else {
            evidence
        };
        let kept = Some(Box::new(evidence.clone()));
        match &mut said {
            Transition::Entered { evidence, step } if *step > 0 => *evidence = kept,
            Transition::Promoted { evidence }
            | Transition::Finished { evidence }
            | Transition::Cut { evidence, .. } => {
                *evidence = kept;
            }
            _ => {}
        }
        let exposes = said.exposes();
        let said = (self.now, said);
        if exposes {
            let fence = gateway.fence;
            // Between the thought and the word somebody else may come to lead.
            if self.dice.chance(10) {
                self.elect();
            }
            if !self.append(said.clone(), Some(fence)) {
                self.gateways[place].fence = 0;
                return;
            }
            self.gateways[place].changes.hear(ID, said.0, &said.1);
            return;
        }
        gateway.changes.hear(ID, said.0, &said.1);
        if gateway.is_cut_off {
            gateway.unsent.push(said);
        } else {
            self.store.push(said);
        }
    }

    fn elect(&mut self) {
        self.fence += 1;
        self.leader = self.dice.below(GATEWAYS as u64) as usize;
        self.gateways[self.leader].fence = self.fence;
    }

    fn person(&mut self) {
        let said = match self.dice.below(6) {
            0 => Transition::Paused {
                why: "lunch".to_owned(),
            },
            1 | 2 => Transition::Resumed,
            3 | 4 => {
                let step = self.dice.below(5) as usize;
                self.approved.insert(step);
                Transition::Approved {
                    step,
                    why: "looked".to_owned(),
                }
            }
            _ if self.dice.chance(4) => Transition::Cut {
                cause: Cause::Asked("no".to_owned()),
                evidence: None,
            },
            _ => return,
        };
        self.store.push((self.now, said));
    }

    fn something_happens(&mut self) {
        self.now += 1 + self.dice.below(5_000);
        let place = self.dice.below(GATEWAYS as u64) as usize;
        match self.dice.below(20) {
            0..=8 => self.tick(place),
            9..=14 => self.hear(place),
            15 => self.gateways[place].is_cut_off ^= true,
            16 => self.elect(),
            17 => self.person(),
            18 => {
                self.health = match self.dice.below(8) {
                    0 => Health::Away(5_000),
                    1 => Health::Gone,
                    _ => Health::Ready,
                }
            }
            // It is started anew: what it has not told is gone with it, and so is what it knew.
            _ => self.gateways[place] = Gateway::default(),
        }
    }

    /// See the module's header.
    fn check(&self) -> Result<(), String> {
        for (place, gateway) in self.gateways.iter().enumerate() {
            let Some(standing) = gateway.changes.get(ID) else {
                continue;
            };
            let now = standing.exposed();
            let is_gone = standing.phase() == Phase::Final || standing.is_past_return();
            if standing.cut().is_some() && !is_gone && now > 0.0 {
                return Err(format!("gateway {place} knows of a cut, and exposes {now}"));
            }
        }
        for (_, said) in &self.store {
            let (step, evidence) = match said {
                Transition::Entered { step: 0, .. } => continue,
                Transition::Entered { step, evidence } => (*step, evidence),
                Transition::Promoted { evidence } => {
                    let change = self.store.iter().find_map(|(_, said)| match said {
                        Transition::Proposed(change) => Some(change),
                        _ => None,
                    });
                    (change.map_or(0, |change| change.steps.len()), evidence)
                }
                _ => continue,
            };
            let is_good = evidence
                .as_ref()
                .is_some_and(|evidence| evidence.is_good() && evidence.replay().1);
            if !is_good && !self.approved.contains(&step) {
                return Err(format!("{said:?} is by nothing"));
            }
        }
        Ok(())
    }
}

/// Plays a schedule; how it ended.
fn play(seed: u64, change: &Change) -> Result<Phase, String> {
    let mut world = World::new(seed, change);
    for _ in 0..150 {
        world.something_happens();
        world.check()?;
    }
    // Everybody hears of everything, and what was cut is gone.
    for place in 0..GATEWAYS {
        world.gateways[place].is_cut_off = false;
        let mut unsent = std::mem::take(&mut world.gateways[place].unsent);
        world.store.append(&mut unsent);
    }
    world.health = Health::Gone;
    for _ in 0..4 {
        for place in 0..GATEWAYS {
            for (at, said) in &world.store {
                world.gateways[place].changes.hear(ID, *at, said);
            }
            world.gateways[place].heard = world.store.len();
            world.tick(place);
            world.check()?;
        }
        world.now += 1_000;
    }
    let phases: Vec<Phase> = world
        .gateways
        .iter()
        .filter_map(|gateway| Some(gateway.changes.get(ID)?.phase()))
        .collect();
    let cut = world.gateways.iter().any(|gateway| {
        gateway
            .changes
            .get(ID)
            .is_some_and(|standing| standing.cut().is_some())
    });
    if phases.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(format!("they do not agree: {phases:?}"));
    }
    if cut && !phases[0].is_over() {
        return Err(format!("it was cut, and is {:?}", phases[0]));
    }
    Ok(phases[0])
}

#[test]
fn whatever_happens_the_promises_hold() {
    let mut irreversible = canary(ID);
    irreversible.steps.push(Step {
        share: 1.0,
        assignment: Assignment::Global,
        reversibility: Reversibility::None,
    });
    let mut asks = canary(ID);
    asks.undecided = Undecided {
        hold_ms: 1_000,
        then: Then::Ask,
    };
    asks.probation_ms = 1;
    for change in [canary(ID), irreversible, asks] {
        let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
        for seed in 0..2_000 {
            let phase = play(seed, &change).unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
            *ends.entry(phase.word()).or_default() += 1;
        }
        // All that can happen does.
        let last = if change.probation_ms == 1 {
            "final"
        } else {
            "reverted"
        };
        assert!(ends.get(last).is_some_and(|times| *times > 20), "{ends:?}");
        assert!(ends.len() >= 2, "{ends:?}");
    }
}

/// The check can find something.
#[test]
fn what_is_entered_by_nothing_would_be_found() {
    let mut world = World::new(3, &canary(ID));
    world.gateways[0].changes.hear(ID, 0, &world.store[0].1.clone());
    world.gateways[0].changes.hear(
        ID,
        1,
        &Transition::Entered {
            step: 1,
            evidence: None,
        },
    );
    assert_eq!(world.check(), Ok(()));
    world.store.push((
        2,
        Transition::Entered {
            step: 2,
            evidence: None,
        },
    ));
    assert!(world.check().is_err(), "nobody has shown anything");
}
