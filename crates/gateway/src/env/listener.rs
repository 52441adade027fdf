//! Listening sockets: one per core, bound before anything is promised.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::{Env, Stream, WorldListener};
use crate::plan::ListenAddress;

/// A connection that was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// Its bytes.
    pub stream: Stream,
    /// Who called; `None` over a Unix socket.
    pub peer: Option<SocketAddr>,
}

/// A bound socket on its way to the core that will accept on it.
pub struct Bound(Socket_);

enum Socket_ {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
    World(Box<dyn WorldListener>),
}

/// A listening socket on its core.
pub(crate) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
    World(Box<dyn WorldListener>),
}

/// Connections that the kernel may hold for us while we are busy.
const BACKLOG: i32 = 4096;

impl Env {
    /// Binds `address` once for each core, so that the kernel spreads connections over them (`SO_REUSEPORT`).
    ///
    /// `ours` says that we listen there already, under a name that is about to go: then the address is shared with the
    /// old sockets until they are left.
    ///
    /// # Errors
    /// Whatever bind and listen say; nothing stays bound then. `AddrInUse` if somebody else listens there.
    pub async fn bind(&self, address: &ListenAddress, cores: usize, ours: bool) -> io::Result<Vec<Bound>> {
        match (&self.world, address) {
            (None, ListenAddress::Tcp(address)) => {
                if !ours {
                    refuse_taken(*address)?;
                }
                let mut sockets = vec![bind_tcp(*address)?];
                let address = sockets[0].local_addr()?;
                for _ in 1..cores {
                    sockets.push(bind_tcp(address)?);
                }
                Ok(sockets
                    .into_iter()
                    .map(|socket| Bound(Socket_::Tcp(socket)))
                    .collect())
            }
            (None, ListenAddress::Unix(path)) => {
                let first = bind_unix(path, ours)?;
                let mut sockets = vec![first];
                for _ in 1..cores {
                    sockets.push(sockets[0].try_clone()?);
                }
                Ok(sockets
                    .into_iter()
                    .map(|socket| Bound(Socket_::Unix(socket)))
                    .collect())
            }
            (Some(world), ListenAddress::Tcp(address)) => {
                Ok(vec![Bound(Socket_::World(world.listen(*address).await?))])
            }
            (Some(_), ListenAddress::Unix(_)) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Fails if anybody listens on `address` already. `SO_REUSEPORT` alone would share the port with another process of
/// the same user without a word, and half of its traffic would come here.
fn refuse_taken(address: SocketAddr) -> io::Result<()> {
    let probe = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    probe.set_reuse_address(true)?;
    probe.bind(&address.into())
}

/// Binds `address` for one core.
fn bind_tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it on Linux, which saves a system call per connection.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Binds a Unix socket. A socket file that nobody listens on (left behind by a crash) is replaced; one that answers
/// is not unless it is ours, nor is anything that is not a socket.
fn bind_unix(path: &Path, ours: bool) -> io::Result<std::os::unix::net::UnixListener> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if is_socket && (ours || std::os::unix::net::UnixStream::connect(path).is_err()) {
        std::fs::remove_file(path)?;
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Bound {
    /// Takes over a socket that somebody else has bound and listens on.
    ///
    /// # Errors
    /// It is no stream socket that listens, of TCP or Unix, or the system refuses to make it ours.
    pub fn adopt(socket: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(socket);
        if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
            return Err(io::Error::other("it is no stream socket that listens"));
        }
        socket.set_cloexec(true)?;
        socket.set_nonblocking(true)?;
        let domain = socket.local_addr()?.domain();
        if domain == Domain::UNIX {
            return Ok(Self(Socket_::Unix(socket.into())));
        }
        if domain != Domain::IPV4 && domain != Domain::IPV6 {
            return Err(io::Error::other("it is neither a TCP nor a Unix socket"));
        }
        socket.set_tcp_nodelay(true)?;
        Ok(Self(Socket_::Tcp(socket.into())))
    }

    /// Another descriptor of the same socket: both take from one queue of connections.
    ///
    /// # Errors
    /// Whatever `dup` says; `Unsupported` in a simulation.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(match &self.0 {
            Socket_::Tcp(socket) => Socket_::Tcp(socket.try_clone()?),
            Socket_::Unix(socket) => Socket_::Unix(socket.try_clone()?),
            Socket_::World(_) => return Err(io::ErrorKind::Unsupported.into()),
        }))
    }

    /// The descriptor, to be handed to another process; `None` in a simulation.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Socket_::Tcp(socket) => Some(socket.as_fd()),
            Socket_::Unix(socket) => Some(socket.as_fd()),
            Socket_::World(_) => None,
        }
    }

    /// The socket, for whoever is no gateway; `None` if it is not TCP.
    pub fn into_tcp(self) -> Option<std::net::TcpListener> {
        match self.0 {
            Socket_::Tcp(socket) => Some(socket),
            Socket_::Unix(_) | Socket_::World(_) => None,
        }
    }

    /// The path of a Unix socket; `None` for any other, and for one without a name.
    pub fn path(&self) -> Option<PathBuf> {
        match &self.0 {
            Socket_::Unix(socket) => Some(socket.local_addr().ok()?.as_pathname()?.to_owned()),
            Socket_::Tcp(_) | Socket_::World(_) => None,
        }
    }

    /// The TCP address it is bound to; `None` for a Unix socket.
    ///
    /// # Errors
    /// Whatever `getsockname` says.
    pub fn address(&self) -> io::Result<Option<SocketAddr>> {
        match &self.0 {
            Socket_::Tcp(socket) => socket.local_addr().map(Some),
            Socket_::Unix(_) => Ok(None),
            Socket_::World(socket) => socket.address().map(Some),
        }
    }

    /// Registers the socket with the current core's runtime.
    pub(crate) fn listen(self) -> io::Result<Listening> {
        Ok(match self.0 {
            Socket_::Tcp(socket) => Listening::Tcp(TcpListener::from_std(socket)?),
            Socket_::Unix(socket) => Listening::Unix(UnixListener::from_std(socket)?),
            Socket_::World(socket) => Listening::World(socket),
        })
    }
}

impl Listening {
    /// Waits for the next connection.
    pub(crate) async fn accept(&mut self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok(Accepted {
                    stream: Stream::Tcp(stream),
                    peer: Some(peer),
                })
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(Accepted {
                    stream: Stream::Unix(stream),
                    peer: None,
                })
            }
            Self::World(listener) => listener.accept().await,
        }
    }
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bound")
    }
}
