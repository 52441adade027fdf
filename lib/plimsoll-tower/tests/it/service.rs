//! A service that does what each request's script says.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full};
use plimsoll_slo::Reason;
use plimsoll_tower::{BoxError, Refused};
use tokio::sync::mpsc;
use tower::Service;

/// What becomes of each attempt at a request, in turn, and what the service saw of it. An extension of the request.
#[derive(Clone, Default)]
pub(crate) struct Script {
    attempts: Vec<(String, Duration)>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// An attempt as the service saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) headers: HeaderMap,
    pub(crate) deadline: Option<Duration>,
    pub(crate) body: Bytes,
}

impl Script {
    /// `503:20,reset:5`: what becomes of it, and how many milliseconds that takes.
    pub(crate) fn of(text: &str) -> Self {
        let attempt = |text: &str| {
            let (what, takes) = text.split_once(':').unwrap();
            (what.to_owned(), Duration::from_millis(takes.parse().unwrap()))
        };
        Self {
            attempts: text.split(',').map(attempt).collect(),
            ..Self::default()
        }
    }

    /// What the service has seen so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// A GET with this script.
pub(crate) fn get(script: &Script) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    request.extensions_mut().insert(script.clone());
    request
}

/// Plays the script of each request. Its answers carry `body`.
#[derive(Clone, Default)]
pub(crate) struct Scripted {
    pub(crate) body: Bytes,
}

impl<B> Service<Request<B>> for Scripted
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = Full::new(self.body.clone());
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let script = parts.extensions.get::<Script>().unwrap().clone();
            let body = body.collect().await.map_err(Into::into)?.to_bytes();
            let deadline = parts.extensions.get().map(plimsoll_tower::Deadline::left);
            let turn = {
                let mut seen = script.seen.lock().unwrap();
                seen.push(Seen {
                    headers: parts.headers,
                    deadline,
                    body,
                });
                seen.len() - 1
            };
            let (what, takes) = &script.attempts[turn];
            tokio::time::sleep(*takes).await;
            become_of(what, answer)
        })
    }
}

fn become_of(what: &str, answer: Full<Bytes>) -> Result<Response<Full<Bytes>>, BoxError> {
    let refused = |reason| Err(Refused::new(reason).into());
    if let Some(reason) = Reason::from_code(what) {
        return refused(reason);
    }
    match what {
        "reset" => Err("the connection broke".into()),
        "refused" => Err(Box::new(std::io::Error::from(
            std::io::ErrorKind::ConnectionRefused,
        ))),
        "late" => refused(Reason::UpstreamTimeout),
        "caller" => refused(Reason::ClientClosed),
        _ => {
            let (status, after) = what.split_once('/').unwrap_or((what, ""));
            let mut answered = Response::builder();
            if !after.is_empty() {
                answered = answered.header("retry-after", after);
            }
            answered = match status.strip_prefix("grpc") {
                Some(code) => answered.header("grpc-status", code),
                None => answered.status(status),
            };
            Ok(answered.body(answer)?)
        }
    }
}

/// Insists on its contract: whoever calls it has asked it, and not another of its clones, whether it is ready.
#[derive(Default)]
pub(crate) struct Strict {
    ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<B> Service<Request<B>> for Strict
where
    Scripted: Service<Request<B>>,
{
    type Response = <Scripted as Service<Request<B>>>::Response;
    type Error = <Scripted as Service<Request<B>>>::Error;
    type Future = <Scripted as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "the one that is called was not ready"
        );
        Scripted::default().call(request)
    }
}

/// A body whose frames a test sends as it likes; an error breaks it off.
pub(crate) struct Piped(pub(crate) mpsc::Receiver<Result<Frame<Bytes>, BoxError>>);

impl Body for Piped {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(cx)
    }
}
