//! A request's head, from the request line to the empty line.

use std::ops::Range;

use memchr::memchr;
use plimsoll_slo::Reason;

use super::{Refusal, TARGET, TOKEN, all, is_value, part, trim, within};
use crate::fields::{Known, Row};

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

/// A whole, plain head.
#[derive(Debug)]
pub(crate) struct Head {
    /// Bytes of it, the empty line and one before the request line included.
    pub(crate) length: usize,
    pub(crate) method: Range<usize>,
    pub(crate) target: Range<usize>,
    pub(crate) http_1_0: bool,
    /// Whether the connection may carry another request after this one.
    pub(crate) persists: bool,
    pub(crate) body: Body,
    pub(crate) rows: Vec<Row>,
}

/// What the lines seen so far say.
#[derive(Default)]
struct Seen {
    method: Range<usize>,
    target: Range<usize>,
    http_1_0: bool,
    hosts: u32,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
    connection_upgrade: bool,
    close: bool,
    keep_alive: bool,
    rows: Vec<Row>,
}

/// Scans a head from its first byte; `None` when the empty line has not come yet, and nothing wrong has.
///
/// Every line must end in CRLF: a bare LF or CR is refused, since servers disagree about them.
///
/// # Errors
/// [`Refusal`] with the first rule that is broken; a partial head is refused as soon as it can be.
pub(crate) fn scan(bytes: &[u8], limits: &HeadLimits) -> Result<Option<Head>, Refusal> {
    // RFC 9112 §2.2: a server should ignore an empty line before the request line. One, and only a whole one.
    let mut at = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let mut seen = Seen::default();
    let mut lines = 0;
    while let Some(length) = memchr(b'\n', &bytes[at..]) {
        let end = at + length + 1;
        if end > limits.bytes {
            return Err(TOO_LARGE);
        }
        let Some(line) = bytes[at..end - 1].strip_suffix(b"\r") else {
            return Err(Refusal::malformed(
                "a line ends in a bare LF; it must end in CRLF",
            ));
        };
        if lines == 0 {
            request_line(line, at, limits, &mut seen)?;
            seen.rows.reserve(ROWS);
        } else if line.is_empty() {
            return seen.head(end).map(Some);
        } else {
            header(line, at, &mut seen)?;
            if lines > limits.headers {
                return Err(MANY_FIELDS);
            }
        }
        lines += 1;
        at = end;
    }
    if bytes.len() > limits.bytes {
        return Err(TOO_LARGE);
    }
    if lines == 0 && bytes.len() > limits.target + 64 {
        return Err(Refusal::new(
            Reason::TargetTooLong,
            "the request line is longer than the limit",
        ));
    }
    Ok(None)
}

pub(crate) const TOO_LARGE: Refusal = Refusal::new(Reason::HeadTooLarge, "the head is larger than the limit");

pub(crate) const MANY_FIELDS: Refusal =
    Refusal::new(Reason::HeadTooLarge, "there are more headers than the limit");

pub(crate) const LONG_TARGET: Refusal = Refusal::new(
    Reason::TargetTooLong,
    "the request target is longer than the limit",
);

/// Fields that a usual head has no more of.
const ROWS: usize = 16;

fn request_line(line: &[u8], at: usize, limits: &HeadLimits, seen: &mut Seen) -> Result<(), Refusal> {
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
        return Err(LONG_TARGET);
    }
    if target.is_empty() || !all(&TARGET, target) {
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
    seen.http_1_0 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return Err(Refusal::malformed("the version is neither HTTP/1.1 nor HTTP/1.0")),
    };
    seen.method = at..at + method.len();
    seen.target = seen.method.end + 1..seen.method.end + 1 + target.len();
    Ok(())
}

