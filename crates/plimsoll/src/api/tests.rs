use super::routes::{DELETE, GET, POST};
use super::*;

mod changes;
mod flags;

use crate::reading::sample;
use crate::record::Said;
use crate::record::entry::{Calls, Example, Opened};
use crate::watching::begin;

pub(super) struct Fake {
    record: Record,
    wall: Duration,
    pub(super) past: Option<Past>,
    /// What was reported for `nightly`: good and bad.
    pub(super) reported: std::cell::RefCell<(u64, u64)>,
    heard: std::sync::Mutex<Heard>,
}

impl ApiBackend for Fake {
    fn record(&self) -> &Record {
        &self.record
    }

    fn objectives(&self) -> Vec<ObjectiveReading> {
        vec![sample::burning()]
    }

    fn concerns(&self) -> Vec<Arc<str>> {
        vec!["checkout".into(), "client-errors:ingress:pay".into()]
    }

    fn doubts(&self) -> Vec<Doubtful> {
        vec![Doubtful {
            objective: "checkout".into(),
            word: "gaps",
            says: "much is missing".to_owned(),
        }]
    }

    fn kpis(&self) -> Vec<FallReading> {
        vec![sample::fall()]
    }

    fn counted(&self, objective: &str) -> Option<Counted> {
        let minutes = (1_000..1_100).map(|minute| {
            let bad = u64::from(minute < 1_050);
            (minute, plimsoll_slo::Counts { good: 100, bad })
        });
        (objective == "checkout").then(|| Counted {
            objective: sample::burning().verdict.objective,
            minutes: minutes.collect(),
        })
    }

    fn past(&self, objective: &str) -> Option<Past> {
        let past = self.past.as_ref().filter(|_| objective == "checkout")?;
        Some(Past {
            minutes: past.minutes.clone(),
            ..*past
        })
    }

    fn latencies(&self, _: &str) -> Option<Latencies> {
        None
    }

    fn report(&self, name: &str, event: &Event) -> Reported {
        let Event::Became { outcome, .. } = event else {
            return match (name, event) {
                ("search", Event::Seen { seen: None, .. }) => Reported::Waits,
                ("search", _) => Reported::Counted,
                _ => Reported::OfOthers { is_seen: false },
            };
        };
        match (name, outcome.class) {
            ("checkout", _) => return Reported::OfRequests,
            ("search", _) => return Reported::OfOthers { is_seen: true },
            ("nightly", plimsoll_slo::Class::Good) => self.reported.borrow_mut().0 += 1,
            ("nightly", plimsoll_slo::Class::Bad(_)) => self.reported.borrow_mut().1 += 1,
            ("nightly", plimsoll_slo::Class::Excluded(_)) => {}
            _ => return Reported::Unknown,
        }
        Reported::Counted
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap()
    }

    fn changes(&self) -> Arc<ChangesConfig> {
        crate::config::Config::in_front_of("http://127.0.0.1:1", None, None)
            .unwrap()
            .changes
    }

    fn stable(&self, upstream: &str) -> Option<Stable> {
        (upstream == "orders").then(Stable::fake)
    }

    fn reach(&self, endpoints: &[String]) -> Result<(), String> {
        match endpoints.iter().find(|endpoint| endpoint.ends_with(":9")) {
            Some(endpoint) => Err(format!("{endpoint}: Connection refused")),
            None => Ok(()),
        }
    }

    fn flags(&self) -> Option<Known> {
        Some(Known::fake())
    }

    fn refresh_flags(&self) {}

    fn usual(&self, _: &[String]) -> Usual {
        Stable::fake().usual
    }

    fn looked(&self, _: &str) -> Option<Looked> {
        None
    }

    fn wall(&self) -> Duration {
        self.wall
    }
}

/// Checkout pages, and is an incident that began a minute before.
pub(super) fn troubled() -> Fake {
    let fake = Fake {
        past: None,
        reported: std::cell::RefCell::default(),
        heard: std::sync::Mutex::default(),
        record: Record::new("plimsoll/one".into(), false),
        wall: Duration::from_mins(29_924_410),
    };
    let opened = Opened {
        objective: "checkout".to_owned(),
        severity: Calls::Page,
        began: Some(fake.wall.as_secs() - 60),
        sentence: "300 of 36,600 failed | in the last hour".to_owned(),
        examples: vec![Example {
            trace_id: "4bf9".to_owned(),
            request_id: "a".to_owned(),
            route: "pay".to_owned(),
            tier: "gold".to_owned(),
            reason: "upstream-timeout".to_owned(),
            latency_ms: 1_200,
            at: 0,
        }],
        changes: vec!["02:02:00Z: the breaker of tax tripped".to_owned()],
        ..Opened::default()
    };
    let alert = begin(&fake.record, fake.wall, opened);
    let said = Said::IncidentOpened {
        alert: alert.to_string(),
        began: fake.wall.as_secs() - 60,
    };
    fake.record
        .say_as("checkout-1/opened", fake.wall, "checkout-1", said);
    fake
}

