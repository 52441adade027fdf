use std::sync::atomic::Ordering;

use super::*;

const FLAGS: &str = "/ofrep/v1/evaluate/flags";

fn one(key: &str) -> Request<Full<Bytes>> {
    post(&format!("{FLAGS}/{key}"), "{}")
}

#[tokio::test]
async fn one_flag_as_providers_need_it() {
    let bench = bench();
    let metadata = json!({ "team": "plimsoll", "version": 3 });
    let wanted =
        json!({ "key": "off", "reason": "STATIC", "value": false, "variant": "off", "metadata": metadata });
    assert_eq!(bench.json(one("off")).await, (200, wanted));
    // No value: the code's own default. Never null, and never without a variant.
    for (key, reason) in [("disabled", "DISABLED"), ("none", "DEFAULT")] {
        let wanted = json!({ "key": key, "reason": reason, "variant": "", "metadata": metadata });
        assert_eq!(bench.json(one(key)).await, (200, wanted));
    }
    for key in ["a/b", "a%2Fb"] {
        assert_eq!(bench.json(one(key)).await.1["value"], "slash");
    }
    // A whole float is one on the wire, too.
    let body = bench
        .ask(one("three"))
        .await
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes();
    assert!(
        String::from_utf8(body.to_vec())
            .unwrap()
            .contains("\"value\":3.0")
    );
    let (status, body) = bench.json(one("bad")).await;
    assert_eq!(
        (status, &body["errorCode"], &body["key"]),
        (400, &json!("GENERAL"), &json!("bad"))
    );
    let (status, body) = bench.json(one("gone")).await;
    assert_eq!(
        (status, &body["errorCode"], &body["key"]),
        (404, &json!("FLAG_NOT_FOUND"), &json!("gone"))
    );
    assert!(body["errorDetails"].is_string());
}

#[tokio::test]
async fn an_unfit_request_is_told_why() {
    let bench = bench();
    let (status, body) = bench.json(post(&format!("{FLAGS}/off"), "{")).await;
    assert_eq!(
        (status, &body["errorCode"], &body["key"]),
        (400, &json!("PARSE_ERROR"), &json!("off"))
    );
    let (status, body) = bench.json(post(FLAGS, "{\"context\": 3}")).await;
    assert_eq!(
        (status, &body["errorCode"], &body["key"]),
        (400, &json!("INVALID_CONTEXT"), &Value::Null)
    );
    let large = format!("{{\"context\": {{\"a\": \"{}\"}}}}", "x".repeat(1_000_000));
    assert_eq!(bench.json(post(FLAGS, large)).await.0, 413);
    let get = Request::get(FLAGS).body(Full::default()).unwrap();
    let response = bench.ask(get).await;
    assert_eq!(
        (response.status().as_u16(), header(&response, "allow")),
        (405, Some("POST"))
    );
    assert_eq!(bench.json(post("/ofrep/v2/x", "{}")).await.0, 404);
}

async fn bulk(bench: &Bench, context: Value, etag: Option<&str>) -> (u16, String) {
    let mut request = post(FLAGS, json!({ "context": context }).to_string());
    if let Some(etag) = etag {
        request
            .headers_mut()
            .insert("if-none-match", etag.parse().unwrap());
    }
    let response = bench.ask(request).await;
    (
        response.status().as_u16(),
        header(&response, "etag").unwrap().to_owned(),
    )
}

#[tokio::test]
async fn a_304_is_never_wrong() {
    let bench = bench();
    let (status, tag) = bulk(&bench, json!({ "targetingKey": "a" }), None).await;
    assert_eq!(status, 200);
    assert_eq!(
        bulk(&bench, json!({ "targetingKey": "a" }), Some(&tag)).await,
        (304, tag.clone())
    );
    // Another context of the same somebody: the provider for the web sends the old tag with it.
    let gold = json!({ "targetingKey": "a", "tier": "gold" });
    assert_eq!(bulk(&bench, gold, Some(&tag)).await.0, 200);
    // Time alone may change a value.
    bench.now_s.store(2_000, Ordering::Relaxed);
    let (status, later) = bulk(&bench, json!({ "targetingKey": "a" }), Some(&tag)).await;
    assert_eq!(status, 200);
    // A change that changes nothing for somebody is none.
    let mut changed = definitions();
    changed["flags"]["gold"]["variants"]["yes"] = "other".into();
    bench.change(&changed, 2, &["gold"]);
    assert_eq!(
        bulk(&bench, json!({ "targetingKey": "a" }), Some(&later)).await.0,
        304
    );
    assert_eq!(bulk(&bench, json!({ "tier": "gold" }), Some(&later)).await.0, 200);
}