fn header(line: &[u8], at: usize, seen: &mut Seen) -> Result<(), Refusal> {
    let Some((name, value)) = part(line) else {
        return Err(no_field(line));
    };
    if !is_value(value) {
        return Err(Refusal::malformed("a header value holds a control character"));
    }
    let value = trim(value);
    let known = Known::of(name);
    seen.rows.push(Row::new(
        at..at + name.len(),
        within(line, value, at),
        Some(at + line.len() + 2),
        known,
    ));
    match known {
        Some(Known::Host) => host(value, seen),
        Some(Known::Upgrade) => {
            // h2c by upgrade is obsolete (RFC 9113 §3.1): the header is dropped later, and HTTP/1.1 goes on.
            seen.upgrade |= !value.eq_ignore_ascii_case(b"h2c");
            Ok(())
        }
        Some(Known::Connection) => {
            for option in value.split(|b| *b == b',').map(trim) {
                seen.connection_upgrade |= option.eq_ignore_ascii_case(b"upgrade");
                seen.close |= option.eq_ignore_ascii_case(b"close");
                seen.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
            Ok(())
        }
        Some(Known::ContentLength) => content_length(value, seen),
        Some(Known::TransferEncoding) => transfer_encoding(value, seen),
        _ => Ok(()),
    }
}

/// What is wrong with a line that is no name, colon and value.
fn no_field(line: &[u8]) -> Refusal {
    if matches!(line[0], b' ' | b'\t') {
        return Refusal::malformed("a header line begins with white space (folding is obsolete)");
    }
    let Some(colon) = memchr(b':', line) else {
        return Refusal::malformed("a header line has no colon");
    };
    if matches!(line[..colon].last(), Some(b' ' | b'\t')) {
        return Refusal::malformed("there is white space between a header's name and its colon");
    }
    Refusal::malformed("a header name is not a token")
}

fn host(value: &[u8], seen: &mut Seen) -> Result<(), Refusal> {
    seen.hosts += 1;
    if seen.hosts > 1 {
        Err(Refusal::new(
            Reason::InvalidHost,
            "there is more than one Host header",
        ))
    } else if !is_authority(value) {
        Err(Refusal::new(
            Reason::InvalidHost,
            "the Host header is not a host and optional port",
        ))
    } else {
        Ok(())
    }
}

/// Whether this is a host and perhaps a port (RFC 3986 §3.2): a name, or an address in brackets, and digits behind a
/// colon. Anything more can be cut in two ways, and who routes by it and who serves by it may not cut alike. Escapes are
/// left to addresses, whose zones need them: nobody's name has any.
pub(crate) fn is_authority(value: &[u8]) -> bool {
    let (host_is_good, port) = if let Some(inner) = value.strip_prefix(b"[") {
        let Some(end) = memchr(b']', inner) else {
            return false;
        };
        let address =
            |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'.' | b'%' | b'-' | b'_' | b'~');
        let (host, rest) = (&inner[..end], &inner[end + 1..]);
        (!host.is_empty() && host.iter().all(address), rest)
    } else {
        let end = memchr(b':', value).unwrap_or(value.len());
        let name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~');
        (end > 0 && value[..end].iter().all(name), &value[end..])
    };
    host_is_good && is_port(port)
}

/// Nothing, or a colon and a port, which may be empty.
fn is_port(rest: &[u8]) -> bool {
    let Some((colon, digits)) = rest.split_first() else {
        return true;
    };
    let number = digits.iter().try_fold(0u32, |sum, b| {
        b.is_ascii_digit()
            .then(|| sum * 10 + u32::from(b - b'0'))
            .filter(|sum| *sum <= 65_535)
    });
    *colon == b':' && number.is_some()
}

fn content_length(value: &[u8], seen: &mut Seen) -> Result<(), Refusal> {
    if seen.length.is_some() {
        return Err(Refusal::ambiguous("there is more than one Content-Length"));
    }
    let length = length(value).ok_or(Refusal::ambiguous("Content-Length is not a plain decimal number"))?;
    seen.length = Some(length);
    Ok(())
}

/// A plain decimal number. 18 digits stay far from overflow and are a hundred thousand times the largest disk.
pub(crate) fn length(value: &[u8]) -> Option<u64> {
    let plain = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    plain.then(|| {
        value
            .iter()
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    })
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
    fn head(self, length: usize) -> Result<Head, Refusal> {
        Ok(Head {
            length,
            body: self.body()?,
            persists: !self.close && (!self.http_1_0 || self.keep_alive),
            method: self.method,
            target: self.target,
            http_1_0: self.http_1_0,
            rows: self.rows,
        })
    }

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
