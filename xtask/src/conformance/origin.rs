//! A server behind the gateway that reads whatever a request may be and answers with a few bytes, on threads of this
//! program.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use anyhow::Context as _;

/// Enough that h2spec's windows of one byte and of three matter.
const BODY: &[u8] = b"an answer that is long enough to be cut";

/// Serves until this program ends.
///
/// # Errors
/// There is no port.
pub(crate) fn serve() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening for the gateway")?;
    let address = listener.local_addr().context("listening for the gateway")?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A connection that fails is the gateway's to notice.
            std::thread::spawn(move || drop(answer_all(stream)));
        }
    });
    Ok(address)
}

fn answer_all(stream: TcpStream) -> io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line)? > 0 {
        let head_only = line.starts_with("HEAD ");
        let (mut length, mut chunked) = (0, false);
        while line.trim_end() != "" {
            line.clear();
            stream.read_line(&mut line)?;
            let field = line.to_ascii_lowercase();
            chunked |= field.starts_with("transfer-encoding: chunked");
            if let Some(value) = field.strip_prefix("content-length: ") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        skip(&mut stream, length)?;
        if chunked {
            skip_chunks(&mut stream)?;
        }
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", BODY.len()).into_bytes();
        if !head_only {
            answer.extend(BODY);
        }
        out.write_all(&answer)?;
        line.clear();
    }
    Ok(())
}

fn skip_chunks(stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        if size == 0 {
            // Trailers, and the empty line behind them.
            while line.trim_end() != "" {
                line.clear();
                stream.read_line(&mut line)?;
            }
            return Ok(());
        }
        skip(stream, size + 2)?;
    }
}

fn skip(stream: &mut BufReader<TcpStream>, bytes: u64) -> io::Result<()> {
    io::copy(&mut stream.by_ref().take(bytes), &mut io::sink()).map(drop)
}
