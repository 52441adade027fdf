use super::*;

const EVENTS: &str = "/flagd.evaluation.v2.Service/EventStream";
const SYNC: &str = "/flagd.sync.v1.FlagSyncService/SyncFlags";

/// A stream in Connect's JSON, which is easy to read.
async fn connect(bench: &Bench, path: &str) -> Body {
    let mut request = post(path, envelope(b"{}"));
    request
        .headers_mut()
        .insert("content-type", "application/connect+json".parse().unwrap());
    let response = bench.ask(request).await;
    assert_eq!(response.status(), 200);
    response.into_body()
}

/// The messages in what was said, with their flags.
fn messages(mut said: &[u8]) -> Vec<(u8, Value)> {
    let mut messages = Vec::new();
    while let Some((head, rest)) = said.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        messages.push((head[0], serde_json::from_slice(&rest[..length]).unwrap()));
        said = &rest[length..];
    }
    messages
}

fn keys(message: &Value) -> Vec<(&str, &str)> {
    let flags = message["data"]["flags"].as_object().unwrap();
    flags
        .iter()
        .map(|(key, how)| (key.as_str(), how["type"].as_str().unwrap()))
        .collect()
}

/// The definitions after a change: one flag other, one more, one less.
fn changed() -> Value {
    let mut changed = definitions();
    let flags = changed["flags"].as_object_mut().unwrap();
    flags["off"]["defaultVariant"] = "on".into();
    let half = flags.remove("half").unwrap();
    flags.insert("new".to_owned(), half);
    changed
}

#[tokio::test]
async fn events_name_all_flags_first_and_then_what_changed() {
    let bench = bench();
    let mut body = connect(&bench, EVENTS).await;
    let first = messages(&said(&mut body));
    assert_eq!(first[0], (0, json!({ "type": "provider_ready", "data": {} })));
    assert_eq!(first[1].1["type"], "configuration_change");
    assert_eq!((first.len(), keys(&first[1].1).len()), (2, 9));
    assert!(said(&mut body).is_empty());
    bench.change(&changed(), 2, &["off", "half", "new"]);
    let next = messages(&said(&mut body));
    assert_eq!(next.len(), 1);
    assert_eq!(
        keys(&next[0].1),
        [("half", "delete"), ("new", "write"), ("off", "update")]
    );
}

#[tokio::test]
async fn a_slow_reader_gets_the_latest_and_the_names_of_all() {
    let bench = bench();
    let (mut events, mut sync) = (connect(&bench, EVENTS).await, connect(&bench, SYNC).await);
    said(&mut events);
    said(&mut sync);
    bench.change(&changed(), 2, &["off", "half", "new"]);
    bench.change(&definitions(), 3, &["off", "half", "new"]);
    let mut last = definitions();
    last["flags"].as_object_mut().unwrap().remove("three");
    bench.change(&last, 4, &["three"]);
    let next = messages(&said(&mut events));
    assert_eq!(next.len(), 1);
    let named = keys(&next[0].1);
    assert!(named.contains(&("three", "delete")) && named.contains(&("off", "update")) && named.len() == 9);
    let next = messages(&said(&mut sync));
    assert_eq!(next.len(), 1);
    let configuration = bench.serves.borrow().sync.clone();
    assert_eq!(next[0].1["flagConfiguration"], configuration);
}

