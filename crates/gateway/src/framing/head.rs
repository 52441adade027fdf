//! A request's head, from the request line to the empty line.

use memchr::memchr;
use plimsoll_slo::Reason;

use super::{Refusal, TOKEN, VALUE, all, trim};

/// Bounds on a head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    pub(crate) bytes: usize,
    pub(crate) headers: usize,
    pub(crate) target: usize,
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    Length(u64),
    Chunked,
    /// Nothing may follow until the upgrade has been answered.
    Upgrade,
}

/// What the scanner saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// The empty line has not come yet, and nothing wrong has.
    Partial,
    /// A whole, plain head of `length` bytes.
    Whole { length: usize, body: Body },
}

/// What the lines seen so far say about framing.
#[derive(Default)]
struct Seen {
    http_1_0: bool,
    hosts: u32,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
    connection_upgrade: bool,
}

/// Scans a head from its first byte.
///
/// Every line must end in CRLF: a bare LF or CR is refused, since servers disagree about them.
///
/// # Errors
/// [`Refusal`] with the first rule that is broken; a partial head is refused as soon as it can be.
pub(crate) fn scan(bytes: &[u8], limits: &HeadLimits) -> Result<Head, Refusal> {
    // RFC 9112 §2.2: a server should ignore an empty line before the request line. One, and only a whole one.
    let mut at = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let mut seen = Seen::default();
    let mut lines = 0;
    while let Some(length) = memchr(b'\n', &bytes[at..]) {
        let end = at + length + 1;
        if end > limits.bytes {
            return Err(Refusal::new(
                Reason::HeadTooLarge,
                "the head is larger than the limit",
            ));
        }
        let Some(line) = bytes[at..end - 1].strip_suffix(b"\r") else {
            return Err(Refusal::malformed(
                "a line ends in a bare LF; it must end in CRLF",
            ));
        };
        if lines == 0 {
            request_line(line, limits, &mut seen)?;
        } else if line.is_empty() {
            return Ok(Head::Whole {
                length: end,
                body: seen.body()?,
            });
        } else {
            header(line, &mut seen)?;
            if lines > limits.headers {
                return Err(Refusal::new(
                    Reason::HeadTooLarge,
                    "there are more headers than the limit",
                ));
            }
        }
        lines += 1;
        at = end;
    }
    if bytes.len() > limits.bytes {
        return Err(Refusal::new(
            Reason::HeadTooLarge,
            "the head is larger than the limit",
        ));
    }
    if lines == 0 && bytes.len() > limits.target + 64 {
        return Err(Refusal::new(
            Reason::TargetTooLong,
            "the request line is longer than the limit",
        ));
    }
    Ok(Head::Partial)
}

fn request_line(line: &[u8], limits: &HeadLimits, seen: &mut Seen) -> Result<(), Refusal> {
    let mut parts = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::malformed(
            "the request line is not `METHOD target HTTP/1.1` with single spaces",
        ));
    };
    if method.is_empty() || !all(&TOKEN, method) {
        return Err(Refusal::malformed("the method is not a token"));
    }
    if target.len() > limits.target {
        return Err(Refusal::new(
            Reason::TargetTooLong,
            "the request target is longer than the limit",
        ));
    }
    if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) || target.contains(&b'#') {
        return Err(Refusal::malformed(
            "the request target holds bytes that a URI may not",
        ));
    }
    if method == b"CONNECT" {
        // Whatever follows was meant for the tunnel, so the connection cannot go on: read as a request, it would be
        // one that its sender never made (draft-ietf-httpbis-optimistic-upgrade).
        return Err(Refusal::new(
            Reason::MethodNotAllowed,
            "CONNECT is not offered: Plimsoll is no open proxy",
        ));
    }
    if target[0] != b'/' && target != b"*" && memchr::memmem::find(target, b"://").is_none() {
        return Err(Refusal::malformed(
            "the request target is neither a path nor a whole URI",
        ));
    }
    match version {
        b"HTTP/1.1" => Ok(()),
        b"HTTP/1.0" => {
            seen.http_1_0 = true;
            Ok(())
        }
        _ => Err(Refusal::malformed("the version is neither HTTP/1.1 nor HTTP/1.0")),
    }
}

