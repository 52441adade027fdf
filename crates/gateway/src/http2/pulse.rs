//! Whether the peer of a connection is still there.
//!
//! ```text
//! heard of it => (quiet for the interval) => asked by a PING => (quiet for the timeout) => dead
//! ```
//!
//! A clock is not read for every frame: reading leaves a mark, and a few times per interval somebody looks for it.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::Sleep;

use crate::env::Env;

/// What the parts of a connection know of its peer.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Whether bytes have come since somebody looked.
    heard: Cell<bool>,
    /// Streams under way, where only these are a reason to ask.
    streams: Cell<u32>,
}

impl Pulse {
    /// Bytes have come.
    pub(super) fn heard(&self) {
        self.heard.set(true);
    }

    pub(super) fn stream_begun(&self) {
        self.streams.set(self.streams.get() + 1);
    }

    pub(super) fn stream_over(&self) {
        self.streams.set(self.streams.get() - 1);
    }

    pub(super) fn has_streams(&self) -> bool {
        self.streams.get() > 0
    }
}

/// How long silence is borne.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Then the peer is asked.
    pub(super) interval: Duration,
    /// And then it is dead.
    pub(super) timeout: Duration,
    /// Whether a peer that owes nothing is asked too.
    pub(super) while_idle: bool,
}

/// Looks for marks so often within an interval: the silence that is borne is right to a quarter of it.
const LOOKS: u32 = 4;

/// See the module's header.
pub(super) struct KeepAlive {
    env: Env,
    pulse: Rc<Pulse>,
    patience: Patience,
    pings: Option<PingPong>,
    timer: Pin<Box<Sleep>>,
    /// Looks in a row that found nothing.
    quiet: u32,
}

impl KeepAlive {
    pub(super) fn new(env: &Env, pulse: Rc<Pulse>, pings: Option<PingPong>, patience: Patience) -> Self {
        Self {
            timer: Box::pin(env.sleep(patience.interval / LOOKS)),
            env: env.clone(),
            pulse,
            patience,
            pings,
            quiet: 0,
        }
    }

    /// Ready when the peer is dead. To be polled behind the connection, so that what has come is read before it is
    /// judged; a PING wakes the connection by itself.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let is_asked = self.quiet == LOOKS;
            if self.pulse.heard.take() || !(self.pulse.has_streams() || self.patience.while_idle) {
                self.quiet = 0;
            } else if is_asked {
                return Poll::Ready(());
            } else {
                self.quiet += 1;
            }
            let wait = if self.quiet == LOOKS {
                self.ask();
                self.patience.timeout
            } else {
                self.patience.interval / LOOKS
            };
            self.timer.set(self.env.sleep(wait));
        }
    }

    fn ask(&mut self) {
        if let Some(pings) = &mut self.pings {
            // The answer to the last one left its mark as all that is read; here it only makes way for the next.
            let _pong = pings.poll_pong(&mut Context::from_waker(Waker::noop()));
            // If the last one was not answered it is still under way, and as good.
            let _sent = pings.send_ping(Ping::opaque());
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::DuplexStream;

    use super::*;
    use crate::env::Stream;
    use crate::http2::socket::Socket;

    const PATIENCE: Patience = Patience {
        interval: Duration::from_millis(40),
        timeout: Duration::from_millis(100),
        while_idle: true,
    };

    /// Whether the peer at the other end of a pipe is taken for dead, within twice the time that this takes.
    async fn is_taken_for_dead<F: Future>(patience: Patience, peer: impl FnOnce(DuplexStream) -> F) -> bool {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let pulse = Rc::new(Pulse::default());
        let stream = Socket::outbound(Stream::Other(Box::new(ours)), &pulse);
        let shaken = h2::client::Builder::new().handshake::<_, Bytes>(stream).await;
        let (_requests, mut connection) = shaken.unwrap();
        let mut keep_alive = KeepAlive::new(&Env::real(), pulse, connection.ping_pong(), patience);
        let dead = std::future::poll_fn(|cx| {
            assert!(Pin::new(&mut connection).poll(cx).is_pending());
            keep_alive.poll(cx)
        });
        let dead = tokio::time::timeout((patience.interval + patience.timeout) * 2, dead);
        tokio::select! {
            biased;
            dead = dead => dead.is_ok(),
            _ = peer(theirs) => false,
        }
    }

    async fn answers(theirs: DuplexStream) {
        let mut connection = h2::server::handshake(theirs).await.unwrap();
        drop(connection.accept().await);
    }

    #[tokio::test]
    async fn a_peer_that_answers_lives_and_one_that_does_not_is_dead() {
        assert!(!is_taken_for_dead(PATIENCE, answers).await);
        let silent = |theirs: DuplexStream| async move {
            let _open = theirs;
            std::future::pending::<()>().await;
        };
        assert!(is_taken_for_dead(PATIENCE, silent).await);
        let if_it_owes = Patience {
            while_idle: false,
            ..PATIENCE
        };
        assert!(!is_taken_for_dead(if_it_owes, silent).await);
    }
}
