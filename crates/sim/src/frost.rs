//! A stream whose reader can be stopped, as a process is by SIGSTOP: connections stay open, and nothing is read.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use turmoil::net::TcpStream;

/// Until when nothing is read, in simulated time. Shared by all streams of a host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frost(Rc<Cell<Duration>>);

impl Frost {
    /// Stops reading until this moment.
    pub(crate) fn until(&self, moment: Duration) {
        self.0.set(moment);
    }
}

/// A stream that obeys a [`Frost`].
pub(crate) struct Frozen {
    stream: TcpStream,
    frost: Frost,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Frozen {
    pub(crate) fn new(stream: TcpStream, frost: Frost) -> Self {
        Self {
            stream,
            frost,
            timer: None,
        }
    }
}

impl AsyncRead for Frozen {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let left = self
                .frost
                .0
                .get()
                .saturating_sub(turmoil::sim_elapsed().unwrap_or_default());
            if left.is_zero() {
                self.timer = None;
                return Pin::new(&mut self.stream).poll_read(cx, buf);
            }
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(left)));
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
        }
    }
}

impl AsyncWrite for Frozen {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
