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
