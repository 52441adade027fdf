//! Changes that are asked for, and what becomes of them by people's word.

use super::*;

fn deploy(more: &Value) -> Value {
    let mut body = json!({ "upstream": "orders", "version": "v2", "candidate": ["http://127.0.0.1:3001"] });
    for (field, value) in more.as_object().into_iter().flatten() {
        body[field] = value.clone();
    }
    body
}

fn post(fake: &Fake, path: &str, body: &Value) -> (u16, Value) {
    ask(fake, POST, path, body)
}

#[test]
fn a_version_is_proposed_paused_let_on_and_taken_back() {
    let mut fake = troubled();
    let body = deploy(&json!({ "author": "ada", "key": "cookie:sid", "steps": ["5%", "50%"] }));
    let (status, made) = post(&fake, "/changes", &body);
    assert_eq!(
        (status, &made["id"], &made["phase"]),
        (201, &json!("orders-1"), &json!("proposed")),
        "{made}"
    );
    assert_eq!(made["steps"], json!([0.05, 0.5]));
    let (status, refused) = post(&fake, "/changes", &deploy(&json!({ "version": "v3" })));
    assert!(
        status == 409 && refused.to_string().contains("orders-1 is changing orders"),
        "{refused}"
    );

    let why = json!({ "reason": "lunch", "author": "ada" });
    assert_eq!(post(&fake, "/changes/orders-1/pause", &why).1["paused"], "lunch");
    fake.wall += Duration::from_secs(1);
    assert_eq!(
        {
            fake.wall += Duration::from_secs(1);
            post(&fake, "/changes/orders-1/resume", &json!({})).1["paused"].clone()
        },
        Value::Null
    );
    let (_, shown) = post(
        &fake,
        "/changes/orders-1/promote",
        &json!({ "reason": "looked", "all": true }),
    );
    assert!(
        shown["says"].as_str().unwrap().contains("may go to everybody"),
        "{shown}"
    );
    let (_, shown) = post(
        &fake,
        "/changes/orders-1/revert",
        &json!({ "reason": "no", "author": "ada" }),
    );
    assert_eq!(
        (&shown["phase"], &shown["exposed"]),
        (&json!("reverting"), &json!(0.0)),
        "{shown}"
    );
    assert_eq!(shown["says"], "is rolled back, because somebody said so: no");
    let told = shown["told"].as_array().unwrap();
    assert_eq!(told[0]["author"], "ada");
    let said: Vec<&str> = told
        .iter()
        .filter_map(|line| line["said"]["said"].as_str())
        .collect();
    assert_eq!(
        said,
        [
            "proposed", "paused", "resumed", "approved", "approved", "approved", "cut"
        ]
    );
    let (_, listed) = ask(&fake, GET, "/changes", &Value::Null);
    assert_eq!(listed["changes"][0]["id"], "orders-1");
}

#[test]
fn what_cannot_be_rolled_out_is_refused_with_why() {
    let fake = troubled();
    for (more, why) in [
        (json!({ "upstream": "carts" }), "No upstream is called `carts`"),
        (json!({ "version": "v1" }), "not that of what runs, `v1`"),
        (json!({ "version": "a b" }), "letters, digits"),
        (json!({ "candidate": [] }), "1 to 16 endpoints"),
        (json!({ "candidate": "http://127.0.0.1:1" }), "1 to 16 endpoints"),
        (
            json!({ "candidate": ["127.0.0.1:1"] }),
            "`127.0.0.1:1` is not an endpoint",
        ),
        (
            json!({ "candidate": ["https://127.0.0.1:1"] }),
            "`https` or none is",
        ),
        (
            json!({ "candidate": ["http://127.0.0.1:3000"] }),
            "where the version is that runs",
        ),
        (
            json!({ "candidate": ["http://127.0.0.1:9"] }),
            "does not answer: http://127.0.0.1:9: Connection refused",
        ),
        (json!({ "key": "sid" }), "`key` is not what requests"),
        (json!({ "steps": ["5"] }), "shares such as `5%`"),
        (json!({ "steps": ["50%", "5%"] }), "goes down"),
        (json!({ "steps": ["0%"] }), "a share of 0"),
        (json!({ "hold_max": "10" }), "`hold_max` is not"),
        (json!({ "undecided": "promote" }), "`revert` or `ask`"),
        (
            json!({ "needs": ["schema/8"] }),
            "`schema/8`, which nothing offers",
        ),
        (json!({ "needs": "schema/8" }), "a list of names"),
    ] {
        let (status, refused) = post(&fake, "/changes", &deploy(&more));
        assert!(
            (status == 422 || status == 409) && refused.to_string().contains(why),
            "{more}: {status} {refused}"
        );
    }
    for path in [
        "/changes/none/revert",
        "/changes/none/promote",
        "/changes/none/pause",
    ] {
        assert_eq!(post(&fake, path, &json!({ "reason": "no" })).0, 404, "{path}");
        assert_eq!(post(&fake, path, &json!({})).0, 422, "{path}: why is not said");
    }
    let (_, listed) = ask(&fake, GET, "/changes", &Value::Null);
    assert_eq!(listed["changes"], json!([]));
}

