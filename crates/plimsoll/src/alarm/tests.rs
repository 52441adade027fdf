use std::time::Duration;

use super::*;
use crate::reading::sample;
use crate::record::Record;
use crate::record::entry::{Opened, Said};
use crate::watching::{act, begin};

/// A record, an alarm, and what the judge says.
struct World {
    record: Record,
    alarm: Alarm,
    concerns: Vec<Concern>,
    behind: Behind,
    now: Duration,
}

/// Of an objective: whom it calls, and whether the rules for a page fire.
type Says = (&'static str, Option<Severity>, bool);

const PAGE: Option<Severity> = Some(Severity::Page);
const TICKET: Option<Severity> = Some(Severity::Ticket);

impl World {
    fn new(author: &str) -> Self {
        Self {
            record: Record::new(author.into(), false),
            alarm: Alarm::default(),
            concerns: Vec::new(),
            behind: [
                ("checkout", "orders"),
                ("pay", "orders"),
                ("search", "index"),
                ("orders-per-minute", "orders"),
            ]
            .map(|(objective, upstream)| (objective.into(), BTreeSet::from([upstream.into()])))
            .into(),
            now: Duration::from_mins(29_924_410),
        }
    }

    fn says(&mut self, says: &[Says]) {
        let reading = |(name, calls, burns): &Says| {
            let mut reading = if *burns {
                sample::burning()
            } else {
                sample::unknown()
            };
            reading.name = (*name).into();
            reading.verdict.calls = *calls;
            Concern::of_objective(&reading)
        };
        self.concerns = says.iter().map(reading).collect();
    }

    /// Seconds pass; returns what was decided in them, in words, each with the second.
    fn pass(&mut self, seconds: u64) -> Vec<String> {
        let mut decided = Vec::new();
        for second in 0..seconds {
            self.now += Duration::from_secs(1);
            let now = self.now.as_millis() as u64;
            let decisions = self.record.read(|state| {
                let author = self.record.author();
                self.alarm
                    .decide(author, now, state, &self.concerns, &self.behind)
            });
            for decision in decisions {
                decided.push(format!("{second} {}", words(&decision)));
                match decision {
                    Decision::Open { objective, calls } => {
                        let opened = Opened {
                            objective: objective.to_string(),
                            severity: calls,
                            began: Some(self.now.as_secs() - 30),
                            ..Opened::default()
                        };
                        begin(&self.record, self.now, opened);
                    }
                    decision => act(&self.record, self.now, &decision),
                }
            }
        }
        decided
    }

    fn phase(&self, incident: &str) -> &'static str {
        self.record
            .read(|state| state.incidents.get(incident).map_or("none", Incident::phase))
    }
}

fn words(decision: &Decision) -> String {
    match decision {
        Decision::Open { objective, calls } => format!("open {} {objective}", calls.word()),
        Decision::Close { alert, why } => format!("close {alert}: {why}"),
        Decision::Begin { alert } => format!("begin for {alert}"),
        Decision::Join { incident, alert } => format!("{alert} joins {incident}"),
        Decision::Mitigate { incident } => format!("{incident} is mitigated"),
        Decision::Resolve { incident } => format!("{incident} is resolved"),
        Decision::Note { incident, figure, .. } => format!("{incident} has {figure}"),
    }
}

