//! A tonic server that bounds what comes in, and a tonic client that retries within a budget.
//!
//! ```sh
//! cargo run -p plimsoll-tower --example tonic
//! ```
//!
//! Generated clients take any service in the place of a channel, and generated servers any layer, as the two at the end
//! of this file do; those are what a generator would write for one method, with text as its messages.
#![allow(clippy::print_stdout)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use plimsoll_policy::{BreakerConfig, BudgetConfig, DeadlineConfig, RetryBudget, RetryConfig};
use plimsoll_tower::{
    AnswerLayer, BoxError, BreakerLayer, BulkheadLayer, DeadlineLayer, RetryLayer, TryLayer,
};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};
use tower::ServiceBuilder;

/// Serves until the listener fails.
pub(crate) async fn serve(listener: TcpListener) -> Result<(), BoxError> {
    let layers = ServiceBuilder::new()
        // Refusals become statuses with details, which clients of any language read.
        .layer(AnswerLayer::new())
        // By `grpc-timeout`, which every gRPC client sends for its deadline.
        .layer(DeadlineLayer::new(DeadlineConfig::default()))
        .layer(BulkheadLayer::new(100))
        .into_inner();
    let server = Server::builder()
        .layer(layers)
        .add_service(generated::Server(Greeter::default()));
    Ok(server.serve_with_incoming(TcpIncoming::from(listener)).await?)
}

/// Greets, of two calls one time.
#[derive(Clone, Default)]
struct Greeter {
    calls: Arc<AtomicU32>,
}

impl Greeter {
    fn greet(&self, request: Request<String>) -> Result<Response<String>, Status> {
        if self.calls.fetch_add(1, Relaxed).is_multiple_of(2) {
            return Err(Status::unavailable("not in the mood"));
        }
        Ok(Response::new(format!("hello, {}", request.into_inner())))
    }
}

/// Asks the service at `address`.
pub(crate) async fn greet(address: SocketAddr, name: &str) -> Result<String, BoxError> {
    let channel = Endpoint::try_from(format!("http://{address}"))?.connect_lazy();
    let retry = RetryConfig {
        // gRPC calls are all POST; only their author knows that this one may be made twice.
        idempotent: true,
        ..RetryConfig::default()
    };
    let deadline = DeadlineConfig {
        total: Duration::from_secs(2),
        ..DeadlineConfig::default()
    };
    let service = ServiceBuilder::new()
        .layer(DeadlineLayer::new(deadline))
        .layer(RetryLayer::new(
            retry,
            Arc::new(RetryBudget::new(&BudgetConfig::default())),
        ))
        .layer(BreakerLayer::new(BreakerConfig::default()))
        .layer(TryLayer::new(deadline))
        // A channel takes tonic's own body.
        .map_request(|request: http::Request<_>| request.map(Body::new))
        .service(channel);
    let mut client = generated::Client(tonic::client::Grpc::new(service));
    Ok(client.greet(name.to_owned()).await?)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::select! {
        biased;
        greeted = greet(address, "world") => println!("{}, at the second attempt", greeted?),
        served = serve(listener) => served?,
    }
    Ok(())
}

/// What `tonic-build` would write for `service Greeter { rpc Greet(Text) returns (Text) }`.
mod generated {
    use std::convert::Infallible;
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use bytes::{Buf as _, BufMut as _};
    use plimsoll_tower::BoxError;
    use tonic::body::Body;
    use tonic::client::{Grpc, GrpcService};
    use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
    use tonic::server::{NamedService, UnaryService};
    use tonic::{Request, Response, Status};
    use tower::Service;

    use super::Greeter;

    const GREET: &str = "/Greeter/Greet";

    pub(super) struct Client<T>(pub(super) Grpc<T>);

    impl<T> Client<T>
    where
        T: GrpcService<
                Body,
                ResponseBody: http_body::Body<Data = bytes::Bytes, Error: Into<BoxError>> + Send + 'static,
            >,
    {
        pub(super) async fn greet(&mut self, name: String) -> Result<String, Status> {
            let ready = self.0.ready().await.map_err(Into::into);
            ready.map_err(Status::from_error)?;
            let path = http::uri::PathAndQuery::from_static(GREET);
            Ok(self.0.unary(Request::new(name), path, Text).await?.into_inner())
        }
    }

    #[derive(Clone)]
    pub(super) struct Server(pub(super) Greeter);

    impl NamedService for Server {
        const NAME: &'static str = "Greeter";
    }

    impl Service<http::Request<Body>> for Server {
        type Response = http::Response<Body>;
        type Error = Infallible;
        type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: http::Request<Body>) -> Self::Future {
            let greeter = self.0.clone();
            Box::pin(async move { Ok(tonic::server::Grpc::new(Text).unary(greeter, request).await) })
        }
    }

    impl UnaryService<String> for Greeter {
        type Response = String;
        type Future = std::future::Ready<Result<Response<String>, Status>>;

        fn call(&mut self, request: Request<String>) -> Self::Future {
            std::future::ready(self.greet(request))
        }
    }

    /// Messages that are text.
    #[derive(Clone, Copy, Default)]
    pub(super) struct Text;

    impl Codec for Text {
        type Encode = String;
        type Decode = String;
        type Encoder = Self;
        type Decoder = Self;

        fn encoder(&mut self) -> Self {
            Self
        }

        fn decoder(&mut self) -> Self {
            Self
        }
    }

    impl Encoder for Text {
        type Item = String;
        type Error = Status;

        fn encode(&mut self, text: String, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
            out.put_slice(text.as_bytes());
            Ok(())
        }
    }

    impl Decoder for Text {
        type Item = String;
        type Error = Status;

        fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
            let bytes = message.copy_to_bytes(message.remaining());
            let text = String::from_utf8(bytes.into()).map_err(|_| Status::invalid_argument("not UTF-8"))?;
            Ok(Some(text))
        }
    }
}