pub(super) fn ask(fake: &Fake, method: &Method, path: &str, body: &Value) -> (u16, Value) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    match answer(fake, &Caller::anybody(), method, path, query, body) {
        Reply::Json(status, body) => (status.as_u16(), body),
        Reply::Markdown(text) => (200, text.into()),
        Reply::Problem(status, title, detail) => (status.as_u16(), format!("{title}: {detail}").into()),
        Reply::Stream(_) => (200, Value::Null),
        Reply::NotAllowed(methods) => (405, methods.into()),
    }
}

#[test]
fn everything_in_the_list_is_there_and_nothing_else() {
    let fake = troubled();
    for route in ROUTES {
        let path = route.path.replace("{}", "nobody");
        let (status, body) = ask(&fake, route.method, &path, &json!({}));
        let is_expected = matches!(status, 200 | 422)
            || status == 404 && body.as_str().is_some_and(|text| text.contains("`nobody`"));
        assert!(is_expected, "{} {path}: {status} {body}", route.method);
    }
    for (method, path, status) in [
        (Method::GET, "/nothing", 404),
        (Method::GET, "/objectives/", 200),
        (Method::GET, "/objectives//", 404),
        (Method::GET, "/objectives/a/b", 404),
        (Method::GET, "/objectives/../silences", 404),
        (Method::HEAD, "/objectives", 200),
        (Method::POST, "/objectives", 405),
        (Method::DELETE, "/incidents/checkout-1", 405),
        (Method::PATCH, "/silences", 405),
    ] {
        assert_eq!(
            ask(&fake, &method, path, &Value::Null).0,
            status,
            "{method} {path}"
        );
    }
    assert_eq!(ask(&fake, &Method::PUT, "/silences", &Value::Null).1, "GET, POST");
}

#[test]
fn a_verdict_is_told_whole_and_what_is_not_known_is_null() {
    let (status, body) = ask(&troubled(), &Method::GET, "/objectives/checkout", &Value::Null);
    assert_eq!(
        (status, &body["calls"], &body["state"]),
        (200, &"page".into(), &"missed".into())
    );
    assert_eq!(
        (&body["policy"], &body["budget_forecast"]),
        (&"frozen".into(), &Value::Null)
    );
    assert_eq!(body["burns"][0]["factor"], 14.4);
    assert_eq!(body["as_of"], "2026-11-23T20:09:59.000Z");
}

#[test]
fn an_incident_is_worked_on() {
    let mut fake = troubled();
    let path = |verb: &str| format!("/incidents/checkout-1{verb}");
    let ada = json!({ "author": "ada", "text": "the broker | is slow" });
    fake.wall += Duration::from_secs(30);
    let (status, body) = ask(&fake, &Method::POST, &path("/acknowledge"), &ada);
    assert_eq!(
        (status, &body["phase"], &body["acknowledged"]["by"]),
        (200, &"acknowledged".into(), &"ada".into())
    );
    assert_eq!(
        (&body["to_detect_ms"], &body["to_acknowledge_ms"]),
        (&60_000.into(), &90_000.into())
    );
    assert_eq!(
        ask(&fake, &Method::POST, &path("/notes"), &json!({ "text": " " })).0,
        422
    );
    ask(&fake, &Method::POST, &path("/notes"), &ada);
    fake.wall += Duration::from_mins(10);
    let (_, body) = ask(&fake, &Method::POST, &path("/resolve"), &Value::Null);
    assert_eq!(
        (&body["phase"], &body["to_resolve_ms"]),
        (&"resolved".into(), &690_000.into())
    );
    assert_eq!(body["resolved"]["by"], "an operator");
    // Nobody passes for the machine.
    let machine = json!({ "author": "plimsoll/one", "text": "all is well" });
    let (_, body) = ask(&fake, &Method::POST, &path("/notes"), &machine);
    let last = body["timeline"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["author"], &last["text"]),
        (&"an operator".into(), &"all is well".into())
    );
    let (_, list) = ask(&fake, &Method::GET, "/incidents?limit=1", &Value::Null);
    assert_eq!(
        list["clocks"]["to_resolve"],
        json!({ "count": 1, "median_ms": 690_000, "p90_ms": 690_000 })
    );
    assert_eq!(
        ask(&fake, &Method::GET, "/incidents?limit=0", &Value::Null).0,
        400
    );
    let (_, draft) = ask(&fake, &Method::GET, &path("/postmortem"), &Value::Null);
    for line in [
        "# Incident checkout-1",
        "| detected | 1 min 0 s |",
        "| mitigated | 11 min 30 s |",
        "- checkout-page-1 at 20:10:00Z: 300 of 36,600 failed | in the last hour",
        "  - changed before: 02:02:00Z: the breaker of tax tripped",
        "  - failed: trace 4bf9, pay, gold, upstream-timeout, 1200 ms",
        "| 2026-11-23T20:09:00.000Z | plimsoll | it began: from here on more fails than may |",
        "| 2026-11-23T20:10:30.000Z | ada | the broker \\| is slow |",
    ] {
        assert!(draft.as_str().unwrap().contains(line), "{line} in {draft}");
    }
}

