//! An HTTP/1.1 server: a listener, a task per connection, and a stop that lets them finish.
//!
//! On [`Server::stop`], or when the handle is dropped, it accepts no more, lets each connection finish the request it is serving, and after
//! [`GRACE`] drops what is left, so that a stream without end cannot keep the process alive.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::socket::Socket;

/// Beyond this many the rest wait in the listener's backlog; each costs about 20 KiB.
const CONNECTIONS_MAX: usize = 4096;

/// How long a stop waits for requests that are being served.
const GRACE: Duration = Duration::from_secs(3);

/// A failed accept is usually a lack of file descriptors, which asking again at once would not cure.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    stopping: watch::Sender<()>,
    accepting: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start<S, B>(listen: SocketAddr, service: S) -> io::Result<Self>
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let (stopping, stop) = watch::channel(());
        let accepting = tokio::spawn(accept(listener, service, stop));
        Ok(Self {
            address,
            stopping,
            accepting,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn stop(self) {
        self.stopping.send_replace(());
        // Should the accepting task have panicked, it is as stopped as can be.
        let _ = self.accepting.await;
    }
}

async fn accept<S, B>(listener: TcpListener, service: S, stop: watch::Receiver<()>)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let mut stopping = stop.clone();
    loop {
        tokio::select! {
            biased;
            _ = stopping.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, service.clone(), stop.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GRACE, finished).await;
    connections.shutdown().await;
}

async fn serve<S, B>(stream: TcpStream, service: S, mut stop: watch::Receiver<()>)
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    let mut connection = pin!(http1::Builder::new().serve_connection(Socket::new(stream), service));
    // An error here is a client that went away or does not speak HTTP; there is nobody left to tell.
    let finished = tokio::select! {
        biased;
        _ = connection.as_mut() => true,
        _ = stop.changed() => false,
    };
    if !finished {
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

/// Reads a request body up to a size; a larger one fails with [`http_body_util::LengthLimitError`].
pub(crate) async fn read_body(
    body: Incoming,
    size_max: usize,
) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
    Ok(Limited::new(body, size_max).collect().await?.to_bytes())
}