fn header(line: &[u8], seen: &mut Seen) -> Result<(), Refusal> {
    if matches!(line[0], b' ' | b'\t') {
        return Err(Refusal::malformed(
            "a header line begins with white space (folding is obsolete)",
        ));
    }
    let Some(colon) = memchr(b':', line) else {
        return Err(Refusal::malformed("a header line has no colon"));
    };
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if matches!(name.last(), Some(b' ' | b'\t')) {
        return Err(Refusal::malformed(
            "there is white space between a header's name and its colon",
        ));
    }
    if name.is_empty() || !all(&TOKEN, name) {
        return Err(Refusal::malformed("a header name is not a token"));
    }
    if !all(&VALUE, value) {
        return Err(Refusal::malformed("a header value holds a control character"));
    }
    // Told apart by length first, so that most headers cost one comparison.
    match name.len() {
        4 if name.eq_ignore_ascii_case(b"host") => host(trim(value), seen),
        7 if name.eq_ignore_ascii_case(b"upgrade") => {
            // h2c by upgrade is obsolete (RFC 9113 §3.1): the header is dropped later, and HTTP/1.1 goes on.
            seen.upgrade |= !trim(value).eq_ignore_ascii_case(b"h2c");
            Ok(())
        }
        10 if name.eq_ignore_ascii_case(b"connection") => {
            seen.connection_upgrade |= value
                .split(|b| *b == b',')
                .any(|part| trim(part).eq_ignore_ascii_case(b"upgrade"));
            Ok(())
        }
        14 if name.eq_ignore_ascii_case(b"content-length") => content_length(trim(value), seen),
        17 if name.eq_ignore_ascii_case(b"transfer-encoding") => transfer_encoding(trim(value), seen),
        _ => Ok(()),
    }
}

fn host(value: &[u8], seen: &mut Seen) -> Result<(), Refusal> {
    seen.hosts += 1;
    let plain = |b: &u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'%' | b'~')
    };
    if seen.hosts > 1 {
        Err(Refusal::new(
            Reason::InvalidHost,
            "there is more than one Host header",
        ))
    } else if value.is_empty() || !value.iter().all(plain) {
        Err(Refusal::new(
            Reason::InvalidHost,
            "the Host header is not a host and optional port",
        ))
    } else {
        Ok(())
    }
}

fn content_length(value: &[u8], seen: &mut Seen) -> Result<(), Refusal> {
    if seen.length.is_some() {
        return Err(Refusal::ambiguous("there is more than one Content-Length"));
    }
    // 18 digits stay far from overflow and are a hundred thousand times the largest disk.
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::ambiguous("Content-Length is not a plain decimal number"));
    }
    seen.length = Some(
        value
            .iter()
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')),
    );
    Ok(())
}

fn transfer_encoding(value: &[u8], seen: &mut Seen) -> Result<(), Refusal> {
    if seen.chunked {
        return Err(Refusal::ambiguous("there is more than one Transfer-Encoding"));
    }
    if !value.eq_ignore_ascii_case(b"chunked") {
        return Err(Refusal::ambiguous("Transfer-Encoding is not exactly `chunked`"));
    }
    seen.chunked = true;
    Ok(())
}

impl Seen {
    fn body(&self) -> Result<Body, Refusal> {
        if self.hosts == 0 && !self.http_1_0 {
            return Err(Refusal::new(Reason::InvalidHost, "there is no Host header"));
        }
        if self.chunked && self.http_1_0 {
            return Err(Refusal::ambiguous("an HTTP/1.0 request has a Transfer-Encoding"));
        }
        if self.chunked && self.length.is_some() {
            return Err(Refusal::ambiguous(
                "there are both a Content-Length and a Transfer-Encoding",
            ));
        }
        if self.upgrade && self.connection_upgrade {
            return match (self.chunked, self.length) {
                (false, None | Some(0)) => Ok(Body::Upgrade),
                _ => Err(Refusal::new(
                    Reason::EarlyUpgradeData,
                    "an Upgrade request has a body",
                )),
            };
        }
        Ok(match (self.chunked, self.length) {
            (true, _) => Body::Chunked,
            (false, None | Some(0)) => Body::None,
            (false, Some(length)) => Body::Length(length),
        })
    }
}
