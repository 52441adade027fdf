//! Messages made by dice: good ones of every kind, and what becomes of them when bytes go wrong.

use plimsoll_policy::{Dice, SeededDice};

/// Sizes at which buffers end, and those that are usual.
const SIZES: &[usize] = &[
    0, 0, 1, 5, 5, 37, 100, 1000, 8191, 8192, 8193, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 70_000,
];

const FIELDS: &[&[u8]] = &[
    b"X-Empty:",
    b"X-Padded: \t a b \t",
    b"X-Obs: \xe9\xff",
    b"X-A: 1",
    b"x-a: 2",
    b"X-A:3",
    b"Cookie: a=b",
    b"Accept: */*",
    b"Content-Type: text/plain",
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"TE: trailers",
    b"TE: gzip, trailers;q=0.5",
    b"Trailer: x-t",
    b"Upgrade: h2c",
    b"Gone: 1",
    b"Connection: Gone",
    b"Connection: keep-alive, gone, x-a",
    b"Connection: content-length, transfer-encoding, host, \xe9, accept",
    b"Connection: close",
    b"Content-Encoding: gzip",
];

/// Lines that do not belong where they are put.
const EVIL: &[&[u8]] = &[
    b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: +3\r\n",
    b"Content-Length: 3, 3\r\n",
    b"Content-Length : 3\r\n",
    b"Content_Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: xchunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Host: b\r\n",
    b" folded\r\n",
    b"\r\n",
    b"\n",
    b"0\r\n\r\n",
    b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"X-A: b\nX-B: c\r\n",
    b"X-A: b\rX-B: c\r\n",
];

const BYTES: &[u8] = b"\r\n\0\t :;,0159afAFxz\x0b\x7f\x80\xff";

fn pick<'a, T>(dice: &mut SeededDice, from: &'a [T]) -> &'a T {
    &from[dice.below(from.len() as u64) as usize]
}

fn one_in(dice: &mut SeededDice, n: u64) -> bool {
    dice.below(n) == 0
}

/// A request, whose fields say which case it belongs to.
pub(crate) fn request(dice: &mut SeededDice, case: u64) -> Vec<u8> {
    let methods = [
        "GET", "GET", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW", "get",
    ];
    let targets = [
        "/",
        "/a?b=c",
        "/a//b/../c;d",
        "/%00%2f",
        "/{}|\\^\"",
        "/?",
        "//b/c",
        "/a://b",
        "http://a/x?y",
        "http://a",
        "HTTPS://a?q",
        "*",
    ];
    let http_1_0 = one_in(dice, 8);
    let version = if http_1_0 { "1.0" } else { "1.1" };
    let mut bytes = format!(
        "{} {} HTTP/{version}\r\n",
        pick(dice, &methods),
        pick(dice, &targets)
    )
    .into_bytes();
    if one_in(dice, 16) {
        bytes.splice(0..0, *b"\r\n");
    }
    if !http_1_0 || one_in(dice, 2) {
        bytes.extend_from_slice(b"Host: a\r\n");
    }
    if http_1_0 && !one_in(dice, 3) {
        bytes.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    bytes.extend(format!("x-case: {case}\r\n").into_bytes());
    fields(dice, &mut bytes);
    if one_in(dice, 12) {
        bytes.extend_from_slice(b"Expect: 100-continue\r\n");
    }
    match dice.below(3) {
        0 => bytes.extend_from_slice(b"\r\n"),
        1 => with_length(dice, &mut bytes),
        _ if http_1_0 => with_length(dice, &mut bytes),
        _ => chunked(dice, &mut bytes),
    }
    bytes
}

/// An answer, provisional ones before it included, and whether its connection must end for it to end.
pub(crate) fn answer(dice: &mut SeededDice) -> (Vec<u8>, bool) {
    let statuses = [
        "200 OK",
        "200",
        "200 ",
        "201 Created",
        "204 No Content",
        "205 Reset Content",
        "206 Partial Content",
        "304 Not Modified",
        "404 Not \u{e9}",
        "500 Internal Server Error",
        "999 x",
    ];
    let mut bytes = Vec::new();
    while one_in(dice, 8) {
        let interim = ["100 Continue", "103 Early Hints", "102 Processing"];
        bytes.extend(format!("HTTP/1.1 {}\r\nLink: </a>\r\n\r\n", pick(dice, &interim)).into_bytes());
    }
    let status = *pick(dice, &statuses);
    let http_1_0 = one_in(dice, 8);
    let version = if http_1_0 { "1.0" } else { "1.1" };
    bytes.extend(format!("HTTP/{version} {status}\r\n").into_bytes());
    fields(dice, &mut bytes);
    let mut ends = false;
    match dice.below(8) {
        _ if status.starts_with("204") => bytes.extend_from_slice(b"\r\n"),
        0 => {
            bytes.extend_from_slice(b"\r\n");
            bytes.extend(body(dice));
            ends = true;
        }
        1..=3 => with_length(dice, &mut bytes),
        _ if http_1_0 => with_length(dice, &mut bytes),
        _ => chunked(dice, &mut bytes),
    }
    if one_in(dice, 12) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if text.len() == bytes.len() && !text.contains("chunked") {
            let head = text.find("\r\n\r\n").map_or(0, |at| at + 4);
            bytes = [text[..head].replace("\r\n", "\n").as_bytes(), &bytes[head..]].concat();
        }
    }
    (bytes, ends || http_1_0)
}

