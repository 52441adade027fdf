//! The gateway's world, made of turmoil's.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use gateway::env::{Accepted, Boxed, Stream, World, WorldListener};
use turmoil::net::{TcpListener, TcpStream};

/// When every run begins, in time since the Unix epoch: a fixed moment, so that no trace knows the date of its run.
pub(crate) const EPOCH: Duration = Duration::from_hours(500_000);

/// The simulated network, names and wall clock of the host that the gateway runs on.
#[derive(Debug)]
pub(crate) struct Simulated;

impl World for Simulated {
    fn connect(&self, address: SocketAddr) -> Boxed<'_, io::Result<Stream>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            Ok(Stream::Other(Box::new(stream)))
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
        EPOCH + turmoil::sim_elapsed().unwrap_or_default()
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
