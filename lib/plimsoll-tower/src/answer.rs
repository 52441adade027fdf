//! From a refusal to an answer: the one layer that chooses a status, from the Reason table and from nowhere else.
//!
//! It stands outermost in a server. HTTP callers get an RFC 9457 problem document, gRPC callers a status with
//! `google.rpc` details, word for word as the gateway says them. After it there is no error left, as axum and tonic want
//! it. An error that is no refusal is told by [`reason_of`], without its text: that is for logs, not for strangers.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{BoxError, Refused, reason_of, wire};

/// Answers what the layers inside refused: a problem document, or a gRPC status.
///
/// ```
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Empty};
/// use bytes::Bytes;
/// use plimsoll_tower::{AnswerLayer, BulkheadLayer};
/// use tower::{Layer, Service, ServiceBuilder, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let service = service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new(Empty::<Bytes>::new())));
/// let mut service = ServiceBuilder::new().layer(AnswerLayer::new()).layer(BulkheadLayer::new(0)).service(service);
/// let answer = service.call(Request::new(())).await.unwrap();
/// assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"1".parse().unwrap()));
/// let problem = answer.into_body().collect().await.unwrap().to_bytes();
/// assert!(problem.starts_with(br#"{"type":"urn:plimsoll:reason:bulkhead-full""#));
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AnswerLayer(());

impl AnswerLayer {
    /// It has nothing to set: what is said stands in the table.
    pub const fn new() -> Self {
        Self(())
    }
}

impl<S> Layer<S> for AnswerLayer {
    type Service = AnswerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AnswerService { inner, unready: None }
    }
}

/// The service of an [`AnswerLayer`].
#[derive(Debug)]
pub struct AnswerService<S> {
    inner: S,
    /// Why the service inside did not get ready: there is nobody to be told before the call.
    unready: Option<BoxError>,
}

impl<S: Clone> Clone for AnswerService<S> {
    fn clone(&self) -> Self {
        let (inner, unready) = (self.inner.clone(), None);
        Self { inner, unready }
    }
}

impl<S, B, A> Service<Request<B>> for AnswerService<S>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Error: Into<BoxError>,
    A: Body<Data = Bytes>,
{
    type Response = Response<AnswerBody<A>>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.unready = ready!(self.inner.poll_ready(cx)).map_err(Into::into).err();
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let headers = request.headers();
        let (grpc, request_id) = (wire::is_grpc(headers), headers.get(&wire::REQUEST_ID).cloned());
        let unready = self.unready.take();
        Answering {
            future: unready.is_none().then(|| self.inner.call(request)),
            unready,
            grpc,
            request_id,
        }
    }
}

pin_project! {
    /// The future of an [`AnswerService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Answering<F> {
        #[pin]
        future: Option<F>,
        unready: Option<BoxError>,
        grpc: bool,
        request_id: Option<HeaderValue>,
    }
}

impl<F, A, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<A>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<AnswerBody<A>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answered = match this.future.as_pin_mut() {
            Some(future) => ready!(future.poll(cx)).map_err(Into::into),
            None => Err(this
                .unready
                .take()
                .expect("it was not called because it was not ready")),
        };
        let answer = match answered {
            Ok(answer) => answer.map(AnswerBody::passed),
            Err(error) => {
                let id = this
                    .request_id
                    .as_ref()
                    .and_then(|id| id.to_str().ok())
                    .unwrap_or("");
                match Refused::find(&*error) {
                    Some(refused) => answer(refused, *this.grpc, id),
                    None => answer(&Refused::new(reason_of(&*error)), *this.grpc, id),
                }
            }
        };
        Poll::Ready(Ok(answer))
    }
}

fn answer<A>(refused: &Refused, grpc: bool, request_id: &str) -> Response<AnswerBody<A>> {
    let problem = refused.problem(request_id);
    let mut headers: HeaderMap = refused.fields.iter().cloned().collect();
    headers.insert(&wire::REASON, HeaderValue::from_static(refused.reason().code()));
    let (status, body) = if grpc {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(&wire::GRPC_STATUS, HeaderValue::from(u16::from(problem.grpc())));
        // Both texts are printable ASCII.
        let texts = [
            (&wire::GRPC_MESSAGE, problem.grpc_message()),
            (&wire::GRPC_DETAILS, problem.grpc_details()),
        ];
        for (name, text) in texts {
            headers.extend(HeaderValue::try_from(text).map(|text| (name.clone(), text)));
        }
        if let Some(millis) = problem.grpc_pushback_ms() {
            headers.insert(&wire::GRPC_PUSHBACK, HeaderValue::from(millis));
        }
        (StatusCode::OK, String::new())
    } else {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = problem.retry_after_seconds() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // Every status of the table and of a checked fault is in 100..=999.
        let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, problem.json())
    };
    let body = Some(Bytes::from(body)).filter(|body| !body.is_empty());
    let whose = if refused.cut_off {
        Whose::CutOff
    } else {
        Whose::Ours { body }
    };
    let mut answer = Response::new(AnswerBody { whose });
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

pin_project! {
    /// The body of an answer: the service's, or a problem document of ours. Where an injected fault wants the connection
    /// broken it is an error, which closes a connection of HTTP/1 and resets a stream of HTTP/2.
    #[derive(Debug)]
    pub struct AnswerBody<A> {
        #[pin]
        whose: Whose<A>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = WhosePart]
    enum Whose<A> {
        Passed { #[pin] body: A },
        Ours { body: Option<Bytes> },
        CutOff,
    }
}

impl<A> AnswerBody<A> {
    const fn passed(body: A) -> Self {
        Self {
            whose: Whose::Passed { body },
        }
    }
}

impl<A> Body for AnswerBody<A>
where
    A: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().whose.project() {
            WhosePart::Passed { body } => body.poll_frame(cx).map_err(Into::into),
            WhosePart::Ours { body } => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            WhosePart::CutOff => Poll::Ready(Some(Err("a fault was injected on purpose".into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.whose {
            Whose::Passed { body } => body.is_end_stream(),
            Whose::Ours { body } => body.is_none(),
            Whose::CutOff => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.whose {
            Whose::Passed { body } => body.size_hint(),
            Whose::Ours { body } => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
            Whose::CutOff => SizeHint::default(),
        }
    }
}