#[test]
fn a_page_is_an_incident_from_its_beginning_to_its_end() {
    let mut world = World::new("one");
    world.says(&[("checkout", None, false)]);
    assert_eq!(world.pass(10), [""; 0]);
    world.says(&[("checkout", PAGE, true)]);
    assert_eq!(
        world.pass(100),
        ["0 open page checkout", "1 begin for checkout-page-1"]
    );
    assert_eq!(world.phase("checkout-1"), "open");
    // No evidence any more, as after a restart; but the rules fire.
    world.says(&[("checkout", TICKET, true)]);
    assert_eq!(world.pass(100), [""; 0]);
    // Over, but for a moment.
    world.says(&[("checkout", None, false)]);
    assert_eq!(world.pass(50), [""; 0]);
    world.says(&[("checkout", PAGE, true)]);
    assert_eq!(world.pass(1), [""; 0]);
    world.says(&[("checkout", None, false)]);
    assert_eq!(
        world.pass(700),
        [
            "60 close checkout-page-1: no more fails than may",
            "61 checkout-1 is mitigated",
            "661 checkout-1 is resolved"
        ]
    );
    world.record.read(|state| {
        let incident = state.incidents.get("checkout-1").unwrap();
        let clocks = incident.clocks();
        // It began 30 s before it was noticed.
        assert_eq!(clocks.to_detect, Some(30_000));
        assert_eq!(clocks.to_mitigate, Some(30_000 + (100 + 100 + 51 + 61) * 1_000));
        assert_eq!(clocks.to_resolve, Some(clocks.to_mitigate.unwrap() + 600_000));
        assert_eq!((incident.phase(), incident.timeline.len()), ("resolved", 5));
    });
    // The next one is another.
    world.says(&[("checkout", PAGE, true)]);
    assert_eq!(
        world.pass(2),
        ["0 open page checkout", "1 begin for checkout-page-2"]
    );
    assert_eq!(world.phase("checkout-2"), "open");
}

#[test]
fn pages_with_an_upstream_in_common_are_one_incident() {
    let mut world = World::new("one");
    world.says(&[
        ("checkout", PAGE, true),
        ("pay", PAGE, true),
        ("search", PAGE, true),
    ]);
    assert_eq!(
        world.pass(10),
        [
            "0 open page checkout",
            "0 open page pay",
            "0 open page search",
            "1 begin for checkout-page-1",
            "2 pay-page-1 joins checkout-1",
            "3 begin for search-page-1"
        ]
    );
    // One of the two gets well; the incident goes on.
    world.says(&[
        ("checkout", None, false),
        ("pay", PAGE, true),
        ("search", None, false),
    ]);
    let decided = world.pass(100);
    assert_eq!(decided.last().unwrap(), "61 search-1 is mitigated");
    assert_eq!(world.phase("checkout-1"), "open");
    // What comes back before it is resolved is the same one, and nobody is well any more.
    world.says(&[
        ("checkout", None, false),
        ("pay", None, false),
        ("search", None, false),
    ]);
    world.pass(200);
    assert_eq!(world.phase("checkout-1"), "mitigated");
    world.says(&[
        ("checkout", PAGE, true),
        ("pay", None, false),
        ("search", None, false),
    ]);
    assert_eq!(
        world.pass(2),
        ["0 open page checkout", "1 checkout-page-2 joins checkout-1"]
    );
    assert_eq!(world.phase("checkout-1"), "open");
}

#[test]
fn a_ticket_wakes_nobody_and_is_left_when_a_page_comes() {
    let mut world = World::new("one");
    world.says(&[("search", TICKET, false)]);
    assert_eq!(world.pass(5), ["0 open ticket search"]);
    world.says(&[("search", PAGE, true)]);
    assert_eq!(world.pass(2), ["0 open page search", "1 begin for search-page-1"]);
    // After the page nobody opens another ticket: the first is open still.
    world.says(&[("search", TICKET, false)]);
    assert_eq!(
        world.pass(70),
        [
            "60 close search-page-1: no more fails than may",
            "61 search-1 is mitigated"
        ]
    );
    world.says(&[]);
    assert_eq!(world.pass(1), ["0 close search-ticket-1: it is asked no more"]);
}

#[test]
fn people_may_say_so_before_the_machine_does() {
    let mut world = World::new("one");
    world.says(&[("checkout", PAGE, true)]);
    world.pass(5);
    let ada: Arc<str> = "ada".into();
    let say = |world: &World, said| {
        world.record.say_for(&ada, world.now, Some("checkout-1"), said);
    };
    say(&world, Said::IncidentAcknowledged);
    say(&world, Said::IncidentMitigated);
    // Somebody's clock is behind; and what is said twice counts once.
    say(&world, Said::IncidentAcknowledged);
    assert_eq!(world.phase("checkout-1"), "mitigated");
    assert_eq!(world.pass(700), [""; 0], "the page is open still");
    world.says(&[("checkout", None, false)]);
    assert_eq!(
        world.pass(700),
        [
            "60 close checkout-page-1: no more fails than may",
            "660 checkout-1 is resolved"
        ]
    );
    world.record.read(|state| {
        let incident = state.incidents.get("checkout-1").unwrap();
        let (_, by) = incident.acknowledged.clone().unwrap();
        assert_eq!((&*by, incident.mitigations), ("ada", 1));
    });
}