fn fields(dice: &mut SeededDice, bytes: &mut Vec<u8>) {
    for _ in 0..dice.below(6) {
        let field = pick(dice, FIELDS);
        if *field == b"Connection: close" && !one_in(dice, 4) {
            continue;
        }
        bytes.extend_from_slice(field);
        bytes.extend_from_slice(b"\r\n");
    }
    if one_in(dice, 10) {
        bytes.extend_from_slice(b"X-Long: ");
        bytes.resize(bytes.len() + dice.below(20_000) as usize, b'v');
        bytes.extend_from_slice(b"\r\n");
    }
}

fn body(dice: &mut SeededDice) -> Vec<u8> {
    let size = *pick(dice, SIZES);
    let mut body = if one_in(dice, 3) {
        b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".repeat(size / 64 + 1)
    } else {
        (0..size.div_ceil(8))
            .flat_map(|_| dice.roll().to_le_bytes())
            .collect()
    };
    body.truncate(size);
    body
}

fn with_length(dice: &mut SeededDice, bytes: &mut Vec<u8>) {
    let body = body(dice);
    let zeros = if one_in(dice, 10) { "00" } else { "" };
    bytes.extend(format!("Content-Length: {zeros}{}\r\n\r\n", body.len()).into_bytes());
    bytes.extend(body);
}

fn chunked(dice: &mut SeededDice, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
    let body = body(dice);
    let mut rest = &body[..];
    while !rest.is_empty() {
        let most = if one_in(dice, 2) {
            rest.len()
        } else {
            rest.len().min(20)
        };
        let (chunk, after) = rest.split_at(1 + dice.below(most as u64) as usize);
        rest = after;
        let extension = if one_in(dice, 10) { ";a=\"b;c\"" } else { "" };
        let size = match dice.below(3) {
            0 => format!("{:x}", chunk.len()),
            1 => format!("{:X}", chunk.len()),
            _ => format!("00{:x}", chunk.len()),
        };
        bytes.extend(format!("{size}{extension}\r\n").into_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(if one_in(dice, 5) { b"000\r\n" } else { b"0\r\n" });
    for trailer in ["x-t: 1", "X-T:\t\u{e9} ", "grpc-status: 0", "x-empty:"] {
        if one_in(dice, 6) {
            bytes.extend(format!("{trailer}\r\n").into_bytes());
        }
    }
    bytes.extend_from_slice(b"\r\n");
}

/// Lets a few bytes go wrong, most often where they mean something.
pub(crate) fn mutate(dice: &mut SeededDice, bytes: &mut Vec<u8>) {
    for _ in 0..=dice.below(2) {
        let at = place(dice, bytes);
        match dice.below(8) {
            0 => bytes.truncate(at),
            1 | 2 => bytes[at] = *pick(dice, BYTES),
            3 => drop(bytes.remove(at)),
            4 => bytes.insert(at, *pick(dice, BYTES)),
            5 => {
                let end = bytes.len().min(at + dice.below(40) as usize);
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => {
                let line = bytes[at..].iter().position(|byte| *byte == b'\n');
                let at = line.map_or(at, |lf| at + lf + 1);
                bytes.splice(at..at, pick(dice, EVIL).iter().copied());
            }
        }
        if bytes.is_empty() {
            return;
        }
    }
}

fn place(dice: &mut SeededDice, bytes: &[u8]) -> usize {
    let at = dice.below(bytes.len() as u64) as usize;
    if one_in(dice, 4) {
        return at;
    }
    // The head of the first message, or the next byte that frames.
    let near = if one_in(dice, 2) {
        at % bytes.len().min(200)
    } else {
        at
    };
    let framing = |byte: &u8| matches!(byte, b'\r' | b'\n' | b':' | b' ' | b';');
    bytes[near..]
        .iter()
        .position(framing)
        .map_or(near, |next| near + next)
}

/// Where to pause between writes.
pub(crate) fn pieces(dice: &mut SeededDice, length: usize) -> Vec<usize> {
    let most = if one_in(dice, 2) { 1 } else { 4 };
    let mut cuts: Vec<_> = (0..dice.below(most))
        .map(|_| dice.below(length as u64 + 1) as usize)
        .collect();
    cuts.push(length);
    cuts.sort_unstable();
    cuts
}
