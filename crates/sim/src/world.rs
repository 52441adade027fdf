//! The gateway's world, made of turmoil's.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use gateway::env::{Accepted, Boxed, Stream, World, WorldListener};
use turmoil::net::{TcpListener, TcpStream};

use crate::nat::Nat;

/// When every run begins, in time since the Unix epoch: a fixed moment, so that no trace knows the date of its run.
pub(crate) const EPOCH: Duration = Duration::from_hours(500_000);

/// The simulated network, names and wall clock of the host that the gateway runs on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Simulated {
    /// What lies between the gateway and the endpoints.
    pub(crate) nat: Nat,
    /// Seconds by which the wall clock is set wrong.
    wrong: Arc<AtomicI64>,
}

impl Simulated {
    /// Sets the wall clock by so many seconds, as an operator does, or a virtual machine that was asleep.
    pub(crate) fn set_clock(&self, seconds: i64) {
        self.wrong.fetch_add(seconds, Relaxed);
    }
}

impl World for Simulated {
    fn connect(&self, address: SocketAddr) -> Boxed<'_, io::Result<Stream>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            Ok(Stream::Other(Box::new(self.nat.through(stream))))
        })
    }

    fn listen(&self, address: SocketAddr) -> Boxed<'_, io::Result<Box<dyn WorldListener>>> {
        Box::pin(async move {
            let listener: Box<dyn WorldListener> = Box::new(Listener(TcpListener::bind(address).await?));
            Ok(listener)
        })
    }

    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        // turmoil invents an address for a name that it does not know; every name of a plan is a host of the run.
        Box::pin(async move { Ok(vec![SocketAddr::new(turmoil::lookup(host), port)]) })
    }

    fn wall(&self) -> Duration {
        let right = EPOCH + turmoil::sim_elapsed().unwrap_or_default();
        let wrong = self.wrong.load(Relaxed);
        let by = Duration::from_secs(wrong.unsigned_abs());
        if wrong < 0 {
            right.saturating_sub(by)
        } else {
            right + by
        }
    }
}

struct Listener(TcpListener);

impl WorldListener for Listener {
    fn accept(&mut self) -> Boxed<'_, io::Result<Accepted>> {
        Box::pin(async {
            let (stream, peer) = self.0.accept().await?;
            let stream = Stream::Other(Box::new(stream));
            Ok(Accepted {
                stream,
                peer: Some(peer),
            })
        })
    }

    fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
