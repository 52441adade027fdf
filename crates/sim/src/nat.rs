//! A way to the endpoints that forgets its connections, as a NAT or a firewall does whose table is full, and as a peer
//! does that loses power: on our side they are open, take what is written, and nothing ever comes back, not even an end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpStream;

/// Bytes that the system takes for a peer that is silent: its send buffer.
const TAKEN_MAX: usize = 64 << 10;

/// Counts how often it has forgotten all that was open. Shared by the connections that go through it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nat(Arc<AtomicU32>);

impl Nat {
    /// Forgets every connection that is open; new ones pass.
    pub(crate) fn forget(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// A connection through it.
    pub(crate) fn through(&self, stream: TcpStream) -> Through {
        Through {
            stream,
            nat: self.clone(),
            opened: self.0.load(Relaxed),
            taken: 0,
        }
    }
}

/// A connection that may be forgotten.
pub(crate) struct Through {
    stream: TcpStream,
    nat: Nat,
    opened: u32,
    /// Bytes that were taken since it was forgotten.
    taken: usize,
}

impl Through {
    fn is_forgotten(&self) -> bool {
        self.nat.0.load(Relaxed) != self.opened
    }
}

// Whoever waits on a connection that is forgotten waits for ever: nothing will wake it.
impl AsyncRead for Through {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_forgotten() {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Through {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if !self.is_forgotten() {
            return Pin::new(&mut self.stream).poll_write(cx, buf);
        }
        let taken = buf.len().min(TAKEN_MAX - self.taken);
        self.taken += taken;
        if taken == 0 && !buf.is_empty() {
            return Poll::Pending;
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_forgotten() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
