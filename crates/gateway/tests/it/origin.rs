//! What stands behind the gateway: services made with hyper, and sockets that do as a script says.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use gateway::env::Io;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};

/// A body of any kind.
pub(crate) type AnyBody = UnsyncBoxBody<Bytes, io::Error>;

/// A connection of any kind.
pub(crate) type AnyStream = Box<dyn Io>;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.head
            .headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap_or("?"))
    }
}

/// A server on loopback, for as long as it is not dropped.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicU32>,
    accepting: JoinHandle<()>,
}

/// The HTTP that an origin speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
}

impl Origin {
    /// Reads each request to its end, keeps it, and answers as `answer` says.
    pub(crate) async fn answering<B>(answer: impl Fn(&Seen) -> Response<B> + Send + Sync + 'static) -> Self
    where
        B: Body<Data = Bytes, Error: Into<io::Error>> + Send + 'static,
    {
        Self::over(
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            Speaks::Http1,
            answer,
        )
    }

    /// The same over HTTP/2.
    pub(crate) async fn answering_http2<B>(
        answer: impl Fn(&Seen) -> Response<B> + Send + Sync + 'static,
    ) -> Self
    where
        B: Body<Data = Bytes, Error: Into<io::Error>> + Send + 'static,
    {
        Self::over(
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            Speaks::Http2,
            answer,
        )
    }

    /// The same on a socket that is bound already.
    pub(crate) fn over<B>(
        listener: TcpListener,
        speaks: Speaks,
        answer: impl Fn(&Seen) -> Response<B> + Send + Sync + 'static,
    ) -> Self
    where
        B: Body<Data = Bytes, Error: Into<io::Error>> + Send + 'static,
    {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (answer, kept) = (Arc::new(answer), Arc::clone(&seen));
        let mut origin = Self::serving_on(listener, speaks, move |request: Request<Incoming>| {
            let (answer, kept) = (Arc::clone(&answer), Arc::clone(&kept));
            async move {
                let (head, body) = request.into_parts();
                let Ok(body) = body.collect().await else {
                    return Err(io::Error::other("the request broke off"));
                };
                let trailers = body.trailers().cloned().unwrap_or_default();
                let seen = Seen {
                    head,
                    trailers,
                    body: body.to_bytes(),
                };
                kept.lock().unwrap().push(seen.clone());
                Ok(answer(&seen).map(any))
            }
        });
        origin.seen = seen;
        origin
    }

    /// Answers 200 with this body.
    pub(crate) async fn saying(text: &'static str) -> Self {
        Self::answering(move |_| Response::new(Full::from(text).map_err(never))).await
    }

    /// Answers with this status and no body.
    pub(crate) async fn failing(status: u16) -> Self {
        Self::answering(move |_| status_only(status)).await
    }

    /// Gives each request as it comes to `service`.
    pub(crate) async fn serving<F>(
        speaks: Speaks,
        service: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<Response<AnyBody>>> + Send + 'static,
    {
        Self::serving_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), speaks, service)
    }

