//! A small HTTP/1.1 client of one origin, with keep-alive.
//!
//! Connections are opened as needed up to a bound and kept for the next request. A request is sent once: only
//! one that never left (its kept connection had been closed meanwhile) goes out again on another. Whoever calls
//! says how long the whole may take, waiting for a connection included.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::socket::Socket;

/// The desk and its broker speak in short JSON; anything larger is a mistake.
const BODY_MAX: usize = 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Client {
    host: String,
    port: u16,
    authority: HeaderValue,
    permits: Semaphore,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

/// The text does not name an origin that can be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not of the form http://host:port")]
pub struct BadOrigin(String);

/// Why there is no whole answer. Except for [`ClientError::Connect`], the request may have arrived.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("no answer in time")]
    TimedOut,
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("the connection broke")]
    Broken(#[source] hyper::Error),
    #[error("the answer broke off or is too large")]
    Body,
}

impl Client {
    /// A client of `http://host[:port]`, with at most so many connections at a time.
    pub(crate) fn new(origin: &str, connections_max: usize) -> Result<Self, BadOrigin> {
        let bad = || BadOrigin(origin.to_owned());
        let uri: Uri = origin.parse().map_err(|_| bad())?;
        let authority = uri.authority().ok_or_else(bad)?;
        if uri.scheme_str() != Some("http") || uri.path() != "/" || uri.query().is_some() {
            return Err(bad());
        }
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| bad())?,
            permits: Semaphore::new(connections_max),
            idle: Mutex::default(),
        })
    }

    /// Sends a request, whose URI is a path, and reads the whole answer.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        within: Duration,
    ) -> Result<Response<Bytes>, ClientError> {
        tokio::time::timeout(within, self.exchange(request))
            .await
            .map_err(|_| ClientError::TimedOut)?
    }

    async fn exchange(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Bytes>, ClientError> {
        request.headers_mut().insert(header::HOST, self.authority.clone());
        let _permit = self
            .permits
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let (mut connection, response) = loop {
            let (mut connection, kept) = match self.take_idle() {
                Some(connection) => (connection, true),
                None => (self.connect().await?, false),
            };
            match connection.ready().await {
                Ok(()) => {}
                Err(_) if kept => continue,
                Err(error) => return Err(ClientError::Broken(error)),
            }
            match connection.try_send_request(request).await {
                Ok(response) => break (connection, response),
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) if kept => request = unsent,
                    _ => return Err(ClientError::Broken(failed.into_error())),
                },
            }
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, BODY_MAX)
            .collect()
            .await
            .map_err(|_| ClientError::Body)?
            .to_bytes();
        // A connection that the other side is about to close never becomes ready; it is found out when taken.
        if connection.ready().await.is_ok() {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
        Ok(Response::from_parts(head, body))
    }

    fn take_idle(&self) -> Option<SendRequest<Full<Bytes>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(ClientError::Connect)?;
        let (sender, connection) = http1::handshake(Socket::new(stream))
            .await
            .map_err(ClientError::Broken)?;
        // It ends with its sender, and its error is the one that the sender's request reports.
        tokio::spawn(connection);
        Ok(sender)
    }
}
