//! An upstream's head, from the status line to the empty line.
//!
//! An upstream is trusted more than a caller, and mended less: what it says about length must be plain, since the
//! next answer on the same connection depends on it. Lines may end in a bare LF, as RFC 9112 §2.2 allows, for the
//! sake of small servers written by hand; the caller gets CRLF.

use http::StatusCode;
use memchr::memchr;

use super::head::length;
use super::{is_value, part, trim, within};
use crate::fields::{Known, Row};

/// Bytes that an answer's head may have.
const HEAD_MAX: usize = 256 << 10;
/// Fields that an answer may have.
const FIELDS_MAX: usize = 256;

/// What an answer's head says about what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Length(u64),
    Chunked,
    /// Until the connection ends.
    Close,
}

/// A whole head.
#[derive(Debug)]
pub(crate) struct Head {
    /// Bytes of it, the empty line included.
    pub(crate) length: usize,
    pub(crate) status: StatusCode,
    pub(crate) body: Body,
    /// Whether the connection may carry another request after this answer.
    pub(crate) persists: bool,
    pub(crate) rows: Vec<Row>,
}

#[derive(Default)]
struct Seen {
    http_1_0: bool,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    rows: Vec<Row>,
}

/// Scans a head from its first byte; `None` when more bytes are needed.
///
/// # Errors
/// The rule that is broken, in words.
pub(crate) fn scan(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
    let mut seen = Seen::default();
    let mut status = None;
    let mut at = 0;
    while let Some(found) = memchr(b'\n', &bytes[at..]) {
        let end = at + found + 1;
        let line = &bytes[at..end - 1];
        let (line, crlf) = line
            .strip_suffix(b"\r")
            .map_or((line, false), |line| (line, true));
        match status {
            None => {
                status = Some(status_line(line, &mut seen)?);
                seen.rows.reserve(16);
            }
            Some(status) if line.is_empty() => return seen.head(status, end).map(Some),
            Some(_) => header(line, at, crlf.then_some(end), &mut seen)?,
        }
        if seen.rows.len() > FIELDS_MAX {
            return Err("it has more than 256 headers");
        }
        at = end;
    }
    if bytes.len() > HEAD_MAX {
        return Err("its head is larger than 256 KiB");
    }
    if status.is_none() && !b"HTTP/1.".starts_with(&bytes[..bytes.len().min(7)]) {
        return Err("it does not begin with `HTTP/1.`");
    }
    Ok(None)
}

fn status_line(line: &[u8], seen: &mut Seen) -> Result<StatusCode, &'static str> {
    const WRONG: &str = "its first line is not `HTTP/1.1 STATUS reason`";
    seen.http_1_0 = match line.get(..9) {
        Some(b"HTTP/1.1 ") => false,
        Some(b"HTTP/1.0 ") => true,
        _ => return Err(WRONG),
    };
    let reason = line.get(12..).ok_or(WRONG)?;
    if !(reason.is_empty() || reason[0] == b' ') || !is_value(reason) {
        return Err(WRONG);
    }
    StatusCode::from_bytes(&line[9..12]).map_err(|_| WRONG)
}

fn header(line: &[u8], at: usize, line_end: Option<usize>, seen: &mut Seen) -> Result<(), &'static str> {
    let (name, value) = part(line).ok_or_else(|| match memchr(b':', line) {
        None => "a header line has no colon",
        Some(_) => "a header name is not a token",
    })?;
    if !is_value(value) {
        return Err("a header value holds a control character");
    }
    let value = trim(value);
    let known = Known::of(name);
    seen.rows.push(Row::new(
        at..at + name.len(),
        within(line, value, at),
        line_end,
        known,
    ));
    match known {
        Some(Known::Connection) => {
            for option in value.split(|b| *b == b',').map(trim) {
                seen.close |= option.eq_ignore_ascii_case(b"close");
                seen.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        Some(Known::ContentLength) => {
            let length = length(value).ok_or("Content-Length is not a plain decimal number")?;
            if seen.length.replace(length).is_some_and(|before| before != length) {
                return Err("there are two lengths that differ");
            }
        }
        Some(Known::TransferEncoding) => {
            if seen.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err("Transfer-Encoding is not exactly `chunked`");
            }
            seen.chunked = true;
        }
        _ => {}
    }
    Ok(())
}

impl Seen {
    fn head(self, status: StatusCode, length: usize) -> Result<Head, &'static str> {
        let both = self.chunked && self.length.is_some();
        let persists = !both && !self.close && (!self.http_1_0 || self.keep_alive);
        let body = match (self.chunked, self.length) {
            (true, _) if self.http_1_0 => return Err("an HTTP/1.0 answer has a Transfer-Encoding"),
            // RFC 9112 §6.3: the chunks win. What follows them on the connection is not believed.
            (true, _) => Body::Chunked,
            (false, Some(length)) => Body::Length(length),
            (false, None) => Body::Close,
        };
        Ok(Head {
            length,
            status,
            body,
            persists,
            rows: self.rows,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(head: &str) -> Result<(u16, Body, bool), &'static str> {
        let head = scan(head.as_bytes())?.ok_or("more is needed")?;
        Ok((head.status.as_u16(), head.body, head.persists))
    }

    #[test]
    fn what_follows_is_plain_or_refused() {
        let cases = [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                Ok((200, Body::Length(5), true)),
            ),
            (
                "HTTP/1.1 200\r\ncontent-length:5\r\nContent-Length: 5\r\n\r\n",
                Ok((200, Body::Length(5), true)),
            ),
            ("HTTP/1.0 404 Not Found\n\n", Ok((404, Body::Close, false))),
            (
                "HTTP/1.0 200 OK\r\nConnection: x, Keep-Alive\r\nContent-Length: 0\r\n\r\n",
                Ok((200, Body::Length(0), true)),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
                Ok((200, Body::Chunked, false)),
            ),
            ("HTTP/1.1 200 OK\r\n", Err("more is needed")),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
                Err("there are two lengths that differ"),
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
                Err("Content-Length is not a plain decimal number"),
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                Err("Transfer-Encoding is not exactly `chunked`"),
            ),
            (
                "HTTP/1.1 200 OK\r\n folded: 1\r\n\r\n",
                Err("a header name is not a token"),
            ),
            (
                "HTTP/1.1 2000 OK\r\n\r\n",
                Err("its first line is not `HTTP/1.1 STATUS reason`"),
            ),
            ("SSH-2.0-x", Err("it does not begin with `HTTP/1.`")),
        ];
        for (head, expected) in cases {
            assert_eq!(body(head), expected, "{head:?}");
        }
    }
}