    fn serving_on<F>(
        listener: TcpListener,
        speaks: Speaks,
        service: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<Response<AnyBody>>> + Send + 'static,
    {
        let service = Arc::new(service);
        Self::raw_on(listener, move |stream, _| {
            let service = Arc::clone(&service);
            async move { serve(Box::new(stream), speaks, move |request| service(request)).await }
        })
    }

    /// Gives each connection, with its number from 0, to `script`.
    pub(crate) async fn raw<F>(script: impl Fn(TcpStream, u32) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::raw_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), script)
    }

    fn raw_on<F>(listener: TcpListener, script: impl Fn(TcpStream, u32) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                open.spawn(script(stream, counted.fetch_add(1, Relaxed)));
            }
        });
        Self {
            address,
            seen: Arc::default(),
            connections,
            accepting,
        }
    }

    /// Reads one request after the other and answers each with these bytes.
    pub(crate) async fn replaying(bytes: &'static [u8]) -> Self {
        Self::raw(move |mut stream, _| async move {
            while read_head(&mut stream).await.is_some() {
                if stream.write_all(bytes).await.is_err() {
                    return;
                }
            }
        })
        .await
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request so far.
    pub(crate) fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen[0].clone()
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> u32 {
        self.connections.load(Relaxed)
    }

    /// Stops listening and breaks every connection.
    pub(crate) async fn kill(&mut self) {
        self.accepting.abort();
        // Aborting drops the listener and, with the JoinSet, the connections.
        let _aborted = (&mut self.accepting).await;
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve<F>(
    stream: AnyStream,
    speaks: Speaks,
    service: impl Fn(Request<Incoming>) -> F + Send + 'static,
) where
    F: Future<Output = io::Result<Response<AnyBody>>> + Send + 'static,
{
    let (io, service) = (TokioIo::new(stream), service_fn(service));
    // A connection that breaks is part of some scripts.
    match speaks {
        Speaks::Http1 => {
            let builder = hyper::server::conn::http1::Builder::new();
            drop(builder.serve_connection(io, service).with_upgrades().await);
        }
        Speaks::Http2 => {
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            drop(builder.serve_connection(io, service).await);
        }
    }
}

/// Serves HTTP/1 on a Unix socket, saying `text`.
pub(crate) fn serve_unix(path: &std::path::Path, text: &'static str) -> JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = move |_| async move { Ok(Response::new(full(text))) };
            tokio::spawn(serve(Box::new(stream), Speaks::Http1, service));
        }
    })
}

/// Reads up to the empty line; `None` when the connection ends before.
pub(crate) async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// Closes the connection by a reset.
pub(crate) fn reset(stream: &TcpStream) {
    socket2::SockRef::from(stream)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
}

/// A whole body.
pub(crate) fn full(bytes: impl Into<Bytes>) -> AnyBody {
    any(Full::new(bytes.into()).map_err(never))
}

/// An answer with a status and no body.
pub(crate) fn status_only(status: u16) -> Response<AnyBody> {
    Response::builder().status(status).body(full("")).unwrap()
}

/// A body that is sent frame by frame, and ends when the sender is dropped.
pub(crate) fn stream() -> (mpsc::Sender<Frame<Bytes>>, AnyBody) {
    let (sender, frames) = mpsc::channel(1);
    (sender, any(Streamed(frames)))
}

/// A body with trailers.
pub(crate) fn with_trailers(bytes: &'static [u8], trailers: &[(&'static str, &'static str)]) -> AnyBody {
    let (sender, frames) = mpsc::channel(2);
    let trailers = trailers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    sender.try_send(Frame::data(Bytes::from_static(bytes))).unwrap();
    sender.try_send(Frame::trailers(trailers.collect())).unwrap();
    any(Streamed(frames))
}

fn any(body: impl Body<Data = Bytes, Error: Into<io::Error>> + Send + 'static) -> AnyBody {
    body.map_err(Into::into).boxed_unsync()
}

pub(crate) fn never(never: std::convert::Infallible) -> io::Error {
    match never {}
}

struct Streamed(mpsc::Receiver<Frame<Bytes>>);

impl Body for Streamed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

/// An origin that answers when it is let, and how to let it.
pub(crate) async fn held() -> (Origin, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let waiting = Arc::clone(&gate);
    let origin = Origin::serving(Speaks::Http1, move |_| {
        let waiting = Arc::clone(&waiting);
        async move {
            waiting.acquire().await.unwrap().forget();
            Ok(Response::new(full("ok")))
        }
    });
    (origin.await, gate)
}

/// An origin that switches protocols, and then says back what it gets.
pub(crate) async fn echoing() -> Origin {
    Origin::raw(|mut stream, _| async move {
        read_head(&mut stream).await.unwrap();
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let (mut read, mut write) = stream.split();
        drop(tokio::io::copy(&mut read, &mut write).await);
    })
    .await
}
