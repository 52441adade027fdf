//! What arbitrary bytes must not do to the scanners, for the fuzzer and for tests.
//!
//! Bytes come in pieces, and where they are cut is the caller's choice; so what is promised here is that it makes no
//! difference: a head that was whole is the same head with more bytes behind it, and what broke a rule still does.

use bytes::Bytes;

use crate::fields::Known;
use crate::framing::chunk::Chunks;
use crate::framing::head::{self, Body, HeadLimits};
use crate::framing::{Refusal, answer};
use crate::message::RequestHead;

const LIMITS: HeadLimits = HeadLimits {
    bytes: 4096,
    headers: 20,
    target: 1024,
};

/// A caller's connection: a head, and a body in chunks if it has one.
///
/// # Panics
/// If a promise does not hold.
pub fn request(bytes: &[u8]) {
    let whole = head::scan(bytes, &LIMITS);
    let first = (0..bytes.len().min(700)).find_map(|end| match head::scan(&bytes[..end], &LIMITS) {
        Ok(None) => None,
        other => Some(other),
    });
    match (first, &whole) {
        (Some(Ok(Some(early))), Ok(Some(late))) => assert_eq!(early.length, late.length, "the end has moved"),
        (Some(Err(_)), Err(_)) | (None, _) => {}
        (early, late) => panic!("a piece is {early:?}, and the whole is {late:?}"),
    }
    let Ok(Some(head)) = whole else { return };
    let (length, body) = (head.length, head.body);
    assert!(length <= bytes.len() && length <= LIMITS.bytes);
    let Ok(request) = RequestHead::of_http1(head, Bytes::copy_from_slice(&bytes[..length])) else {
        return;
    };
    assert!(request.fields.count() <= LIMITS.headers && !request.target.path().contains('\n'));
    assert!(request.fields.all(Known::Host).count() <= 1, "two hosts");
    assert!(
        !(request.fields.has(Known::ContentLength) && request.fields.has(Known::TransferEncoding)),
        "two lengths"
    );
    if body == Body::Chunked {
        chunks(&bytes[length..], Chunks::of_request);
    }
}

/// An upstream's connection: the same.
///
/// # Panics
/// If a promise does not hold.
pub fn response(bytes: &[u8]) {
    let whole = answer::scan(bytes);
    let first = (0..bytes.len().min(700)).find_map(|end| match answer::scan(&bytes[..end]) {
        Ok(None) => None,
        other => Some(other),
    });
    match (first, &whole) {
        (Some(Ok(Some(early))), Ok(Some(late))) => assert_eq!(early.length, late.length, "the end has moved"),
        (Some(Err(_)), Err(_)) | (None, _) => {}
        (early, late) => panic!("a piece is {early:?}, and the whole is {late:?}"),
    }
    if let Ok(Some(head)) = whole {
        assert!(head.length <= bytes.len());
        chunks(&bytes[head.length..], Chunks::of_answer);
    }
}

/// What chunks carry, and where they end, in one piece and byte by byte.
fn chunks(bytes: &[u8], begin: fn() -> Chunks) {
    let follow = |size: usize| -> (Vec<u8>, usize, Option<Refusal>, bool) {
        let (mut chunks, mut data, mut at) = (begin(), Vec::new(), 0);
        for piece in bytes.chunks(size) {
            match chunks.take(piece, &mut data) {
                Ok(taken) => at += taken,
                Err(refusal) => return (data, at, Some(refusal), false),
            }
            if chunks.is_ended() {
                break;
            }
        }
        let ended = chunks.is_ended();
        if ended {
            drop(chunks.into_trailers());
        }
        (data, at, None, ended)
    };
    let (whole, pieces) = (follow(bytes.len().max(1)), follow(1));
    assert_eq!(whole.0, pieces.0, "what they carry");
    assert_eq!(whole.3, pieces.3, "whether they end");
    match (whole.2, pieces.2) {
        (None, None) => assert_eq!(whole.1, pieces.1, "where they end"),
        (Some(whole), Some(pieces)) => assert_eq!(whole.cause, pieces.cause),
        (whole, pieces) => panic!("in one piece {whole:?}, byte by byte {pieces:?}"),
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_policy::{Dice, SeededDice};

    use super::*;

    /// Pieces of which odd messages are made.
    const WORDS: [&[u8]; 24] = [
        b"GET / HTTP/1.1\r\n",
        b"POST /a?b HTTP/1.1\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"Host: a\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: Upgrade\r\n",
        b"Upgrade: x\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b";",
        b"5\r\nhello\r\n",
        b"0\r\n",
        b"0\r\n\r\n",
        b"5;a=b\r\n",
        b"FFFFFFFFFFFFFFF\r\n",
        b"http://a/",
        b"\0",
        b"\xff",
        b"X: y\r\n",
    ];

    /// Forty thousand messages, the same on every run. The fuzzer goes on from here.
    #[test]
    fn odd_messages_keep_every_promise() {
        let mut dice = SeededDice::new(20);
        let mut heads = 0;
        for _ in 0..40_000 {
            let mut bytes = Vec::new();
            if dice.below(2) == 0 {
                bytes.extend_from_slice(b"POST / HTTP/1.1\r\nHost: a\r\n");
            }
            if dice.below(2) == 0 {
                bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            }
            for _ in 0..dice.below(9) {
                bytes.extend_from_slice(WORDS[dice.below(WORDS.len() as u64) as usize]);
            }
            for _ in 0..dice.below(3).min(bytes.len() as u64) {
                let at = dice.below(bytes.len() as u64) as usize;
                match dice.below(3) {
                    0 => bytes[at] = dice.below(256) as u8,
                    1 => bytes.insert(at, dice.below(256) as u8),
                    _ => drop(bytes.remove(at)),
                }
            }
            heads += u32::from(matches!(head::scan(&bytes, &LIMITS), Ok(Some(_))));
            request(&bytes);
            response(&bytes);
        }
        assert!(heads > 5_000, "{heads} of them were heads");
    }
}
