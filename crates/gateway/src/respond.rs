//! From a reason to an answer: the only place where Plimsoll chooses a status.
//!
//! HTTP callers get an RFC 9457 problem document, gRPC callers a status with `google.rpc` details; both carry the
//! row of the Reason table, so that a program can tell what happened, whether it was delivered and whether to retry.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use plimsoll_slo::{Delivered, Reason, RetrySafety};

use crate::fields::{Known, Own};
use crate::framing::Refusal;

/// What an answer of ours says, in one protocol or the other.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: StatusCode,
    pub(crate) own: Own,
    pub(crate) body: Bytes,
    /// An HTTP/1 connection cannot go on after it.
    pub(crate) close: bool,
}

/// An answer that we make ourselves.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) reason: Reason,
    /// What exactly happened, for the person who reads it: which rule, which limit, which error.
    pub(crate) cause: Option<std::borrow::Cow<'static, str>>,
    pub(crate) retry_after: Option<Duration>,
    /// Overrides the table's "delivered" when more is known, never to say less was delivered than could have been.
    pub(crate) delivered: Option<Delivered>,
    /// Status to pretend, for injected faults only.
    pub(crate) pretend: Option<(u16, u8)>,
    /// `Allow`, with method-not-allowed.
    pub(crate) allow: Option<String>,
    /// Do not answer at all, as an injected fault wants it.
    pub(crate) cut_off: bool,
    /// More fields.
    pub(crate) own: Own,
}

impl Refused {
    pub(crate) fn new(reason: Reason) -> Self {
        Self {
            reason,
            cause: None,
            retry_after: None,
            delivered: None,
            pretend: None,
            allow: None,
            cut_off: false,
            own: Own::new(),
        }
    }

    #[must_use]
    pub(crate) fn cause(mut self, cause: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    #[must_use]
    pub(crate) fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    fn delivered(&self) -> Delivered {
        self.delivered.unwrap_or(self.reason.info().delivered)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.reason).cause(refusal.cause)
    }
}

/// The answer in HTTP. `x-plimsoll-reason` is for callers that do not read bodies.
pub(crate) fn http(refused: &Refused, request_id: &str) -> Said {
    let info = refused.reason.info();
    let status = refused.pretend.map_or(info.status, |(status, _)| status);
    let mut own = refused.own.clone();
    own.push((
        Known::ContentType,
        HeaderValue::from_static("application/problem+json"),
    ));
    own.push((Known::Reason, HeaderValue::from_static(info.code)));
    if let Some(after) = refused.retry_after {
        own.push((Known::RetryAfter, HeaderValue::from(whole_seconds(after))));
    }
    let allow = refused.allow.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(allow)) = allow {
        own.push((Known::Allow, allow));
    }
    Said {
        // Every status of the table and of a checked fault is in 100..=999.
        status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        own,
        body: problem(refused, status, request_id).into(),
        close: closes_connection(refused.reason),
    }
}

/// The answer in gRPC: status 200 and trailers only, which here means headers only.
pub(crate) fn grpc(refused: &Refused, request_id: &str) -> Said {
    let info = refused.reason.info();
    let code = refused.pretend.map_or(info.grpc, |(_, grpc)| grpc);
    let message = match &refused.cause {
        Some(cause) => format!("{}: {cause}", info.title),
        None => info.title.to_owned(),
    };
    let mut own = refused.own.clone();
    own.push((Known::ContentType, HeaderValue::from_static("application/grpc")));
    own.push((Known::Reason, HeaderValue::from_static(info.code)));
    own.push((Known::GrpcStatus, HeaderValue::from(u16::from(code))));
    own.push((Known::GrpcMessage, percent_encoded(&message)));
    let details = grpc_details(refused, code, &message, request_id);
    if let Ok(value) = HeaderValue::from_str(&base64(&details)) {
        own.push((Known::GrpcDetails, value));
    }
    if let Some(after) = refused.retry_after {
        let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        own.push((Known::GrpcPushback, HeaderValue::from(millis)));
    } else if info.retry == RetrySafety::Never {
        own.push((Known::GrpcPushback, HeaderValue::from_static("-1")));
    }
    Said {
        status: StatusCode::OK,
        own,
        body: Bytes::new(),
        close: closes_connection(refused.reason),
    }
}

/// The end of a gRPC call whose answer has begun.
pub(crate) fn grpc_trailers(refused: &Refused, request_id: &str) -> HeaderMap {
    let own = grpc(refused, request_id).own.into_iter();
    let trailing = own.filter(|(known, _)| *known != Known::ContentType);
    trailing
        .map(|(known, value)| (HeaderName::from_static(known.name()), value))
        .collect()
}

/// A whole HTTP/1.1 answer in bytes, to what is no request. It ends the connection.
pub(crate) fn last_words(refusal: Refusal) -> Vec<u8> {
    let said = http(&Refused::from(refusal), "");
    let mut text = format!(
        "HTTP/1.1 {} {}\r\n",
        said.status.as_u16(),
        said.status.canonical_reason().unwrap_or("")
    );
    for (name, value) in &said.own {
        let _ = write!(text, "{}: {}\r\n", name.name(), value.to_str().unwrap_or(""));
    }
    let _ = write!(
        text,
        "content-length: {}\r\nconnection: close\r\n\r\n",
        said.body.len()
    );
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&said.body);
    bytes
}

