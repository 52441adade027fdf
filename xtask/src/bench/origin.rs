//! The server behind the proxies: it answers everything with the same 1 KiB, and is the same for all of them.
//!
//! It is our own because it shares a CPU with the load generator, and that CPU must not be full before the proxy's is.
//! nginx in its place took 6.6 µs per GET where this took 5.4 (64 connections, medians of three); it would also be
//! a peer that is behind itself. It is made for this one use: requests come one at a time on a connection, with `Content-Length` or without a body; a peer
//! that does anything else is hung up on, and the load generator counts that as failed. It runs until it is ended.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use anyhow::Context as _;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// Bytes of the body.
pub(crate) const BODY: usize = 1024;
/// What is read at once: a request of the largest case and room to spare.
const CHUNK: usize = 64 << 10;
const LISTENER: Token = Token(usize::MAX);

pub(crate) fn run(words: &[String]) -> anyhow::Result<ExitCode> {
    let [port] = words else {
        anyhow::bail!("takes one argument: the port to listen on");
    };
    let port: u16 = port.parse().context("reading the port")?;
    serve(port).context("serving")?;
    Ok(ExitCode::SUCCESS)
}

/// Six headers that a service would send as well, and the body.
fn answer() -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\nserver: origin\r\ncontent-type: text/plain\r\n\
         content-length: {BODY}\r\ncache-control: no-store\r\netag: \"5f3c-1\"\r\nx-service: bench\r\n\r\n"
    );
    [head.into_bytes(), vec![b'x'; BODY]].concat()
}

struct Connection {
    stream: TcpStream,
    /// What came of a request that is not complete.
    held: Vec<u8>,
}

fn serve(port: u16) -> io::Result<()> {
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let (answer, mut chunk) = (answer(), vec![0; CHUNK]);
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut events = Events::with_capacity(1024);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut connections, &mut free)?;
                continue;
            }
            let Token(at) = event.token();
            if let Some(connection) = &mut connections[at]
                && read(connection, &mut chunk, &answer).is_err()
            {
                connections[at] = None;
                free.push(at);
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: &Poll,
    connections: &mut Vec<Option<Connection>>,
    free: &mut Vec<usize>,
) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        let at = free.pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        poll.registry()
            .register(&mut stream, Token(at), Interest::READABLE)?;
        connections[at] = Some(Connection {
            stream,
            held: Vec::new(),
        });
    }
}

/// Reads what there is and answers what is complete.
///
/// # Errors
/// When the connection is over, or the peer does what this server is not made for.
fn read(connection: &mut Connection, chunk: &mut [u8], answer: &[u8]) -> io::Result<()> {
    loop {
        let count = match connection.stream.read(chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let complete = if connection.held.is_empty() {
            length(&chunk[..count])? == Some(count)
        } else {
            connection.held.extend_from_slice(&chunk[..count]);
            length(&connection.held)? == Some(connection.held.len())
        };
        if complete {
            connection.held.clear();
            // One answer at a time always fits into the socket's buffer; one that does not is an error.
            connection.stream.write_all(answer)?;
        } else if connection.held.is_empty() {
            connection.held.extend_from_slice(&chunk[..count]);
        }
        // A short read has emptied the socket: the next bytes raise a new event.
        if count < chunk.len() {
            return Ok(());
        }
    }
}

/// The length of the request that these bytes begin with; `None` while its head is incomplete.
fn length(bytes: &[u8]) -> io::Result<Option<usize>> {
    const END: &[u8] = b"\r\n\r\n";
    if bytes.starts_with(b"GET ") && bytes.ends_with(END) {
        return Ok(Some(bytes.len()));
    }
    let Some(end) = bytes.windows(END.len()).position(|window| window == END) else {
        return Ok(None);
    };
    let lines = bytes[..end].split(|byte| *byte == b'\n');
    let mut body = 0;
    for line in lines {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':').unwrap_or(0));
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Err(io::Error::other("a body without a length"));
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = value[1..].trim_ascii();
            let number = std::str::from_utf8(digits)
                .ok()
                .and_then(|text| text.parse().ok());
            body = number.ok_or_else(|| io::Error::other("a length that is no number"))?;
        }
    }
    let whole = end + END.len() + body;
    if bytes.len() > whole {
        return Err(io::Error::other("more than one request at a time"));
    }
    Ok(Some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_request_is_its_head_and_its_body() {
        let get = b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n";
        assert_eq!(length(get).unwrap(), Some(get.len()));
        assert_eq!(length(&get[..20]).unwrap(), None);
        let post = b"POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc";
        assert_eq!(
            length(post).unwrap(),
            Some(post.len() + 2),
            "two bytes are to come"
        );
    }

    #[test]
    fn what_it_is_not_made_for_is_an_error() {
        for request in [
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: five\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\nGET /a",
        ] {
            assert!(length(request.as_bytes()).is_err(), "{request:?}");
        }
    }

    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let answer = answer();
        assert!(
            answer.ends_with(&[b'x'; BODY]) && answer[answer.len() - BODY - 4..].starts_with(b"\r\n\r\n")
        );
    }
}