#[tokio::test]
async fn streams_never_end_well() {
    let bench = bench();
    let mut bodies = Vec::new();
    for path in [EVENTS, SYNC] {
        let response = bench.ask(grpc(path, b"")).await;
        assert_eq!(header(&response, "grpc-status"), None);
        bodies.push(response.into_body());
    }
    let mut connect = connect(&bench, EVENTS).await;
    let mut listens = bench
        .ask(Request::get("/ofrep/v1/events").body(Full::default()).unwrap())
        .await
        .into_body();
    for body in &mut bodies {
        said(body);
    }
    said(&mut connect);
    said(&mut listens);
    bench.closes.send_replace(true);
    for body in &mut bodies {
        let said = said(body);
        assert!(
            said.starts_with(b"grpc-status: 14\n"),
            "{}",
            String::from_utf8_lossy(&said)
        );
        assert!(body.is_end_stream());
    }
    let end = messages(&said(&mut connect));
    assert_eq!((end[0].0, &end[0].1["error"]["code"]), (2, &json!("unavailable")));
    said(&mut listens);
    assert!(listens.is_end_stream());
    // Nor does one that comes now.
    let response = bench.ask(grpc(SYNC, b"")).await;
    assert!(said(&mut response.into_body()).starts_with(b"grpc-status: 14\n"));
    assert_eq!(bench.port.streams.available_permits(), super::super::STREAMS_MAX);
}

#[tokio::test]
async fn the_end_of_whoever_serves_is_the_end_of_streams() {
    let bench = bench();
    let mut body = bench.ask(grpc(SYNC, b"")).await.into_body();
    said(&mut body);
    drop(bench.serves);
    assert!(said(&mut body).starts_with(b"grpc-status: 14\n"));
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_for_events_and_not_for_definitions() {
    let bench = bench();
    let (mut events, mut sync) = (connect(&bench, EVENTS).await, connect(&bench, SYNC).await);
    said(&mut events);
    said(&mut sync);
    assert!(said(&mut events).is_empty() && said(&mut sync).is_empty());
    tokio::time::sleep(Duration::from_secs(21)).await;
    assert_eq!(
        messages(&said(&mut events)),
        [(0, json!({ "type": "keep_alive", "data": {} }))]
    );
    assert!(said(&mut sync).is_empty());
}

#[tokio::test]
async fn one_too_many_is_refused_and_a_seat_is_given_back() {
    let bench = bench();
    let all = u32::try_from(super::super::STREAMS_MAX).unwrap();
    let seats = bench.port.streams.try_acquire_many(all - 1).unwrap();
    let body = bench.ask(grpc(SYNC, b"")).await.into_body();
    assert_eq!(
        header(&bench.ask(grpc(SYNC, b"")).await, "grpc-status"),
        Some("8")
    );
    let listen = || bench.ask(Request::get("/ofrep/v1/events").body(Full::default()).unwrap());
    let refused = listen().await;
    assert_eq!(
        (refused.status().as_u16(), header(&refused, "retry-after")),
        (503, Some("10"))
    );
    drop(body);
    assert_eq!(listen().await.status(), 200);
    drop(seats);
}

#[tokio::test]
async fn listeners_are_told_what_they_missed() {
    let bench = bench();
    let listen = async |last: Option<&str>| {
        let mut request = Request::get("/ofrep/v1/events").body(Full::default()).unwrap();
        if let Some(last) = last {
            request
                .headers_mut()
                .insert("last-event-id", last.parse().unwrap());
        }
        let response = bench.ask(request).await;
        assert_eq!(header(&response, "content-type"), Some("text/event-stream"));
        response.into_body()
    };
    let text = |body: &mut Body| String::from_utf8(said(body)).unwrap();
    let event = |version: u64| {
        format!(
            "id: d{version}\ndata: {{\"etag\":\"d{version}\",\"lastModified\":{version},\"type\":\"refetchEvaluation\"}}\n\n"
        )
    };
    assert_eq!(
        text(&mut listen(None).await),
        format!("retry: 1000\n\n{}", event(1))
    );
    assert_eq!(
        text(&mut listen(Some("d0")).await),
        format!("retry: 1000\n\n{}", event(1))
    );
    let mut knows = listen(Some("d1")).await;
    assert_eq!(text(&mut knows), "retry: 1000\n\n");
    bench.change(&changed(), 2, &["off"]);
    assert_eq!(text(&mut knows), event(2));
    assert_eq!(text(&mut knows), "");
}
