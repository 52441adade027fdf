use std::fmt::Write as _;

use super::*;

fn path(package: &str, method: &str) -> String {
    format!("/{package}.Service/{method}")
}

fn key(key: &str) -> Vec<u8> {
    [
        b"\x0a",
        [u8::try_from(key.len()).unwrap()].as_slice(),
        key.as_bytes(),
    ]
    .concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}

/// The code of a refusal over gRPC.
async fn code(bench: &Bench, package: &str, method: &str, flag: &str) -> Option<String> {
    let response = bench.ask(grpc(&path(package, method), &key(flag))).await;
    header(&response, "grpc-status").map(str::to_owned)
}

#[tokio::test]
async fn the_bytes_are_those_of_flagd() {
    // Recorded from flagd 0.16.1 for a flag that is false: v2 says so, v1 leaves it out.
    let metadata = "222a0a120a047465616d120a1a08706c696d736f6c6c0a140a0776657273696f6e1209110000000000000840";
    let bench = bench();
    for (package, value) in [
        ("flagd.evaluation.v2", "0800"),
        ("flagd.evaluation.v1", ""),
        ("schema.v1", ""),
    ] {
        let response = bench
            .ask(grpc(&path(package, "ResolveBoolean"), &key("off")))
            .await;
        assert_eq!(header(&response, "content-type"), Some("application/grpc"));
        let said = said(&mut response.into_body());
        let message = format!("{value}12065354415449431a036f6666{metadata}");
        let envelope = format!("00{:08x}", message.len() / 2);
        assert_eq!(
            hex(&said),
            format!("{envelope}{message}{}", hex(b"grpc-status: 0\n"))
        );
    }
}

#[tokio::test]
async fn refusals_have_the_codes_that_providers_know() {
    let (bench, v2) = (bench(), "flagd.evaluation.v2");
    let refused = |flag: &'static str, method: &'static str| code(&bench, v2, method, flag);
    assert_eq!(refused("gone", "ResolveBoolean").await.as_deref(), Some("5"));
    assert_eq!(refused("off", "ResolveString").await.as_deref(), Some("3"));
    assert_eq!(refused("half", "ResolveInt").await.as_deref(), Some("3"));
    assert_eq!(refused("bad", "ResolveString").await.as_deref(), Some("13"));
    assert_eq!(refused("half", "ResolveFloat").await, None);
    assert_eq!(refused("three", "ResolveInt").await, None);
    assert_eq!(refused("off", "ResolveAll").await.as_deref(), Some("12"));
    assert_eq!(
        code(&bench, "sync.v1", "SyncFlags", "off").await.as_deref(),
        Some("12")
    );
    // No value is what only v2 can say.
    for flag in ["disabled", "none"] {
        assert_eq!(code(&bench, v2, "ResolveBoolean", flag).await, None);
        assert_eq!(
            code(&bench, "flagd.evaluation.v1", "ResolveBoolean", flag)
                .await
                .as_deref(),
            Some("5")
        );
        assert_eq!(
            code(&bench, "schema.v1", "ResolveBoolean", flag).await.as_deref(),
            Some("5")
        );
    }
}

#[tokio::test]
async fn what_is_compressed_or_broken_is_refused() {
    let (bench, path) = (bench(), path("flagd.evaluation.v2", "ResolveBoolean"));
    let with = |body: &'static [u8]| {
        let mut request = grpc(&path, b"");
        *request.body_mut() = Full::new(Bytes::from_static(body));
        request
    };
    let status = async |request| header(&bench.ask(request).await, "grpc-status").map(str::to_owned);
    assert_eq!(status(with(b"\x01\0\0\0\x01x")).await.as_deref(), Some("12"));
    assert_eq!(status(with(b"\0\0\0\0\x01\xff")).await.as_deref(), Some("3"));
    assert_eq!(status(with(b"")).await.as_deref(), Some("3"));
    let mut request = grpc(&path, &key("off"));
    *request.version_mut() = Version::HTTP_11;
    assert_eq!(bench.ask(request).await.status(), 505);
    let mut request = post(&path, "{}");
    request
        .headers_mut()
        .insert("content-encoding", "gzip".parse().unwrap());
    assert_eq!(bench.json(request).await.1["code"], "unimplemented");
}