/// After these the rest of the request is unread or cannot be trusted, so an HTTP/1 connection cannot go on.
fn closes_connection(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::MalformedRequest
            | Reason::AmbiguousFraming
            | Reason::InvalidHost
            | Reason::EarlyUpgradeData
            | Reason::SlowRequest
            | Reason::BodyTooLarge
            | Reason::HeadTooLarge
            | Reason::TargetTooLong
            | Reason::Draining
    )
}

fn problem(refused: &Refused, status: u16, request_id: &str) -> String {
    let info = refused.reason.info();
    let mut json = String::with_capacity(512);
    let _ = write!(
        json,
        r#"{{"type":"urn:plimsoll:reason:{code}","title":"{title}","status":{status},"detail":"#,
        code = info.code,
        title = info.title,
    );
    json_string(&mut json, info.explain);
    let _ = write!(json, r#","code":"{}","cause":"#, info.code);
    json_string(&mut json, refused.cause.as_deref().unwrap_or(info.title));
    let _ = write!(
        json,
        r#","blame":"{}","delivered":"{}","retriable":"{}""#,
        info.blame.word(),
        refused.delivered().word(),
        info.retry.word(),
    );
    if let Some(after) = refused.retry_after {
        let _ = write!(json, r#","retry_after_ms":{}"#, after.as_millis());
    }
    if !request_id.is_empty() {
        json.push_str(r#","request_id":"#);
        json_string(&mut json, request_id);
    }
    json.push_str("}\n");
    json
}

/// Appends `text` as a JSON string (RFC 8259 §7).
pub(crate) fn json_string(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            c => json.push(c),
        }
    }
    json.push('"');
}

/// `Retry-After` is in whole seconds; rounding up never sends anyone back too early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// Percent-encoding of `grpc-message` (gRPC over HTTP/2, "Responses").
fn percent_encoded(text: &str) -> HeaderValue {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, 0x20..=0x7e) && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    HeaderValue::from_str(&encoded).unwrap_or(HeaderValue::from_static(""))
}

/// `google.rpc.Status` with an `ErrorInfo`, and a `RetryInfo` when the wait is known.
fn grpc_details(refused: &Refused, code: u8, message: &str, request_id: &str) -> Vec<u8> {
    let info = refused.reason.info();
    let mut error_info = Vec::new();
    proto_bytes(&mut error_info, 1, info.code.as_bytes());
    proto_bytes(&mut error_info, 2, b"plimsoll");
    let metadata = [
        ("blame", info.blame.word()),
        ("delivered", refused.delivered().word()),
        ("retriable", info.retry.word()),
        ("request_id", request_id),
    ];
    for (key, value) in metadata {
        let mut entry = Vec::new();
        proto_bytes(&mut entry, 1, key.as_bytes());
        proto_bytes(&mut entry, 2, value.as_bytes());
        proto_bytes(&mut error_info, 3, &entry);
    }
    let mut status = Vec::new();
    proto_varint(&mut status, 1, u64::from(code));
    proto_bytes(&mut status, 2, message.as_bytes());
    proto_bytes(
        &mut status,
        3,
        &any("type.googleapis.com/google.rpc.ErrorInfo", &error_info),
    );
    if let Some(after) = refused.retry_after {
        let mut delay = Vec::new();
        proto_varint(&mut delay, 1, after.as_secs());
        proto_varint(&mut delay, 2, u64::from(after.subsec_nanos()));
        let mut retry_info = Vec::new();
        proto_bytes(&mut retry_info, 1, &delay);
        proto_bytes(
            &mut status,
            3,
            &any("type.googleapis.com/google.rpc.RetryInfo", &retry_info),
        );
    }
    status
}

fn any(type_url: &str, value: &[u8]) -> Vec<u8> {
    let mut any = Vec::new();
    proto_bytes(&mut any, 1, type_url.as_bytes());
    proto_bytes(&mut any, 2, value);
    any
}

fn proto_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn proto_varint(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3);
    varint(out, value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Base64 without padding, as gRPC's binary headers have it.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * index) & 63) as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_makes_a_whole_answer() {
        for &reason in Reason::ALL {
            let refused = Refused::new(reason)
                .cause("a \"cause\"\n")
                .retry_after(Duration::from_millis(1500));
            let said = http(&refused, "id-1");
            let value = |said: &Said, name| {
                let found = said.own.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| value.to_str().unwrap().to_owned())
            };
            assert_eq!(said.status.as_u16(), reason.info().status);
            assert_eq!(value(&said, Known::RetryAfter).as_deref(), Some("2"));
            let body = String::from_utf8(said.body.to_vec()).unwrap();
            assert!(body.contains(&format!("\"code\":\"{reason}\"")), "{body}");
            assert!(body.contains(r#""cause":"a \"cause\"\n""#), "{body}");
            let said = grpc(&refused, "id-1");
            assert_eq!(said.status, 200);
            assert_eq!(value(&said, Known::GrpcPushback).as_deref(), Some("1500"));
            assert!(value(&said, Known::GrpcDetails).is_some());
        }
    }

    #[test]
    fn base64_agrees_with_the_rfc() {
        let cases = [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, encoded) in cases {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