#[tokio::test]
async fn all_flags_come_in_order_with_failures_among_them() {
    let bench = bench();
    let (status, body) = bench.json(post(&format!("{FLAGS}/"), "{}")).await;
    assert_eq!(status, 200);
    let flags = body["flags"].as_array().unwrap();
    let keys: Vec<_> = flags.iter().map(|flag| flag["key"].as_str().unwrap()).collect();
    assert_eq!(
        keys,
        [
            "a/b", "bad", "disabled", "gold", "half", "late", "none", "off", "three"
        ]
    );
    assert_eq!(flags[1]["errorCode"], "GENERAL");
    assert_eq!(
        body["eventStreams"][0]["endpoint"]["requestUri"],
        "/ofrep/v1/events"
    );
}

#[tokio::test(start_paused = true)]
async fn somebody_told_by_another_process_waits_for_the_change() {
    let bench = bench();
    let ask = || {
        bench.json(post(
            &format!("{FLAGS}?flagConfigEtag=d2&flagConfigLastModified=2"),
            "{}",
        ))
    };
    let mut changed = definitions();
    changed["flags"]["off"]["defaultVariant"] = "on".into();
    let change = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        bench.change(&changed, 2, &["off"]);
    };
    let ((_, body), ()) = tokio::join!(ask(), change);
    assert_eq!(body["flags"][7]["value"], true);
    // What is older than what is here is not waited for; neither is what never comes, for long.
    let old = format!("{FLAGS}?flagConfigEtag=d1&flagConfigLastModified=1");
    let (_, body) = bench.json(post(&old, "{}")).await;
    assert_eq!(body["flags"][7]["value"], true);
    let never = format!("{FLAGS}?flagConfigEtag=d9&flagConfigLastModified=9");
    assert_eq!(bench.json(post(&never, "{}")).await.0, 200);
}

#[tokio::test]
async fn pages_of_any_origin_may_ask() {
    let bench = bench_with(Some(TokenCheck::of(["secret"])));
    let preflight = Request::options(FLAGS)
        .header("access-control-request-headers", "authorization,x-mine")
        .body(Full::default());
    let response = bench.ask(preflight.unwrap()).await;
    assert_eq!(response.status(), 204);
    assert_eq!(
        header(&response, "access-control-allow-headers"),
        Some("authorization,x-mine")
    );
    let response = bench.ask(post(FLAGS, "{}")).await;
    assert_eq!(response.status(), 401);
    assert_eq!(header(&response, "access-control-allow-origin"), Some("*"));
    assert!(
        header(&response, "access-control-expose-headers")
            .unwrap()
            .contains("ETag")
    );
}

#[tokio::test]
async fn a_token_lets_in_and_its_ticket_lets_listen() {
    let bench = bench_with(Some(TokenCheck::of(["secret"])));
    for (name, value, status) in [
        ("authorization", "bearer secret", 200),
        ("x-api-key", "secret", 200),
        ("authorization", "Bearer wrong", 401),
        ("authorization", "secret", 401),
    ] {
        let mut request = post(FLAGS, "{}");
        request.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(bench.ask(request).await.status(), status, "{name}: {value}");
    }
    let mut request = post(FLAGS, "{}");
    request
        .headers_mut()
        .insert("x-api-key", "secret".parse().unwrap());
    let (_, body) = bench.json(request).await;
    let address = body["eventStreams"][0]["endpoint"]["requestUri"]
        .as_str()
        .unwrap();
    let listen = |address: &str| bench.ask(Request::get(address).body(Full::default()).unwrap());
    assert_eq!(listen(address).await.status(), 200);
    assert_eq!(listen("/ofrep/v1/events").await.status(), 401);
    assert_eq!(listen("/ofrep/v1/events?ticket=secret").await.status(), 401);
    let response = bench
        .ask(grpc(
            "/flagd.evaluation.v2.Service/ResolveBoolean",
            b"\x0a\x03off",
        ))
        .await;
    assert_eq!(header(&response, "grpc-status"), Some("16"));
    let get = |path: &str| bench.ask(Request::get(path).body(Full::default()).unwrap());
    assert_eq!(get("/healthz").await.status(), 200);
    assert_eq!(get("/readyz").await.status(), 200);
}