#[test]
fn two_who_see_the_same_say_the_same() {
    let (mut one, mut two) = (World::new("one"), World::new("two"));
    for world in [&mut one, &mut two] {
        world.says(&[("checkout", PAGE, true)]);
        world.pass(5);
    }
    // The second was a moment later, and is told what the first has had written.
    let (facts, _) = one.record.unwritten(100);
    let placed: Vec<_> = (1..).zip(facts.clone()).collect();
    two.record.heard(&placed);
    let (own, _) = two.record.unwritten(100);
    let ids = |facts: &[store::Fact]| facts.iter().map(|fact| fact.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(&facts), ids(&own), "they are written over nothing");
    two.record.read(|state| {
        assert_eq!(state.incidents.all().count(), 1);
        assert_eq!(
            &*state.alerts.open().next().unwrap().owner,
            "one",
            "who tells people of it"
        );
    });
}

#[test]
fn a_rise_is_a_ticket_and_no_incident_and_closes_when_it_is_over() {
    let mut world = World::new("one");
    let mut rise = sample::rise();
    world.concerns = vec![Concern::of_rise(&rise)];
    assert_eq!(world.pass(3), ["0 open ticket client-errors:ingress:pay"]);
    rise.rising.evidence = 0.5;
    world.concerns = vec![Concern::of_rise(&rise)];
    let closed = world.pass(120);
    assert_eq!(closed.len(), 1, "{closed:?}");
    assert!(
        closed[0].contains("close client-errors:ingress:pay-ticket-1"),
        "{closed:?}"
    );
}

#[test]
fn a_figure_that_falls_while_nothing_pages_is_a_ticket() {
    let mut world = World::new("one");
    let mut fall = sample::fall();
    // Nobody knows what a nightly job depends on.
    world.says(&[
        ("search", PAGE, true),
        ("nightly", PAGE, true),
        ("checkout", TICKET, false),
    ]);
    world.concerns.push(Concern::of_fall(&fall));
    let decided = world.pass(3);
    assert!(
        decided.contains(&"0 open ticket orders-per-minute".to_owned()),
        "the index is no reason, and a budget that leaks for days is none: {decided:?}"
    );
    assert!(
        decided.iter().all(|line| !line.contains("has orders")),
        "{decided:?}"
    );
    fall.falling.evidence = 0.5;
    world.concerns.pop();
    world.concerns.push(Concern::of_fall(&fall));
    let closed = world.pass(120);
    assert!(
        closed[0].contains("close orders-per-minute-ticket-1"),
        "{closed:?}"
    );
}

#[test]
fn a_figure_that_falls_in_an_outage_is_a_part_of_its_story() {
    let mut world = World::new("one");
    world.says(&[("checkout", PAGE, true)]);
    world.concerns.push(Concern::of_fall(&sample::fall()));
    assert_eq!(
        world.pass(30),
        [
            "0 open page checkout",
            "1 begin for checkout-page-1",
            "2 checkout-1 has orders-per-minute"
        ],
    );
    world.record.read(|state| {
        let told = &state.incidents.get("checkout-1").unwrap().timeline;
        let last = &told.last().unwrap().text;
        assert!(
            last.starts_with("orders-per-minute came to 12.5 a minute in the last ten minutes, where 140.2"),
            "{last}"
        );
    });
    // Once nothing pages any more, and it is still low, something else has to be the reason.
    world.concerns[0] = {
        let mut well = sample::unknown();
        well.name = "checkout".into();
        Concern::of_objective(&well)
    };
    let later = world.pass(100);
    assert!(
        later.contains(&"60 close checkout-page-1: no more fails than may".to_owned()),
        "{later:?}"
    );
    assert!(
        later.contains(&"61 open ticket orders-per-minute".to_owned()),
        "{later:?}"
    );
}
