//! Frames of HTTP/2 as an attacker writes them: whatever it likes, whenever it likes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;

/// Kinds of frames.
pub(crate) const DATA: u8 = 0x0;
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PING: u8 = 0x6;
pub(crate) const GOAWAY: u8 = 0x7;
pub(crate) const WINDOW_UPDATE: u8 = 0x8;
pub(crate) const CONTINUATION: u8 = 0x9;

/// `:method GET, :scheme http, :path /, :authority a`.
pub(crate) const GET: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 0x01, b'a'];

/// The same with POST.
pub(crate) const POST: [u8; 6] = [0x83, 0x86, 0x84, 0x41, 0x01, b'a'];

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The preface and an empty SETTINGS frame.
pub(crate) fn hello() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// A GET of `path`, as a header block without compression.
pub(crate) fn get(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path.as_bytes());
    block.extend([0x41, 0x01, b'a']);
    block
}

/// What came back on a connection.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The error code of a GOAWAY.
    pub(crate) goaway: Option<u32>,
    /// Streams that were reset, and why.
    pub(crate) resets: Vec<(u32, u32)>,
    /// Streams of which a head came.
    pub(crate) heads: Vec<u32>,
    /// The connection was closed.
    pub(crate) closed: bool,
}

/// Reads frames until the connection is closed, nothing comes for `patience`, or `enough`.
pub(crate) fn hear(stream: &mut TcpStream, patience: Duration, enough: impl Fn(&Heard) -> bool) -> Heard {
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut heard = Heard::default();
    let mut head = [0; 9];
    loop {
        match stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) => {
                use std::io::ErrorKind::{TimedOut, WouldBlock};
                heard.closed = !matches!(error.kind(), TimedOut | WouldBlock);
                return heard;
            }
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length];
        if stream.read_exact(&mut payload).is_err() {
            heard.closed = true;
            return heard;
        }
        let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match head[3] {
            HEADERS => heard.heads.push(id),
            RST_STREAM => heard.resets.push((id, code(0))),
            // The first says why; one that follows only says that it is over.
            GOAWAY if heard.goaway.is_none() => heard.goaway = Some(code(4)),
            _ => {}
        }
        if enough(&heard) {
            return heard;
        }
    }
}

/// Sends until all is sent or the peer takes no more; whether all was.
pub(crate) fn flood(stream: &mut TcpStream, bytes: &[u8], times: usize) -> bool {
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    (0..times).all(|_| stream.write_all(bytes).is_ok())
}
