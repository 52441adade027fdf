//! Every page, as it is read.

use std::time::Duration;

use plimsoll_slo::Counts;

mod changes;

use super::*;
use crate::access::Role;
use crate::reading::Reading;
use crate::reading::sample::{self, key};
use crate::record::entry::{Calls, Opened};
use crate::record::{Record, Said};
use crate::status::tests::status;
use crate::watching::begin;

const NOON: Duration = Duration::from_mins(29_924_410);

/// Two objectives page, and that is one incident.
fn troubled() -> Record {
    let record = Record::new("plimsoll/one".into(), false);
    for objective in ["checkout", "search"] {
        let opened = Opened {
            objective: objective.to_owned(),
            severity: Calls::Page,
            changes: vec!["20:02:00Z: the breaker of tax tripped".to_owned()],
            runbook: Some("https://wiki.example/slow".to_owned()),
            ..Opened::default()
        };
        let alert = begin(&record, NOON, opened).to_string();
        let said = match objective {
            "checkout" => Said::IncidentOpened {
                alert,
                began: NOON.as_secs() - 90,
            },
            _ => Said::IncidentJoined { alert },
        };
        record.say(NOON, Some("checkout-1"), said);
    }
    changes::rolled_out(&record);
    record
}

/// A hundred requests of 8 ms, and one of 64.
fn latencies() -> Latencies {
    let mut counts = vec![0; crate::heat::bounds().count() + 1];
    (counts[6], counts[12]) = (99, 1);
    Latencies {
        minutes: vec![(1, counts)],
        limit_ms: Some(50),
        examples: Vec::new(),
    }
}

fn part(dimension: &'static str, value: &str) -> Part {
    Part {
        dimension,
        value: value.to_owned(),
        counts: Counts { good: 900, bad: 90 },
        share: 0.9,
        lift: (dimension != "reason").then_some(4.5),
    }
}

/// The page of a path.
fn page_of(record: &Record, reading: &Reading, path: &str) -> Option<Page> {
    let status = status(reading, reading.series.clone());
    record.read(|state| {
        let view = View {
            status: &status,
            objectives: &reading.objectives,
            state,
            now: NOON.as_millis() as u64,
            breakdown: vec![part("tier", "gold"), part("reason", "upstream-reset")],
            latencies: Some(latencies()),
            looked: changes::looked(),
            flags: Some(Known::fake()),
        };
        page(&view, path)
    })
}

fn operator() -> Caller {
    Caller {
        name: Some("ada".into()),
        role: Role::Operator,
        csrf: Some("c-s-r-f".into()),
    }
}

/// Every path that has a page.
const PATHS: [&str; 16] = [
    "/",
    "/objectives",
    "/objectives/checkout",
    "/traffic",
    "/business",
    "/saturation",
    "/incidents",
    "/incidents/checkout-1",
    "/changes",
    "/changes/orders-1",
    "/flags",
    "/flags/new-tax",
    "/budget",
    "/audit",
    "/meta",
    "/status",
];

#[test]
fn every_page_is_there_and_nothing_else() {
    let (record, reading) = (troubled(), sample::reading());
    assert_eq!(PAGES.len(), PATHS.len());
    for path in PATHS {
        assert!(
            is_page(path) && page_of(&record, &reading, path).is_some(),
            "{path}"
        );
    }
    for path in [
        "",
        "/objectives/",
        "/objectives/a/b",
        "/objectives/../audit",
        "//",
        "/nothing",
        "/Audit",
    ] {
        assert!(!is_page(path), "{path}");
    }
    for path in [
        "/objectives/nobody",
        "/incidents/nobody",
        "/changes/nobody",
        "/flags/nobody",
    ] {
        assert!(
            is_page(path) && page_of(&record, &reading, path).is_none(),
            "{path}"
        );
    }
}

#[test]
fn pages_are_well_formed_and_nothing_in_them_is_markup_that_was_not_ours() {
    let record = troubled();
    let evil = "<script>alert('1')</script>&\"";
    record.say_for(
        &evil.into(),
        NOON,
        Some("checkout-1"),
        Said::IncidentNoted {
            text: evil.to_owned(),
        },
    );
    let mut reading = sample::reading();
    reading.series[0].0 = key(evil, "gold");
    reading.config.problems = vec!["<img src=x>".to_owned()];
    for path in PATHS {
        let page = page_of(&record, &reading, path).unwrap();
        for caller in [None, Some(&operator())] {
            let html = page.to_html(path, caller, Some(5));
            assert!(
                !html.contains("<script>") && !html.contains("<img"),
                "{path}: {html}"
            );
            assert!(html.contains("refresh\" content=\"5\""), "{path}");
            let mut open = Vec::new();
            for tag in html
                .split('<')
                .skip(1)
                .map(|rest| rest.split('>').next().unwrap())
            {
                let name = tag.split([' ', '\n']).next().unwrap();
                match name.strip_prefix('/') {
                    Some(name) => assert_eq!(open.pop(), Some(name), "{path}: {tag}"),
                    None if matches!(name, "!doctype" | "meta" | "link" | "input") => {}
                    None => open.push(name),
                }
            }
            assert_eq!(open, [""; 0], "{path}");
            // Nothing inline, and from nowhere else but by a link that somebody follows.
            assert!(!html.contains("style=") && !html.contains("onclick"), "{path}");
            for from in [
                "src=\"",
                "link rel=\"stylesheet\" href=\"",
                "action=\"",
                "data-source=\"",
            ] {
                let all = html
                    .split(from)
                    .skip(1)
                    .all(|rest| rest.starts_with('/') && !rest.starts_with("//"));
                assert!(all, "{path}: {from}");
            }
        }
        assert!(!page.to_text().contains('<') || path != "/objectives", "{path}");
    }
}

