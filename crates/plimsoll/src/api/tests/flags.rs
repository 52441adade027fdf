//! Flags that are seen, tried, ramped and killed.

use super::*;

fn get(fake: &Fake, path: &str) -> (u16, Value) {
    ask(fake, &Method::GET, path, &Value::Null)
}

fn post(fake: &Fake, path: &str, body: &Value) -> (u16, Value) {
    ask(fake, POST, path, body)
}

#[test]
fn what_is_served_is_shown_and_evaluated() {
    let fake = troubled();
    let (status, all) = get(&fake, "/flags");
    assert_eq!(
        (status, &all["flags"][0]["key"]),
        (200, &json!("new-tax")),
        "{all}"
    );
    assert_eq!(all["flags"][0]["reads"], json!(["targetingKey"]));
    assert_eq!(get(&fake, "/flags/nothing").0, 404);
    let (status, found) = post(
        &fake,
        "/flags/new-tax/evaluate",
        &json!({ "context": { "targetingKey": "ada" } }),
    );
    assert_eq!(
        (status, &found["reason"]),
        (200, &json!("TARGETING_MATCH")),
        "{found}"
    );
    let (_, found) = post(&fake, "/flags/nothing/evaluate", &json!({}));
    assert_eq!(found["error"]["code"], "FLAG_NOT_FOUND");
    let (status, refused) = post(&fake, "/flags/new-tax/evaluate", &json!({ "context": [1] }));
    assert!(
        status == 422 && refused.to_string().contains("an object"),
        "{refused}"
    );
}

#[test]
fn a_preview_says_how_many_an_edit_would_move() {
    let fake = troubled();
    let all = json!({ "definition": {
        "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "on",
    } });
    let (status, moved) = post(&fake, "/flags/new-tax/preview", &all);
    assert_eq!(status, 200, "{moved}");
    assert!(
        (4_800..5_200).contains(&moved["moved"].as_u64().unwrap()),
        "{moved}"
    );
    assert_eq!(
        (&moved["from_to"][0]["from"], &moved["from_to"][0]["to"]),
        (&json!("off"), &json!("on"))
    );
    let wrong =
        json!({ "definition": { "state": "ENABLED", "variants": { "on": true }, "defaultVariant": "of" } });
    for path in ["/flags/new-tax/preview", "/flags/new-tax/ramp"] {
        let (status, refused) = post(&fake, path, &wrong);
        assert!(
            status == 422 && refused.to_string().contains("/flags/new-tax/defaultVariant"),
            "{refused}"
        );
        let (status, refused) = post(&fake, path, &json!({}));
        assert!(
            status == 422 && refused.to_string().contains("`definition` has to be there"),
            "{refused}"
        );
    }
}

#[test]
fn a_flag_is_ramped_and_killed_by_which_the_ramp_is_taken_back() {
    let mut fake = troubled();
    let (status, made) = post(
        &fake,
        "/flags/new-tax/ramp",
        &json!({ "variant": "on", "steps": ["5%"], "author": "ada" }),
    );
    assert_eq!(
        (status, &made["id"], &made["kind"], &made["phase"]),
        (201, &json!("flag:new-tax-1"), &json!("flag"), &json!("proposed")),
        "{made}"
    );
    let (status, refused) = post(&fake, "/flags/new-tax/ramp", &json!({ "variant": "on" }));
    assert!(
        status == 409 && refused.to_string().contains("flag:new-tax-1 is changing"),
        "{refused}"
    );
    assert_eq!(get(&fake, "/flags/new-tax").1["under_way"], "flag:new-tax-1");
    let (status, refused) = post(
        &fake,
        "/flags/new-tax/ramp",
        &json!({ "variant": "off", "upstreams": ["nobody"] }),
    );
    assert!(
        status == 422 && refused.to_string().contains("`nobody`"),
        "{refused}"
    );

    fake.wall += Duration::from_secs(1);
    assert_eq!(
        post(&fake, "/flags/new-tax/kill", &json!({})).0,
        422,
        "a reason has to be there"
    );
    let kill = json!({ "reason": "customers call", "author": "ada" });
    let (status, made) = post(&fake, "/flags/new-tax/kill", &kill);
    assert_eq!(
        (status, &made["id"], &made["phase"], &made["exposed"]),
        (201, &json!("flag:new-tax-2"), &json!("promoted"), &json!(1.0)),
        "{made}"
    );
    let (_, ramp) = get(&fake, "/changes/flag:new-tax-1");
    assert!(
        ramp["phase"] == "reverted" && ramp.to_string().contains("the flag is killed: customers call"),
        "{ramp}"
    );
    // Nobody needs a lead, a budget or an open hour for that.
    assert_eq!(get(&fake, "/flags/new-tax").1["under_way"], "flag:new-tax-2");
}
