//! Real processes around Plimsoll: curl, h2load, gRPC and WebSocket stacks that we did not write, and a service in
//! Python behind it.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Instant;

use crate::world::{PATIENCE, Plimsoll, Process, certificates, client, curl, curl_until, service, tool};

#[test]
fn curl_reaches_a_python_service_by_http1_and_http2() {
    let (_service, address) = service("http_service.py", &[]);
    let plimsoll = Plimsoll::in_front_of(&address);
    for version in ["--http1.1", "--http2-prior-knowledge", "--http1.0"] {
        let answer = curl(&[version, &plimsoll.url("/headers")]);
        assert!(answer.contains(" 200"), "{answer}");
        let answer = answer.to_lowercase();
        for header in [
            "x-request-id: ",
            "traceparent: 00-",
            "x-forwarded-for: 127.0.0.1",
            "x-plimsoll-attempt: 1",
        ] {
            assert!(answer.contains(header), "{version} lacks {header}: {answer}");
        }
    }
    let head = curl(&["--head", &plimsoll.url("/headers")]);
    assert!(head.to_lowercase().contains("content-length: "), "{head}");
}

#[test]
fn bodies_pass_unharmed_in_every_framing() {
    let (_service, address) = service("http_service.py", &[]);
    let plimsoll = Plimsoll::in_front_of(&address);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let body: Vec<u8> = (0..5_000_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    file.write_all(&body).unwrap();
    let path = file.path().to_str().unwrap();
    let checksum = tool("sha256sum", &[path]);
    let wanted = format!("5000000 {}", checksum.split(' ').next().unwrap());
    let data = format!("@{path}");
    for framing in [
        &["--http1.1"][..],
        &["--http1.1", "-H", "Transfer-Encoding: chunked"],
        &["--http1.1", "-H", "Expect: 100-continue"],
        &["--http2-prior-knowledge"],
    ] {
        let url = plimsoll.url("/upload");
        let answer = curl(&[framing, &["--data-binary", &data, &url]].concat());
        assert!(answer.contains(&wanted), "{framing:?}: {answer}");
    }
}

#[test]
fn events_arrive_as_a_stream() {
    let (_service, address) = service("http_service.py", &[]);
    let plimsoll = Plimsoll::in_front_of(&address);
    let answer = curl(&["-N", &plimsoll.url("/events/200")]);
    assert!(
        answer.contains("data: 0\n") && answer.contains("data: 199\n"),
        "{answer}"
    );
}

#[test]
fn h2load_sees_no_failure() {
    let (_service, address) = service("http_service.py", &[]);
    // 64 at once are more than a service in Python bears on a machine that does something else: what is tested is the
    // protocol, and not who is shed.
    let plimsoll = Plimsoll::configured(&format!(
        "listeners: [{{ name: ingress, listen: '127.0.0.1:0' }}]
upstreams: [{{ name: app, endpoints: ['http://{address}'], adaptive: off, breaker: off, outlier: off }}]
admin: {{ listen: '127.0.0.1:0' }}
"
    ));
    let report = tool(
        "h2load",
        &["-n", "2000", "-c", "8", "-m", "8", &plimsoll.url("/headers")],
    );
    assert!(
        report.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"),
        "{report}"
    );
}

#[test]
fn grpc_calls_of_all_four_kinds_pass() {
    let (_service, address) = service("grpc_peer.py", &["serve"]);
    let plimsoll = Plimsoll::configured(&format!(
        "listeners:
  - name: ingress
    listen: 127.0.0.1:0
    routes: [{{ name: echo, path: '/plimsoll.test.Echo/{{method}}', upstream: echo }}]
upstreams: [{{ name: echo, endpoints: ['http://{address}'], protocol: http2 }}]
admin: {{ listen: '127.0.0.1:0' }}
"
    ));
    let said = client("grpc_peer.py", &["call", &plimsoll.ingress]);
    assert_eq!(said.matches("ok ").count(), 11, "{said}");
}

#[test]
fn googles_own_health_service_is_understood() {
    let (_service, address) = service("grpc_peer.py", &["serve"]);
    let upstream = |name: &str, grpc: &str| {
        format!(
            "  - name: {name}
    endpoints: ['http://{address}']
    protocol: http2
    health: {{ interval: 100ms, timeout: 100ms, fall: 1, grpc: {grpc} }}
"
        )
    };
    let upstreams = [
        upstream("whole", "on"),
        upstream("echo", "{ service: plimsoll.test.Echo }"),
        upstream("sick", "{ service: plimsoll.test.Sick }"),
        upstream("unknown", "{ service: plimsoll.test.Nobody }"),
    ];
    let plimsoll = Plimsoll::configured(&format!(
        "listeners: [{{ name: ingress, listen: '127.0.0.1:0', routes: [{{ name: all, upstream: whole }}] }}]
upstreams:
{}admin: {{ listen: '127.0.0.1:0' }}
",
        upstreams.concat()
    ));
    let endpoint = format!("version=\"stable\",endpoint=\"{address}\"");
    let up = |name: &str, up: u8| format!("plimsoll_endpoint_up{{upstream=\"{name}\",{endpoint}}} {up}\n");
    let page = curl_until(&[&plimsoll.admin_url("/metrics")], |page| {
        page.contains(&up("sick", 0)) && page.contains(&up("unknown", 0))
    });
    assert!(
        page.contains(&up("whole", 1)) && page.contains(&up("echo", 1)),
        "{page}"
    );
}

#[test]
fn a_websocket_talks_through() {
    let (_service, address) = service("websocket_peer.py", &["serve"]);
    let plimsoll = Plimsoll::in_front_of(&address);
    assert_eq!(
        client("websocket_peer.py", &["talk", &plimsoll.ingress]),
        "ok websocket\n"
    );
}

#[test]
fn a_killed_service_is_told_of_and_its_return_is_noticed() {
    let (killed, address) = service("http_service.py", &[]);
    let mut plimsoll = Plimsoll::in_front_of(&address);
    assert!(curl(&[&plimsoll.url("/headers")]).contains(" 200"));
    killed.signal("-KILL");
    drop(killed);
    let answer = curl_until(&[&plimsoll.url("/headers")], |answer| {
        answer.contains("upstream-refused")
    });
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(
        answer.contains(r#""delivered":"no""#) && answer.contains(r#""retriable":"safe""#),
        "{answer}"
    );
    let line = plimsoll.wait_for_log("request");
    assert_eq!(
        (&line["reason"], &line["class"]),
        (&"upstream-refused".into(), &"bad".into())
    );
    let port = address.rsplit(':').next().unwrap();
    let (_service, _) = service("http_service.py", &[port]);
    curl_until(&[&plimsoll.url("/headers")], |answer| answer.contains(" 200"));
}

fn in_front(address: &str, total: &str) -> String {
    format!(
        "listeners:
  - name: ingress
    listen: 127.0.0.1:0
    routes: [{{ name: all, path: '/{{*rest}}', upstream: service, deadline: {{ total: {total} }} }}]
upstreams: [{{ name: service, endpoints: ['http://{address}'] }}]
admin: {{ listen: '127.0.0.1:0' }}
"
    )
}

#[test]
fn a_hangup_reloads_all_or_nothing() {
    let (_service, address) = service("http_service.py", &[]);
    let mut plimsoll = Plimsoll::configured(&in_front(&address, "10s"));
    assert!(curl(&[&plimsoll.url("/slow/300")]).contains(" 200"));
    // Long enough for a machine that does something else, and short beside what is asked for.
    plimsoll.rewrite(&in_front(&address, "1s"));
    plimsoll.process.signal("-HUP");
    let change = plimsoll.wait_for_log("configuration changed");
    assert!(
        change["change"].as_str().unwrap().contains("total: 10s -> 1s"),
        "{change}"
    );
    let late = curl(&[&plimsoll.url("/slow/5000")]);
    assert!(
        late.starts_with("HTTP/1.1 504") && late.contains("deadline-exceeded"),
        "{late}"
    );
    plimsoll.rewrite("listeners: [{ name: ingress, listen: nowhere }]");
    plimsoll.process.signal("-HUP");
    let refused = plimsoll.wait_for_log("configuration refused");
    assert!(refused["problem"].as_str().unwrap().contains(":1:"), "{refused}");
    assert!(
        curl(&[&plimsoll.url("/headers")]).contains(" 200"),
        "the old configuration runs on"
    );
}

#[test]
fn an_objective_that_is_broken_keeps_nobody_from_starting() {
    let (_service, address) = service("http_service.py", &[]);
    let with = |objectives: &str| format!("{}objectives: [{objectives}]\n", in_front(&address, "10s"));
    let good = "{ name: good, target: 99% }";
    let plimsoll = Plimsoll::configured(&with(&format!(
        "{{ name: gone, target: 99%, routes: [nowhere] }}, {good}"
    )));
    assert!(curl(&[&plimsoll.url("/headers")]).contains(" 200"));
    let judged = curl(&[&plimsoll.admin_url("/api/v1/objectives")]);
    assert!(
        judged.contains("\"good\"") && !judged.contains("\"gone\""),
        "{judged}"
    );
    let status = curl(&["-H", "accept: text/plain", &plimsoll.admin_url("/status")]);
    assert!(
        status.contains("! Broken since the start, and not judged: ")
            && status.contains("objectives.gone.routes[0]: there is no route `nowhere`"),
        "{status}"
    );
    // What runs is not given up for one that is broken; and it is mended by one that is not.
    let answer = curl(&["-X", "POST", &plimsoll.admin_url("/reload?text")]);
    assert!(answer.contains("objectives.gone.routes[0]"), "{answer}");
    plimsoll.rewrite(&with(good));
    let answer = curl(&["-X", "POST", &plimsoll.admin_url("/reload?text")]);
    assert!(answer.contains("applied"), "{answer}");
    let status = curl(&["-H", "accept: text/plain", &plimsoll.admin_url("/status")]);
    assert!(!status.contains("not judged"), "{status}");
}

#[test]
fn a_reload_says_what_has_to_wait_for_the_next_start() {
    let (_service, address) = service("http_service.py", &[]);
    let first = in_front(&address, "10s");
    let mut plimsoll = Plimsoll::configured(&first);
    let reload = |yaml: &str| {
        plimsoll.rewrite(yaml);
        curl(&["-X", "POST", &plimsoll.admin_url("/reload?text")])
    };
    let second = in_front(&address, "100ms").replace("admin: { listen: '127.0.0.1:0' }", "cores: 7");
    let answer = reload(&second);
    let waits = "takes effect at the next start: admin.listen\n";
    assert!(
        answer.contains("total: 10s -> 100ms") && answer.contains("cores: 0 -> 7") && answer.ends_with(waits),
        "{answer}"
    );
    let late = curl(&[&plimsoll.url("/slow/300")]);
    assert!(late.contains("deadline-exceeded"), "the rest is applied: {late}");
    // Still so after a reload that changes nothing of it, and no more once it is taken back.
    let answer = reload(&second);
    assert!(
        answer.contains("nothing changes") && answer.ends_with(waits),
        "{answer}"
    );
    let status = curl(&[&plimsoll.admin_url("/status")]);
    assert!(
        status.contains("takes effect at the next start: admin.listen."),
        "{status}"
    );
    let answer = reload(&first);
    assert!(!answer.contains("next start"), "{answer}");
    let line = plimsoll.wait_for_log("takes effect at the next start");
    assert_eq!(
        (&line["keys"], &line["level"]),
        (&"admin.listen".into(), &"warn".into())
    );
}

/// In front of `address`, with a collector at `otlp` that is sent everything each second.
fn collected(address: &str, otlp: &str) -> String {
    format!(
        "{}observe: {{ trace_share: 100% }}\ntelemetry: {{ otlp: {{ {otlp}, send_every: 1s }} }}\n",
        in_front(address, "10s")
    )
}

#[test]
fn opentelemetrys_own_decoder_reads_traces_and_metrics() {
    let (_service, address) = service("http_service.py", &[]);
    let (mut collector, otlp) = service("otlp_peer.py", &[]);
    let plimsoll = Plimsoll::configured(&collected(&address, &format!("endpoint: 'http://{otlp}'")));
    for _ in 0..3 {
        assert!(curl(&[&plimsoll.url("/headers")]).contains(" 200"));
    }
    exports(&mut collector, 3);
}

#[test]
fn a_collector_behind_tls_is_verified() {
    let (_service, address) = service("http_service.py", &[]);
    let files = tempfile::tempdir().unwrap();
    let [ca, certificate, key] = certificates(files.path());
    let (mut collector, otlp) = service("otlp_peer.py", &[&certificate, &key]);
    let port = otlp.rsplit(':').next().unwrap();
    let endpoint = format!("endpoint: 'https://localhost:{port}'");
    let plimsoll = Plimsoll::configured(&collected(
        &address,
        &format!("{endpoint}, tls: {{ ca: '{ca}' }}"),
    ));
    assert!(curl(&[&plimsoll.url("/headers")]).contains(" 200"));
    exports(&mut collector, 1);
    let refused = [
        ("the public authorities did not sign it", endpoint.clone()),
        (
            "it has another name",
            format!("{endpoint}, tls: {{ ca: '{ca}', server_name: other.example.com }}"),
        ),
    ];
    for (why, otlp) in refused {
        let mut plimsoll = Plimsoll::configured(&collected(&address, &otlp));
        let line = plimsoll.wait_for_log("the collector does not take metrics, which are dropped");
        assert!(
            line["cause"].as_str().unwrap().contains("certificate"),
            "{why}: {line}"
        );
    }
}

/// Waits until a collector has seen the spans of `requests` requests and counted as many.
#[track_caller]
fn exports(collector: &mut Process, requests: u64) {
    // One for each request, and one for its attempt; they may come in any batches.
    let mut spans: BTreeMap<u64, u64> = BTreeMap::new();
    let whole = BTreeMap::from([(2, requests), (3, requests)]);
    let (mut traced, mut counted) = (None, None);
    let end = Instant::now() + PATIENCE;
    while spans != whole || counted.is_none() {
        assert!(
            Instant::now() < end,
            "spans by kind: {spans:?}, counted: {counted:?}"
        );
        let line = collector.wait_for("export", |line| {
            serde_json::from_str::<serde_json::Value>(line).ok()
        });
        assert_eq!(line.get("error"), None, "{line}");
        if line["path"] == "/v1/traces" {
            for kind in line["kinds"].as_array().unwrap() {
                *spans.entry(kind.as_u64().unwrap()).or_default() += 1;
            }
            traced = Some(line["resource"].clone());
            continue;
        }
        let metrics = &line["metrics"];
        let durations = &metrics["plimsoll_request_duration_seconds"];
        if durations["values"][0] == requests {
            assert_eq!(
                (&durations["kind"], &durations["unit"]),
                (&"histogram".into(), &"s".into())
            );
            assert_eq!(
                metrics["plimsoll_requests"],
                serde_json::json!({ "kind": "sum", "unit": "", "values": [requests] })
            );
            assert_eq!(metrics["plimsoll_build_info"]["kind"], "gauge");
            counted = Some(line["resource"].clone());
        }
    }
    let resource = traced.unwrap();
    assert_eq!(Some(&resource), counted.as_ref());
    assert_eq!(resource["service.name"], "plimsoll");
    assert!(!resource["service.instance.id"].as_str().unwrap().is_empty());
}

#[test]
fn a_collector_that_takes_no_metrics_is_told_of() {
    let (_service, address) = service("http_service.py", &[]);
    let (gone, otlp) = service("otlp_peer.py", &[]);
    drop(gone);
    let mut plimsoll = Plimsoll::configured(&collected(&address, &format!("endpoint: 'http://{otlp}'")));
    let line = plimsoll.wait_for_log("the collector does not take metrics, which are dropped");
    assert_eq!(line["level"], "warn");
    assert!(
        line["cause"].as_str().unwrap().contains("cannot be reached"),
        "{line}"
    );
    let status = curl(&[&plimsoll.admin_url("/status")]);
    assert!(
        status.contains("! The collector does not take metrics, which are dropped; the log says why."),
        "{status}"
    );
}

#[test]
fn a_termination_drains() {
    let (_service, address) = service("http_service.py", &[]);
    let mut plimsoll = Plimsoll::in_front_of(&address);
    let url = plimsoll.url("/slow/800");
    let slow = std::thread::Builder::new().spawn(move || curl(&[&url])).unwrap();
    // The request is under way when its connection is counted.
    let connections = plimsoll.admin_url("/metrics");
    curl_until(&[&connections], |page| {
        page.contains("plimsoll_listener_connections{listener=\"ingress\"} 1")
    });
    plimsoll.process.signal("-TERM");
    plimsoll.wait_for_log("draining");
    assert!(slow.join().unwrap().contains("at last"));
    assert_eq!(plimsoll.process.end(), Some(0));
}

#[test]
fn a_broken_configuration_never_starts() {
    let ran = crate::plimsoll(
        &["run", "--config", "/dev/stdin"],
        b"listeners: {}\nupstreems: []\n",
    );
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.err.contains("upstreems") && ran.err.contains("upstreams"),
        "{ran:?}"
    );
}

#[test]
fn an_objective_that_is_missed_pages_and_says_why() {
    let (_service, address) = service("http_service.py", &[]);
    let objectives = "objectives: [{ name: checkout, target: 99.9% }]\n";
    let mut plimsoll = Plimsoll::configured(&(in_front(&address, "10s") + objectives));
    assert!(curl(&[&plimsoll.url("/headers")]).contains(" 200"));
    // Six people. One who tries six times would be one, and no evidence.
    for caller in 1..=6 {
        let from = format!("x-forwarded-for: 192.0.2.{caller}");
        assert!(curl(&["-H", &from, &plimsoll.url("/status/500")]).contains(" 500"));
    }
    let line = plimsoll.wait_for_log("an objective pages");
    assert_eq!(line["objective"], "checkout");
    let verdict = line["verdict"].as_str().unwrap();
    assert!(verdict.contains("failed in the last hour"), "{verdict}");
    let metrics = curl(&[&plimsoll.admin_url("/metrics")]);
    let paged = r#"plimsoll_objective_calls{objective="checkout",severity="page"} 1"#;
    assert!(metrics.contains(paged), "{metrics}");
}

#[test]
fn what_was_counted_outlives_a_process_that_is_killed() {
    let (_service, address) = service("http_service.py", &[]);
    let objectives = "objectives: [{ name: checkout, target: 99.9% }]\n";
    let mut plimsoll = Plimsoll::configured(&(in_front(&address, "10s") + objectives));
    for _ in 0..5 {
        assert!(curl(&[&plimsoll.url("/headers")]).contains(" 200"));
    }
    let counted = |metrics: &str, count: u32| {
        metrics.contains(&format!(
            r#"plimsoll_objective_events{{objective="checkout",class="good"}} {count}"#
        ))
    };
    // What is judged is written down within a second.
    curl_until(&[&plimsoll.admin_url("/metrics")], |metrics| {
        counted(metrics, 5) && metrics.contains("plimsoll_state_unwritten 0")
    });
    plimsoll.process.signal("-KILL");
    assert_eq!(plimsoll.process.end(), None);
    let mut again = plimsoll.again();
    curl_until(&[&again.admin_url("/metrics")], |metrics| counted(metrics, 5));
    assert!(curl(&[&again.url("/headers")]).contains(" 200"));
    curl_until(&[&again.admin_url("/metrics")], |metrics| counted(metrics, 6));
    // It ends by itself, and nothing is counted twice.
    again.process.signal("-TERM");
    assert_eq!(again.process.end(), Some(0));
    let last = again.again();
    curl_until(&[&last.admin_url("/metrics")], |metrics| counted(metrics, 6));
}
