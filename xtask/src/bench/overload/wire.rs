//! As much of HTTP/1.1 as the load and the service need: requests without a body, answers with a length.

use std::io;

const END: &[u8] = b"\r\n\r\n";
/// What a head may take: far more than anybody here sends.
const HEAD_MAX: usize = 16 << 10;

/// The head of a request: its target, and the header lines as they came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Asked<'a> {
    pub(crate) target: &'a str,
    lines: &'a str,
    /// Bytes that it takes.
    pub(crate) length: usize,
}

impl<'a> Asked<'a> {
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        header(self.lines, name)
    }
}

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// Bytes that head and body take.
    pub(crate) length: usize,
    /// Whether the connection may be used again.
    pub(crate) kept: bool,
}

/// The request that these bytes begin with; `None` while it is incomplete.
///
/// # Errors
/// If it is none, or longer than anybody here sends.
pub(crate) fn request(bytes: &[u8]) -> io::Result<Option<Asked<'_>>> {
    let Some((head, length)) = head(bytes)? else {
        return Ok(None);
    };
    let (first, lines) = head.split_once("\r\n").unwrap_or((head, ""));
    let target = first.split(' ').nth(1).ok_or_else(|| wrong("no request line"))?;
    if header(lines, "transfer-encoding").is_some()
        || header(lines, "content-length").is_some_and(|n| n != "0")
    {
        return Err(wrong("a request with a body"));
    }
    Ok(Some(Asked {
        target,
        lines,
        length,
    }))
}

/// The answer that these bytes begin with; `None` while it is incomplete. What has no length is over when the peer
/// has closed.
///
/// # Errors
/// If it is none, or is in chunks.
pub(crate) fn answer(bytes: &[u8], closed: bool) -> io::Result<Option<Answered>> {
    let Some((head, length)) = head(bytes)? else {
        return Ok(None);
    };
    let (first, lines) = head.split_once("\r\n").unwrap_or((head, ""));
    let mut words = first.split(' ');
    let version = words.next().unwrap_or_default();
    let status = words
        .next()
        .and_then(|word| word.parse().ok())
        .ok_or_else(|| wrong("no status line"))?;
    if header(lines, "transfer-encoding").is_some() {
        return Err(wrong("an answer in chunks"));
    }
    let kept = version == "HTTP/1.1"
        && !header(lines, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let Some(body) = header(lines, "content-length") else {
        let whole = Answered {
            status,
            length: bytes.len(),
            kept: false,
        };
        return Ok(closed.then_some(whole));
    };
    let body: usize = body.parse().map_err(|_| wrong("a length that is no number"))?;
    let whole = Answered {
        status,
        length: length + body,
        kept: kept && !closed,
    };
    Ok((bytes.len() >= whole.length).then_some(whole))
}

/// The head as text, without its empty line, and the bytes that it takes with it.
fn head(bytes: &[u8]) -> io::Result<Option<(&str, usize)>> {
    let Some(end) = bytes.windows(END.len()).position(|window| window == END) else {
        if bytes.len() > HEAD_MAX {
            return Err(wrong("a head that does not end"));
        }
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| wrong("a head that is no text"))?;
    Ok(Some((head, end + END.len())))
}

fn header<'a>(lines: &'a str, name: &str) -> Option<&'a str> {
    lines.split("\r\n").find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn wrong(what: &str) -> io::Error {
    io::Error::other(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_its_head() {
        let bytes = b"GET /a HTTP/1.1\r\nhost: a\r\nTraceParent: 00-1\r\n\r\nGET";
        let asked = request(bytes).unwrap().unwrap();
        assert_eq!((asked.target, asked.length), ("/a", bytes.len() - 3));
        assert_eq!(asked.header("traceparent"), Some("00-1"));
        assert_eq!(request(&bytes[..30]).unwrap(), None);
        assert!(request(b"POST /a HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc").is_err());
    }

    #[test]
    fn an_answer_ends_with_its_length_or_with_its_connection() {
        let bytes = b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno";
        let answered = answer(bytes, false).unwrap().unwrap();
        assert_eq!(
            answered,
            Answered {
                status: 503,
                length: bytes.len(),
                kept: true
            }
        );
        assert_eq!(answer(&bytes[..bytes.len() - 1], false).unwrap(), None);
        let close = b"HTTP/1.1 503 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        assert!(!answer(close, false).unwrap().unwrap().kept);
        let endless = b"HTTP/1.0 503 No\r\n\r\nno";
        assert_eq!(answer(endless, false).unwrap(), None);
        assert_eq!(answer(endless, true).unwrap().unwrap().length, endless.len());
        assert!(answer(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", false).is_err());
    }
}
