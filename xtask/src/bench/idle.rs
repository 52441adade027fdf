//! Many clients that ask once and then rest on their connections.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::Context as _;

use super::origin;
use super::setting::TARGET;

/// Answers take milliseconds; one that takes this long is not coming.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens so many connections and sends a request on each before it reads any answer: all of them are under way at
/// once, and whatever a proxy holds for a request it holds as often.
///
/// # Errors
/// If one cannot be opened, or is not answered as it should.
pub(crate) fn burst(port: u16, connections: usize) -> anyhow::Result<Vec<TcpStream>> {
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("opening a connection")?;
        client
            .set_read_timeout(Some(PATIENCE))
            .context("setting a timeout")?;
        clients.push(client);
    }
    let request = format!("GET {TARGET} HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: bench/1\r\n\r\n");
    for client in &mut clients {
        client
            .write_all(request.as_bytes())
            .context("sending a request")?;
    }
    for client in &mut clients {
        let head = answer(client)?;
        anyhow::ensure!(head.starts_with("HTTP/1.1 200 "), "the answer is {head}");
    }
    Ok(clients)
}

/// How many of them the proxy has closed meanwhile.
///
/// # Errors
/// If a connection cannot be looked at.
pub(crate) fn closed(clients: &[TcpStream]) -> anyhow::Result<usize> {
    let mut closed = 0;
    for client in clients {
        client.set_nonblocking(true).context("looking at a connection")?;
        let waiting = client
            .peek(&mut [0])
            .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        closed += usize::from(!waiting);
    }
    Ok(closed)
}

/// Reads one answer of the origin's, and returns its head.
fn answer(client: &mut TcpStream) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = client.read(&mut chunk).context("reading an answer")?;
        anyhow::ensure!(count > 0, "the connection was closed instead of an answer");
        bytes.extend_from_slice(&chunk[..count]);
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end.filter(|end| bytes.len() >= end + 4 + origin::BODY) {
            return Ok(String::from_utf8_lossy(&bytes[..end]).into_owned());
        }
    }
}

/// The value of a header in one answer.
///
/// # Errors
/// If there is no answer; `None` if it does not have that header.
pub(crate) fn header(port: u16, name: &str) -> anyhow::Result<Option<String>> {
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("opening a connection")?;
    client
        .set_read_timeout(Some(PATIENCE))
        .context("setting a timeout")?;
    let request = format!("GET {TARGET} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
    client
        .write_all(request.as_bytes())
        .context("sending a request")?;
    let head = answer(&mut client)?;
    let value = head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    });
    Ok(value)
}
