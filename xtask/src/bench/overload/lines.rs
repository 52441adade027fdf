//! Connections to one port, as a caller keeps them: opened as needed, kept, and hung up when patience ends.
//!
//! They never wait for each other: what is asked goes out on an idle connection or on a new one.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::wire;

/// What is read at once: more than any answer.
const CHUNK: usize = 16 << 10;

/// What became of something that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Status(u16),
    /// The connection could not be made, or broke.
    Broken,
}

/// Something under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    at: usize,
    generation: u64,
}

#[derive(Debug)]
struct Line<T> {
    stream: TcpStream,
    generation: u64,
    /// It has carried an answer before: the peer may have closed it in the meantime.
    reused: bool,
    request: Vec<u8>,
    sent: usize,
    held: Vec<u8>,
    /// Whose request is under way; `None` while it is idle.
    asking: Option<T>,
}

#[derive(Debug)]
pub(crate) struct Lines<T> {
    port: u16,
    /// Tokens from here on are this side's.
    base: usize,
    slots: Vec<Option<Line<T>>>,
    free: Vec<usize>,
    /// The last one used comes first: few connections stay busy and the others stay idle.
    idle: Vec<Handle>,
    generation: u64,
    chunk: Vec<u8>,
}

impl<T> Lines<T> {
    pub(crate) fn new(port: u16, base: usize) -> Self {
        Self {
            port,
            base,
            slots: Vec::new(),
            free: Vec::new(),
            idle: Vec::new(),
            generation: 0,
            chunk: vec![0; CHUNK],
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// Whose it was, if no connection can be opened.
    pub(crate) fn ask(&mut self, registry: &Registry, request: Vec<u8>, whose: T) -> Result<Handle, T> {
        while let Some(handle) = self.idle.pop() {
            let Some(line) = self.line(handle) else {
                continue;
            };
            line.request = request;
            line.sent = 0;
            line.reused = true;
            line.asking = Some(whose);
            // A failure to write raises an event, which finds it.
            drop(line.send());
            return Ok(handle);
        }
        self.ask_anew(registry, request, whose)
    }

    fn ask_anew(&mut self, registry: &Registry, request: Vec<u8>, whose: T) -> Result<Handle, T> {
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let opened = TcpStream::connect(address).and_then(|mut stream| {
            stream.set_nodelay(true)?;
            registry.register(
                &mut stream,
                Token(self.base + at),
                Interest::READABLE | Interest::WRITABLE,
            )?;
            Ok(stream)
        });
        let Ok(stream) = opened else {
            self.free.push(at);
            return Err(whose);
        };
        self.generation += 1;
        self.slots[at] = Some(Line {
            stream,
            generation: self.generation,
            reused: false,
            request,
            sent: 0,
            held: Vec::new(),
            asking: Some(whose),
        });
        Ok(Handle {
            at,
            generation: self.generation,
        })
    }

    fn line(&mut self, handle: Handle) -> Option<&mut Line<T>> {
        let line = self.slots.get_mut(handle.at)?.as_mut()?;
        (line.generation == handle.generation).then_some(line)
    }

    /// Whose request it is that is under way there, if it still is.
    pub(crate) fn asking(&mut self, handle: Handle) -> Option<&T> {
        self.line(handle)?.asking.as_ref()
    }

    /// Closes the connection of what takes too long, and says whose it was; `None` if it is over already.
    pub(crate) fn hang_up(&mut self, handle: Handle) -> Option<T> {
        self.line(handle)?.asking.as_ref()?;
        self.close(handle.at)?.asking
    }

    fn close(&mut self, at: usize) -> Option<Line<T>> {
        let line = self.slots[at].take()?;
        self.free.push(at);
        Some(line)
    }

    /// Goes on with the connection that this token is about, and says what was heard on it.
    pub(crate) fn ready(&mut self, registry: &Registry, token: Token) -> Option<(T, Heard)> {
        let at = token.0.checked_sub(self.base)?;
        let line = self.slots.get_mut(at)?.as_mut()?;
        match line.go_on(&mut self.chunk) {
            Ok(None) => None,
            Ok(Some(answered)) => {
                let whose = line.asking.take()?;
                line.held.clear();
                if answered.kept {
                    let generation = line.generation;
                    self.idle.push(Handle { at, generation });
                } else {
                    self.close(at);
                }
                Some((whose, Heard::Status(answered.status)))
            }
            Err(_) => {
                let line = self.close(at)?;
                let whose = line.asking?;
                // A kept connection that was closed just before it was used says nothing of the request: any client
                // sends it again (RFC 9112, section 9.3.1), once, for the next connection is new.
                if line.reused && line.held.is_empty() {
                    return match self.ask_anew(registry, line.request, whose) {
                        Ok(_) => None,
                        Err(whose) => Some((whose, Heard::Broken)),
                    };
                }
                Some((whose, Heard::Broken))
            }
        }
    }
}

impl<T> Line<T> {
    fn send(&mut self) -> io::Result<()> {
        while self.sent < self.request.len() {
            match self.stream.write(&self.request[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if is_not_yet(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn go_on(&mut self, chunk: &mut [u8]) -> io::Result<Option<wire::Answered>> {
        if self.asking.is_some() {
            self.send()?;
        }
        loop {
            match self.stream.read(chunk) {
                Ok(0) => {
                    // What has no length ends here, and everything else is broken.
                    let whole = wire::answer(&self.held, true)?;
                    return whole.map(Some).ok_or_else(|| io::ErrorKind::UnexpectedEof.into());
                }
                Ok(count) => {
                    self.held.extend_from_slice(&chunk[..count]);
                    if let Some(answered) = wire::answer(&self.held, false)? {
                        return Ok(Some(answered));
                    }
                }
                Err(error) if is_not_yet(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_not_yet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected | io::ErrorKind::Interrupted
    )
}
