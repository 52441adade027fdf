//! From an event to spans: one of kind SERVER for the request, one of kind CLIENT for each attempt.
//!
//! Names are those of the OpenTelemetry semantic conventions 1.44: HTTP stable, RPC release candidate. What has no
//! name there begins with `plimsoll.`. This is the JSON encoding of protobuf as OTLP wants it: ids in hex, 64-bit
//! integers as strings, enums as numbers.

use std::time::Duration;

use gateway::event::{AttemptNote, Event, Traced};
use http::Method;
use plimsoll_slo::Class;
use serde_json::{Value, json};

const SCHEMA: &str = "https://opentelemetry.io/schemas/1.44.0";

/// `SpanKind` and `StatusCode` of the protocol.
const KIND_SERVER: u8 = 2;
const KIND_CLIENT: u8 = 3;
const STATUS_UNSET: u8 = 0;
const STATUS_ERROR: u8 = 2;

/// Bits of `flags` above the trace flags: it is known whether the parent is remote, and it is.
const REMOTENESS_KNOWN: u32 = 0x100;
const REMOTE: u32 = 0x200;

/// The body of an export: an `ExportTraceServiceRequest`.
pub(super) fn request(events: &[Box<Event>], resource: &[(String, String)]) -> Value {
    let resource: Vec<Value> = resource.iter().map(|(name, value)| text(name, value)).collect();
    let spans: Vec<Value> = events.iter().flat_map(|event| spans(event)).collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": resource },
        "scopeSpans": [{
            "scope": { "name": "plimsoll", "version": env!("CARGO_PKG_VERSION") },
            "spans": spans,
            "schemaUrl": SCHEMA,
        }],
        "schemaUrl": SCHEMA,
    }] })
}

fn spans(event: &Event) -> Vec<Value> {
    let mut spans = vec![server(event)];
    spans.extend(
        event
            .attempts
            .iter()
            .enumerate()
            .map(|(number, attempt)| client(event, number, attempt)),
    );
    spans
}

fn server(event: &Event) -> Value {
    let trace = &event.trace;
    let end = event.began + event.outcome.latency;
    let is_bad = matches!(event.outcome.class, Class::Bad(_));
    let code = if event.status >= 500 || is_bad {
        STATUS_ERROR
    } else {
        STATUS_UNSET
    };
    let mut status = json!({ "code": code });
    if let Some(cause) = event.cause.as_deref().filter(|_| code == STATUS_ERROR) {
        status["message"] = cause.into();
    }
    let (method, _) = method(&event.method);
    // A span's name must be one of few: the route's name, never the path.
    let name = match (&*event.route, method) {
        ("-", "_OTHER") => "HTTP".to_owned(),
        ("-", method) => method.to_owned(),
        (route, "_OTHER") => format!("HTTP {route}"),
        (route, method) => format!("{method} {route}"),
    };
    let mut span = span(event, KIND_SERVER, (event.began, end));
    span["spanId"] = format!("{:016x}", trace.span_id).into();
    if trace.parent_id != 0 {
        span["parentSpanId"] = format!("{:016x}", trace.parent_id).into();
    }
    span["flags"] = (u32::from(trace.sampled) | REMOTENESS_KNOWN | REMOTE).into();
    span["name"] = name.into();
    span["attributes"] = server_attributes(event).into();
    span["status"] = status;
    span
}

fn server_attributes(event: &Event) -> Vec<Value> {
    let outcome = &event.outcome;
    let mut attributes = method_attributes(&event.method);
    attributes.push(text("url.path", &event.path));
    attributes.push(text("url.scheme", event.scheme));
    if let Some(template) = &event.template {
        attributes.push(text("http.route", template));
    }
    if event.status != 0 {
        attributes.push(whole("http.response.status_code", event.status.into()));
    }
    if let Some(client) = event.client {
        attributes.push(text("client.address", &client.to_string()));
    }
    if let Some(code) = event.grpc_status {
        attributes.push(text("rpc.system.name", "grpc"));
        attributes.push(text("rpc.response.status_code", grpc_name(code)));
    }
    if let Class::Bad(reason) = outcome.class {
        attributes.push(text("error.type", reason.code()));
    }
    if let Some(reason) = outcome.class.reason() {
        attributes.push(text("plimsoll.reason", reason.code()));
    }
    for (name, label) in [
        ("plimsoll.listener", &event.listener),
        ("plimsoll.route", &event.route),
        ("plimsoll.tier", &event.tier),
        ("plimsoll.upstream", &event.upstream),
        ("plimsoll.version", &event.version),
    ] {
        attributes.push(text(name, label));
    }
    attributes.push(text("plimsoll.priority", event.priority.word()));
    attributes.push(text("plimsoll.request_id", &event.request_id));
    attributes.push(text("plimsoll.class", outcome.class.word()));
    attributes.push(whole("plimsoll.attempts", outcome.attempts.into()));
    if let Some(stopped) = event.retry_stopped {
        attributes.push(text("plimsoll.retry_stopped", stopped));
    }
    attributes.push(text(
        "plimsoll.sampled_because",
        event.traced.map_or("-", Traced::word),
    ));
    attributes
}

