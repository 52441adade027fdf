//! A wire between the gateway and a server, which keeps what passes.
//!
//! What a server saw is read off its answers: it gives one for every request that it sees, and none for what it takes to
//! be a body. So no server has to be asked in a way of its own.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;

/// What passed, connection by connection.
#[derive(Clone, Default)]
pub(super) struct Tap(Arc<Mutex<Vec<Passed>>>);

#[derive(Default)]
struct Passed {
    /// From the gateway.
    requests: Vec<u8>,
    /// From the server.
    answers: Vec<u8>,
}

impl Tap {
    /// Taps the way to `server`; where the gateway goes instead.
    ///
    /// # Errors
    /// There is no port.
    pub(super) fn before(server: SocketAddr) -> anyhow::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening as a tap")?;
        let address = listener.local_addr().context("listening as a tap")?;
        let tap = Self::default();
        let kept = tap.clone();
        std::thread::spawn(move || {
            for gateway in listener.incoming().map_while(Result::ok) {
                // A server that cannot be reached is one that hangs up.
                if let Ok(server) = TcpStream::connect(server) {
                    kept.join(gateway, server);
                }
            }
        });
        Ok((tap, address))
    }

    fn join(&self, gateway: TcpStream, server: TcpStream) {
        let number = {
            let mut kept = self.kept();
            kept.push(Passed::default());
            kept.len() - 1
        };
        // Held back, the end of a body would wait for an acknowledgement.
        drop((gateway.set_nodelay(true), server.set_nodelay(true)));
        let (Ok(from), Ok(to)) = (gateway.try_clone(), server.try_clone()) else {
            return;
        };
        let kept = self.clone();
        std::thread::spawn(move || {
            copy(from, to, |bytes| {
                kept.kept()[number].requests.extend_from_slice(bytes);
            });
        });
        let kept = self.clone();
        std::thread::spawn(move || {
            copy(server, gateway, |bytes| {
                kept.kept()[number].answers.extend_from_slice(bytes);
            });
        });
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Passed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers so far, without those that only say that more is to come.
    pub(super) fn answers(&self) -> usize {
        self.kept()
            .iter()
            .map(|passed| count_answers(&passed.answers))
            .sum()
    }

    /// The first connection on which the server gave more answers than it was sent requests: it saw two where the gateway
    /// saw one. In words.
    pub(super) fn surplus(&self) -> Option<String> {
        self.kept().iter().find_map(|passed| {
            let (sent, answered) = (count_requests(&passed.requests), count_answers(&passed.answers));
            // Some say 400 or 408 to a connection on which nothing came, which is an answer to nobody.
            (answered > sent.max(usize::from(passed.requests.is_empty()))).then(|| {
                format!(
                    "{answered} answers to {sent} requests:\n{}\n{}",
                    passed.requests.escape_ascii(),
                    passed.answers.escape_ascii()
                )
            })
        })
    }

    /// What the server said that it saw, so far: `METHOD LENGTH SUM` of each request.
    pub(super) fn seen(&self) -> Vec<String> {
        let kept = self.kept();
        let said = kept
            .iter()
            .flat_map(|passed| passed.answers.split(|byte| *byte == b'\n'));
        said.filter_map(|line| {
            let at = line.windows(4).position(|word| word == b"saw ")?;
            Some(String::from_utf8_lossy(&line[at + 4..]).into_owned())
        })
        .collect()
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, mut keep: impl FnMut(&[u8])) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        keep(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    drop((to.shutdown(Shutdown::Write), from.shutdown(Shutdown::Read)));
}

/// Status lines that do not begin with 1. The servers' bodies hold none.
fn count_answers(bytes: &[u8]) -> usize {
    let is_status_line =
        |at: &[u8]| at.starts_with(b"HTTP/1.") && at[8] == b' ' && at[9].is_ascii_digit() && at[9] != b'1';
    bytes.windows(10).filter(|at| is_status_line(at)).count()
}

/// Requests that were begun, as the gateway writes them: whole heads with one length or chunks.
fn count_requests(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some(end) = find(bytes, b"\r\n\r\n") {
        count += 1;
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        bytes = &bytes[end + 4..];
        let field = |name: &str| head.split("\r\n").find_map(|line| line.strip_prefix(name));
        if field("transfer-encoding: ").is_some() {
            let Some(rest) = behind_chunks(bytes) else {
                return count;
            };
            bytes = rest;
        } else if let Some(length) = field("content-length: ").and_then(|value| value.parse::<usize>().ok()) {
            bytes = bytes.get(length..).unwrap_or_default();
        }
    }
    count
}

fn behind_chunks(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let end = find(bytes, b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
        bytes = &bytes[end + 2..];
        if size == 0 {
            // Trailers, then an empty line.
            while !bytes.starts_with(b"\r\n") {
                bytes = &bytes[find(bytes, b"\r\n")? + 2..];
            }
            return Some(&bytes[2..]);
        }
        bytes = bytes.get(size + 2..)?;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_and_promises_are_not() {
        let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.0 400 Bad\r\n\r\n";
        assert_eq!(count_answers(bytes), 2);
        assert_eq!(count_answers(b"HTTP/1.1"), 0);
    }

    #[test]
    fn requests_are_counted_by_their_framing_and_not_by_what_bodies_hold() {
        let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
        let length = format!(
            "POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{hidden}",
            hidden.len()
        );
        let chunks = format!(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{hidden}\r\n0\r\nx: y\r\n\r\n",
            hidden.len()
        );
        assert_eq!(
            count_requests(format!("{length}{chunks}{hidden}{length}").as_bytes()),
            4
        );
        assert_eq!(count_requests(&chunks.as_bytes()[..60]), 1, "it has begun");
        assert_eq!(count_requests(b"GET / HT"), 0);
    }
}