#[test]
fn what_is_over_is_not_taken_back() {
    let fake = troubled();
    post(&fake, "/changes", &deploy(&json!({ "at_once": true })));
    let say = |said| {
        let said = Said::ChangeWent(Box::new(said));
        fake.record.say(fake.wall, Some("orders-1"), said);
    };
    say(change::Transition::Promoted { evidence: None });
    say(change::Transition::Finished { evidence: None });
    let (status, refused) = post(&fake, "/changes/orders-1/revert", &json!({ "reason": "no" }));
    assert!(
        status == 409 && refused.to_string().contains("deploy the version before"),
        "{refused}"
    );
}

#[test]
fn all_is_frozen_for_a_while_and_two_break_the_glass() {
    let mut fake = troubled();
    let why =
        |minutes, author: &str| json!({ "minutes": minutes, "reason": "release day", "author": author });
    let (status, freeze) = post(&fake, "/freezes", &why(60, "ada"));
    assert_eq!((status, &freeze["holds"]), (201, &json!(true)), "{freeze}");
    let holds = |fake: &Fake| {
        let now = fake.wall.as_millis() as u64;
        let record = &fake.record;
        record.read(|state| {
            (
                state.freezes.holding(now).is_some(),
                state.freezes.is_glass_broken(now),
            )
        })
    };
    assert_eq!(holds(&fake), (true, false));

    let (_, asked) = post(&fake, "/glass", &why(30, "ada"));
    assert_eq!(
        (&asked["broken"], &asked["confirmed_by"]),
        (&json!(false), &Value::Null)
    );
    let confirm = format!("/glass/{}/confirm", asked["id"].as_str().unwrap());
    for alone in ["ada", "somebody, by the token of ada"] {
        let (status, refused) = post(&fake, &confirm, &json!({ "author": alone }));
        assert!(
            status == 409 && refused.to_string().contains("somebody else"),
            "{alone}: {refused}"
        );
    }
    assert_eq!(holds(&fake), (true, false));
    let (_, broken) = post(&fake, &confirm, &json!({ "author": "grace" }));
    assert_eq!(
        (&broken["broken"], &broken["confirmed_by"]),
        (&json!(true), &json!("grace"))
    );
    fake.wall += Duration::from_mins(31);
    assert_eq!(holds(&fake), (true, false), "it is mended by itself");

    let path = format!("/freezes/{}", freeze["id"].as_str().unwrap());
    let (_, ended) = ask(&fake, DELETE, &path, &json!({ "author": "grace" }));
    assert_eq!(ended["holds"], false);
    assert_eq!(holds(&fake), (false, false));
    for (path, body) in [
        ("/freezes", json!({ "minutes": 0, "reason": "a" })),
        ("/freezes", json!({ "minutes": 43_201, "reason": "a" })),
        ("/freezes", json!({ "minutes": 5 })),
        ("/glass", json!({ "minutes": 241, "reason": "a" })),
    ] {
        assert_eq!(post(&fake, path, &body).0, 422, "{path} {body}");
    }
    assert_eq!(ask(&fake, DELETE, "/freezes/none", &json!({})).0, 404);
    assert_eq!(post(&fake, "/glass/none/confirm", &json!({})).0, 404);
}