#[tokio::test]
async fn connect_speaks_json() {
    let bench = bench();
    let ask =
        |package: &str, method: &str, body: &'static str| bench.json(post(&path(package, method), body));
    let metadata = json!({ "team": "plimsoll", "version": 3 });
    let (v1, v2) = ("flagd.evaluation.v1", "flagd.evaluation.v2");
    for body in [
        r#"{"flagKey": "three", "new": 1}"#,
        r#"{"flag_key": "three", "context": null}"#,
    ] {
        let wanted = json!({ "value": "3", "reason": "STATIC", "variant": "three", "metadata": metadata });
        assert_eq!(ask(v1, "ResolveInt", body).await, (200, wanted));
    }
    let wanted = json!({ "reason": "DISABLED", "metadata": metadata });
    assert_eq!(
        ask(v2, "ResolveBoolean", r#"{"flagKey": "disabled"}"#).await,
        (200, wanted)
    );
    let (status, body) = ask(v2, "ResolveBoolean", r#"{"flagKey": "gone"}"#).await;
    assert_eq!((status, &body["code"]), (404, &json!("not_found")));
    assert_eq!(ask(v2, "ResolveBoolean", "").await.0, 400);
    assert_eq!(ask(v2, "ResolveBoolean", "[]").await.0, 400);
    let (status, body) = ask(v1, "ResolveAll", r#"{"context": {"tier": "gold"}}"#).await;
    let keys: Vec<_> = body["flags"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        (status, keys),
        (200, vec!["a/b", "gold", "half", "late", "off", "three"])
    );
    assert_eq!(body["flags"]["gold"]["stringValue"], "yes");
    assert_eq!(body["flags"]["off"]["boolValue"], false);
    assert_eq!(ask(v2, "Nothing", "{}").await.0, 404);
    // A stream is no answer of one message, and the other way round.
    assert_eq!(ask(v2, "EventStream", "{}").await.0, 415);
    let mut request = post(&path(v2, "ResolveBoolean"), "{}");
    request
        .headers_mut()
        .insert("content-type", "application/connect+json".parse().unwrap());
    let response = bench.ask(request).await;
    assert_eq!(response.status(), 415);
    assert!(
        header(&response, "accept-post")
            .unwrap()
            .contains("application/connect+json")
    );
}

#[tokio::test]
async fn connect_speaks_protobuf() {
    let bench = bench();
    let mut request = post(&path("flagd.evaluation.v2", "ResolveBoolean"), key("off"));
    request
        .headers_mut()
        .insert("content-type", "application/proto".parse().unwrap());
    let said = said(&mut bench.ask(request).await.into_body());
    assert!(said.starts_with(b"\x08\0\x12\x06STATIC\x1a\x03off"));
}

#[tokio::test]
async fn a_context_in_protobuf_is_the_one_in_json() {
    let bench = bench();
    // {"tier": "gold"}
    let context = b"\x12\x10\x0a\x0e\x0a\x04tier\x12\x06\x1a\x04gold";
    let request = [key("gold").as_slice(), context].concat();
    let response = bench
        .ask(grpc(&path("flagd.evaluation.v2", "ResolveString"), &request))
        .await;
    let said = said(&mut response.into_body());
    assert!(said[5..].starts_with(b"\x0a\x03yes\x12\x0fTARGETING_MATCH\x1a\x03yes"));
}

#[tokio::test]
async fn metadata_of_the_server_is_there_and_empty() {
    let bench = bench();
    let response = bench
        .ask(grpc("/flagd.sync.v1.FlagSyncService/GetMetadata", b""))
        .await;
    assert_eq!(
        said(&mut response.into_body()),
        b"\0\0\0\0\x02\x12\0grpc-status: 0\n"
    );
    let response = bench
        .ask(grpc("/flagd.sync.v1.FlagSyncService/FetchAllFlags", b""))
        .await;
    let said = said(&mut response.into_body());
    let sync = bench.serves.borrow().sync.clone();
    assert!(String::from_utf8_lossy(&said).contains(&sync));
}