#[test]
fn whoever_may_only_read_sees_no_forms_and_those_of_a_session_carry_its_secret() {
    let (record, reading) = (troubled(), sample::reading());
    for (path, forms) in [
        ("/", 3),
        ("/objectives/checkout", 1),
        ("/incidents/checkout-1", 4),
        ("/audit", 0),
    ] {
        let page = page_of(&record, &reading, path).unwrap();
        let html = page.to_html(path, Some(&operator()), None);
        // And one to leave by.
        assert_eq!(html.matches("<form ").count(), forms + 1, "{path}: {html}");
        assert_eq!(
            html.matches("name=\"csrf\" value=\"c-s-r-f\"").count(),
            forms + 1,
            "{path}"
        );
        assert_eq!(
            html.matches(&format!("name=\"back\" value=\"{path}\"")).count(),
            forms,
            "{path}"
        );
        let viewer = Caller {
            role: Role::Viewer,
            csrf: None,
            ..operator()
        };
        assert!(
            !page.to_html(path, Some(&viewer), None).contains("<form "),
            "{path}"
        );
    }
}

#[test]
fn the_first_page_says_who_pages_since_when_and_what_changed() {
    let page = page_of(&troubled(), &sample::reading(), "/").unwrap();
    let text = page.to_text();
    for said in [
        "2 objectives page\n",
        "\ncheckout pages\n  now       300 of 36,600 failed in the last hour",
        "  burn      8.2 in 60 min and",
        "  changed   20:02:00Z: the breaker of tax tripped\n",
        "  runbook   https://wiki.example/slow\n",
        "  incident  checkout-1\n",
        "! The breaker of orders is tripped: its requests are refused.\n",
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
    assert!(!text.contains("! Objective "), "its card says it");
    let html = page.to_html("/", None, None);
    for said in [
        "<a href=\"/incidents/checkout-1\">checkout-1</a>",
        "<a href=\"/objectives/checkout\">checkout</a>",
        "<a href=\"https://wiki.example/slow\">",
        "<li><a href=\"/\" aria-current=\"page\">Now</a></li>",
    ] {
        assert!(html.contains(said), "{said}\n{html}");
    }
    // Without an alert there is no card, and nothing is left out.
    let untold = page_of(
        &Record::new("plimsoll/one".into(), false),
        &sample::reading(),
        "/",
    )
    .unwrap()
    .to_text();
    assert!(
        untold.contains("! Objective checkout (page): 300 of 36,600 failed"),
        "{untold}"
    );
    let calm = page_of(
        &Record::new("plimsoll/one".into(), false),
        &Reading {
            objectives: Vec::new(),
            ..sample::reading()
        },
        "/",
    );
    assert!(
        !calm.unwrap().to_text().starts_with("All objectives are met"),
        "there are none"
    );
}

#[test]
fn the_worst_comes_first_and_what_is_not_known_is_not_well() {
    let mut well = sample::burning();
    well.name = "well".into();
    well.verdict.calls = None;
    well.verdict.state = plimsoll_slo::State::Met;
    let mut unknown = sample::unknown();
    unknown.name = "unknown".into();
    let reading = Reading {
        objectives: vec![well, unknown, sample::burning()],
        ..sample::reading()
    };
    let text = page_of(&troubled(), &reading, "/objectives").unwrap().to_text();
    let place = |name: &str| {
        text.find(&format!("\n  {name} "))
            .unwrap_or_else(|| panic!("{name} in {text}"))
    };
    assert!(
        place("checkout") < place("unknown") && place("unknown") < place("well"),
        "{text}"
    );
    assert!(
        text.starts_with("1 of 3 objectives are missed, or call\n"),
        "{text}"
    );
}

#[test]
fn what_several_alerts_know_is_said_once() {
    let page = page_of(&troubled(), &sample::reading(), "/incidents/checkout-1").unwrap();
    let (text, html) = (page.to_text(), page.to_html("/incidents/checkout-1", None, None));
    assert!(text.starts_with("Incident checkout-1 is open\nIt began at 2026-11-23T20:08:30.000Z, and is about checkout, search.\n"), "{text}");
    for said in [&text, &html] {
        assert_eq!(said.matches("the breaker of tax tripped").count(), 1, "{said}");
        assert_eq!(said.matches("Runbook: ").count(), 1, "{said}");
    }
    assert!(html.contains("<a href=\"https://wiki.example/slow\">"), "{html}");
    assert!(text.contains("detected") && text.contains("1 min 30 s"), "{text}");
}

#[test]
fn what_another_latency_would_say_is_on_the_page_of_an_objective() {
    let (record, reading) = (troubled(), sample::reading());
    let text = page_of(&record, &reading, "/objectives/checkout")
        .unwrap()
        .to_text();
    let cells = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = text.lines().map(cells).collect();
    for line in ["8 ms 1 1.00 %", "45 ms 1 1.00 %", "64 ms 0 0.00 %"] {
        assert!(lines.iter().any(|known| known == line), "{line}: {text}");
    }
    assert!(
        !lines.iter().any(|line| line.starts_with("4 ms")),
        "nothing was so quick: {text}"
    );
}