#[test]
fn a_silence_says_for_whom_how_long_and_why() {
    let fake = troubled();
    for wrong in [
        json!({ "objective": "checkout", "minutes": 10 }),
        json!({ "objective": "checkout", "minutes": 0, "reason": "x" }),
        json!({ "objective": "checkout", "minutes": 100_000, "reason": "x" }),
        json!({ "objective": "chekout", "minutes": 10, "reason": "x" }),
        json!([]),
    ] {
        assert_eq!(ask(&fake, &Method::POST, "/silences", &wrong).0, 422, "{wrong}");
    }
    let right = json!({ "objective": "check*", "minutes": 10, "reason": "we know", "author": "ada" });
    // What is watched can open a ticket, and be silenced.
    let watched = json!({ "objective": "client-errors:*", "minutes": 30, "reason": "a crawler" });
    assert_eq!(ask(&fake, &Method::POST, "/silences", &watched).0, 201);
    let (status, body) = ask(&fake, &Method::POST, "/silences", &right);
    assert_eq!(
        (status, &body["holds"], &body["author"]),
        (201, &true.into(), &"ada".into())
    );
    let (_, alert) = ask(&fake, &Method::GET, "/alerts/checkout-page-1", &Value::Null);
    assert_eq!(alert["silenced_by"], body["id"]);
    let path = format!("/silences/{}", body["id"].as_str().unwrap());
    let (status, body) = ask(&fake, &Method::DELETE, &path, &Value::Null);
    assert_eq!((status, &body["holds"]), (200, &false.into()));
}

#[test]
fn a_correction_is_bounded_and_can_be_withdrawn() {
    let fake = troubled();
    let with = |from: &str, to: &str, bad: Value| json!({ "objective": "checkout", "reason": "load test", "from": from, "to": to, "bad": bad });
    let hour = |bad| with("2026-11-23T19:00:00Z", "2026-11-23T20:00:00Z", bad);
    for wrong in [
        with("2026-11-23T19:00:00Z", "2026-11-23T19:00:00Z", Value::Null),
        with("2026-11-01T19:00:00Z", "2026-11-23T19:00:00Z", Value::Null),
        with("2026-01-01T19:00:00Z", "2026-01-02T19:00:00Z", Value::Null),
        with("2027-01-01T19:00:00Z", "2027-01-02T19:00:00Z", Value::Null),
        with("yesterday", "today", Value::Null),
        with("2026-11-23T20:10:00Z", "2026-11-23T20:20:00Z", 5.into()),
        hour(json!(1.5)),
        hour(json!("5")),
    ] {
        assert_eq!(
            ask(&fake, &Method::POST, "/corrections", &wrong).0,
            422,
            "{wrong}"
        );
    }
    let (status, body) = ask(&fake, &Method::POST, "/corrections", &hour(Value::Null));
    assert_eq!((status, &body["excludes"]), (201, &true.into()));
    let (status, taken) = ask(&fake, &Method::POST, "/corrections", &hour(json!(-300)));
    assert_eq!(
        (status, &taken["good"], &taken["bad"]),
        (201, &0.into(), &(-300).into())
    );
    // Announced maintenance.
    let ahead = with("2026-11-24T02:00:00Z", "2026-11-24T02:30:30Z", Value::Null);
    assert_eq!(
        ask(&fake, &Method::POST, "/corrections", &ahead).1["to"],
        "2026-11-24T02:31:00.000Z"
    );
    assert_eq!(
        fake.record.read(|state| state.corrections.of("checkout").len()),
        3
    );
    let path = format!("/corrections/{}", body["id"].as_str().unwrap());
    assert_eq!(ask(&fake, &Method::DELETE, &path, &Value::Null).0, 422);
    assert_eq!(
        ask(&fake, &Method::DELETE, &path, &json!({ "reason": "it was real" })).0,
        200
    );
    assert_eq!(
        ask(&fake, &Method::DELETE, &path, &json!({ "reason": "again" })).0,
        404
    );
    assert_eq!(
        fake.record.read(|state| state.corrections.of("checkout").len()),
        2
    );
}