fn client(event: &Event, number: usize, attempt: &AttemptNote) -> Value {
    let began = event.began + attempt.after;
    // For a client any status from 400 on is an error, whoever is to blame.
    let failed = attempt.reason.is_some() || attempt.status.is_some_and(|status| status >= 400);
    let mut attributes = method_attributes(&event.method);
    let (host, port) = address(&attempt.endpoint);
    attributes.push(text("server.address", host));
    if let Some(port) = port {
        attributes.push(whole("server.port", port.into()));
    }
    if let Some(status) = attempt.status {
        attributes.push(whole("http.response.status_code", status.into()));
    }
    if number > 0 {
        attributes.push(whole("http.request.resend_count", number as u64));
    }
    match (attempt.reason, attempt.status) {
        (Some(reason), _) => attributes.push(text("error.type", reason.code())),
        (None, Some(status)) if failed => attributes.push(text("error.type", &status.to_string())),
        _ => {}
    }
    attributes.push(text("plimsoll.upstream", &event.upstream));
    attributes.push(text("plimsoll.version", &event.version));
    let marks = [
        ("plimsoll.hedge", attempt.hedge),
        ("plimsoll.cancelled", attempt.cancelled),
    ];
    attributes.extend(marks.into_iter().filter(|(_, is)| *is).map(|(name, _)| yes(name)));
    let mut span = span(event, KIND_CLIENT, (began, began + attempt.took));
    span["spanId"] = format!("{:016x}", event.trace.attempt(number as u32 + 1)).into();
    span["parentSpanId"] = format!("{:016x}", event.trace.span_id).into();
    span["flags"] = (u32::from(event.trace.sampled) | REMOTENESS_KNOWN).into();
    span["name"] = match method(&event.method) {
        ("_OTHER", _) => "HTTP".into(),
        (method, _) => method.into(),
    };
    span["attributes"] = attributes.into();
    span["status"] = json!({ "code": if failed { STATUS_ERROR } else { STATUS_UNSET } });
    span
}

fn span(event: &Event, kind: u8, (began, ended): (Duration, Duration)) -> Value {
    json!({
        "traceId": format!("{:032x}", event.trace.trace_id),
        "kind": kind,
        "startTimeUnixNano": began.as_nanos().to_string(),
        "endTimeUnixNano": ended.as_nanos().to_string(),
    })
}

/// The method if it is one of the conventions', else `_OTHER` and what it really was.
fn method(method: &Method) -> (&str, Option<&str>) {
    let known = matches!(
        *method,
        Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::DELETE
            | Method::CONNECT
            | Method::OPTIONS
            | Method::TRACE
            | Method::PATCH
    );
    if known {
        (method.as_str(), None)
    } else {
        ("_OTHER", Some(method.as_str()))
    }
}

fn method_attributes(given: &Method) -> Vec<Value> {
    let (method, original) = method(given);
    let mut attributes = vec![text("http.request.method", method)];
    attributes.extend(original.map(|original| text("http.request.method_original", original)));
    attributes
}

/// Host and port of an endpoint; a Unix socket has no port.
fn address(endpoint: &str) -> (&str, Option<u16>) {
    match endpoint.rsplit_once(':') {
        _ if endpoint.starts_with("unix:") => (endpoint.trim_start_matches("unix:"), None),
        Some((host, port)) => (host.trim_matches(['[', ']']), port.parse().ok()),
        None => (endpoint, None),
    }
}

/// The name of a gRPC status code (google.rpc.Code).
fn grpc_name(code: u8) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    NAMES.get(usize::from(code)).copied().unwrap_or("UNKNOWN")
}

/// An attribute.
pub(super) fn text(name: &str, value: &str) -> Value {
    json!({ "key": name, "value": { "stringValue": value } })
}

/// An attribute that is there or not.
fn yes(name: &str) -> Value {
    json!({ "key": name, "value": { "boolValue": true } })
}

fn whole(name: &str, value: u64) -> Value {
    json!({ "key": name, "value": { "intValue": value.to_string() } })
}
