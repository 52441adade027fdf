//! Which part of the port answers a request, who may ask, and what is read of it.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body as HttpBody;
use tokio::time::timeout;

use super::body::Body;
use super::follow::Voice;
use super::rpc::{self, Edition, Serves};
use super::status::{Code, Status};
use super::wire::{self, Framing, Wire};
use super::{Port, cors, ofrep, sse};

/// Bytes of a request's body, as in flagd.
pub(super) const BODY_MAX: usize = 1_000_000;

/// Time for a body to come.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// What a listener has instead of a token.
const TICKET: &str = "ticket";

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    TooLarge,
    TooSlow,
    Broken,
}

impl Unread {
    pub(super) fn sentence(self) -> String {
        match self {
            Self::TooLarge => format!("the body has more than {BODY_MAX} bytes; send a smaller context"),
            Self::TooSlow => format!("the body did not come within {} s", BODY_TIME_MAX.as_secs()),
            Self::Broken => "the body broke off".to_owned(),
        }
    }
}

impl Port {
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let (head, body) = request.into_parts();
        if head.method == Method::OPTIONS {
            return cors::preflight(&head.headers);
        }
        let path = head.uri.path();
        let mut response = match path {
            // There are always flags to serve; what may be missing is a future.
            "/readyz" if *self.closed.borrow() => Self::health(&head, StatusCode::SERVICE_UNAVAILABLE),
            "/healthz" | "/readyz" => Self::health(&head, StatusCode::OK),
            sse::PATH => self.events(&head),
            _ if path.starts_with(ofrep::ROOT) => self.ofrep(&head, body).await,
            _ => match rpc::method(path) {
                Some((method, edition)) => self.call(method, edition, &head, body).await,
                None => wire::unknown_method(&head.headers, path).unwrap_or_else(nothing_here),
            },
        };
        cors::allow(response.headers_mut());
        response
    }

    fn health(head: &Parts, status: StatusCode) -> Response<Body> {
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return not_allowed("GET, HEAD");
        }
        let words = if status.is_success() { "ok\n" } else { "closing\n" };
        text(status, words)
    }

    /// A method of flagd's services.
    async fn call<B>(&self, method: &rpc::Method, edition: Edition, head: &Parts, body: B) -> Response<Body>
    where
        B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        if head.method != Method::POST {
            return not_allowed("POST");
        }
        let streams = matches!(method.serves, Serves::Follow(_));
        let wire = Wire::of(&head.headers, edition);
        let Some(wire) = wire.filter(|wire| match wire.framing {
            Framing::Grpc => true,
            Framing::Connect => !streams,
            Framing::ConnectStream => streams,
        }) else {
            let mut response = text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "");
            let taken = HeaderValue::from_static(wire::ACCEPT_POST);
            response.headers_mut().insert(ACCEPT_POST, taken);
            return response;
        };
        if wire.framing == Framing::Grpc && head.version != Version::HTTP_2 {
            let why = "gRPC is spoken over h2; over HTTP/1.1 there is Connect\n";
            return text(StatusCode::HTTP_VERSION_NOT_SUPPORTED, why);
        }
        if !self.admits(head) {
            let status = Status::new(Code::Unauthenticated, TOKEN_WANTED);
            return wire.refuse(&status);
        }
        let answered = read(body).await.map_err(|unread| {
            let code = match unread {
                Unread::TooLarge => Code::ResourceExhausted,
                Unread::TooSlow => Code::DeadlineExceeded,
                Unread::Broken => Code::InvalidArgument,
            };
            Status::new(code, unread.sentence())
        });
        let request = answered.and_then(|body| wire.read(&head.headers, &body, method.takes));
        let answered = request.and_then(|request| match method.serves {
            Serves::Once(answer) => answer(&self.ask(request, edition)).map(|reply| wire.answer(&reply)),
            Serves::Follow(feed) => {
                // Retried by nobody at once, which is what is wanted of one too many.
                let full = || Status::new(Code::ResourceExhausted, "too many streams are open already");
                let follower = self.follower(Voice::Rpc(feed, wire)).ok_or_else(full)?;
                Ok(wire.stream(follower))
            }
        });
        answered.unwrap_or_else(|status| wire.refuse(&status))
    }

    /// Whether a request may ask: with a token, as bearer or as API key, if one is wanted.
    pub(super) fn admits(&self, head: &Parts) -> bool {
        let Some(check) = &self.config.token else {
            return true;
        };
        let bearer = head.headers.get(AUTHORIZATION).and_then(|said| {
            let (scheme, token) = said.as_bytes().split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
        });
        let key = head.headers.get(X_API_KEY).map(HeaderValue::as_bytes);
        bearer.or(key).is_some_and(|token| check.admits(token))
    }

    /// The same for a listener to events, whose ticket stands in the address.
    pub(super) fn admits_listener(&self, head: &Parts) -> bool {
        let query = head.uri.query().unwrap_or_default();
        let mut shown = form_urlencoded::parse(query.as_bytes());
        let ticket = shown.find(|(name, _)| name == TICKET);
        let check = self.config.token.as_ref();
        self.admits(head)
            || ticket.is_some_and(|(_, ticket)| check.is_some_and(|check| check.admits_ticket(&ticket)))
    }
}

/// What is said to those without a token.
pub(super) const TOKEN_WANTED: &str =
    "a token is wanted here; send it as `Authorization: Bearer …` or as `X-API-Key: …`";

/// The body of a request, in time and within its bound.
///
/// # Errors
/// [`Unread`] says which it is.
pub(super) async fn read<B>(body: B) -> Result<Bytes, Unread>
where
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    // What says so itself need not come first.
    if body.size_hint().lower() > BODY_MAX as u64 {
        return Err(Unread::TooLarge);
    }
    let read = timeout(BODY_TIME_MAX, Limited::new(body, BODY_MAX).collect()).await;
    match read {
        Err(_) => Err(Unread::TooSlow),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Unread::TooLarge),
        Ok(Err(_)) => Err(Unread::Broken),
    }
}

/// Says how to show who one is.
pub(super) fn challenged(mut response: Response<Body>) -> Response<Body> {
    let challenge = HeaderValue::from_static("Bearer realm=\"plimsoll flags\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

fn nothing_here() -> Response<Body> {
    let words = "There is nothing here. Flags are served at /ofrep/v1/evaluate/flags (OFREP), and by the services \
                 flagd.evaluation.v1, flagd.evaluation.v2 and flagd.sync.v1 (gRPC and Connect).\n";
    text(StatusCode::NOT_FOUND, words)
}

fn not_allowed(methods: &'static str) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "");
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(methods));
    response
}

fn text(status: StatusCode, words: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::whole(words));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
