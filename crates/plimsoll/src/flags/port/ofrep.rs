//! OFREP 0.3.0: OpenFeature's remote evaluation protocol.
//!
//! One flag is evaluated for providers on servers, all of them for those in browsers, which come back with the ETag of
//! what they have. It is the hash of the whole answer, and not of definitions and context: an answer may change with
//! the time, too, and a 304 is never wrong this way. It costs the evaluation, which costs little.
//!
//! Clients in the field are less strict than the specification, and are taken as they are: without a body, a context or
//! a `targetingKey` a flag is evaluated for nobody in particular.

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::body::Body as HttpBody;
use plimsoll_flags::{Context, ErrorCode, Evaluation};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::answer::{self, Unread};
use super::body::Body;
use super::evaluation::metadata;
use super::{Port, sse};

/// Everything below is OFREP's.
pub(super) const ROOT: &str = "/ofrep/";

const FLAGS: &str = "/ofrep/v1/evaluate/flags";

/// How long somebody who was told of a change by another process waits for it to be here, too.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// What is to be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    One(String),
    All,
}

impl Wanted {
    fn of(path: &str) -> Option<Self> {
        let rest = path.strip_prefix(FLAGS)?;
        if matches!(rest, "" | "/") {
            return Some(Self::All);
        }
        // Some clients escape a slash in a key, and some do not.
        rest.strip_prefix('/').map(|key| Self::One(percent_decoded(key)))
    }

    /// A failure of the request, in the form that this kind of request has for it.
    fn failure(&self, status: StatusCode, code: &str, details: &str) -> Response<Body> {
        let mut body = json!({ "errorCode": code, "errorDetails": details });
        if let Self::One(key) = self {
            body["key"] = key.as_str().into();
        }
        response(status, body.to_string())
    }
}

impl Port {
    pub(super) async fn ofrep<B>(&self, head: &Parts, body: B) -> Response<Body>
    where
        B: HttpBody<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let Some(wanted) = Wanted::of(head.uri.path()) else {
            let details = format!("there is nothing here; POST {FLAGS} or {FLAGS}/KEY");
            return general(StatusCode::NOT_FOUND, &details);
        };
        if head.method != Method::POST {
            let mut response = general(StatusCode::METHOD_NOT_ALLOWED, "flags are evaluated with POST");
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        if !self.admits(head) {
            let refusal = general(StatusCode::UNAUTHORIZED, answer::TOKEN_WANTED);
            return answer::challenged(refusal);
        }
        let body = match answer::read(body).await {
            Ok(body) => body,
            Err(unread) => {
                let status = match unread {
                    Unread::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                    Unread::TooSlow => StatusCode::REQUEST_TIMEOUT,
                    Unread::Broken => StatusCode::BAD_REQUEST,
                };
                return wanted.failure(status, "GENERAL", &unread.sentence());
            }
        };
        let context = match context(&body) {
            Ok(context) => context,
            Err((code, details)) => {
                return wanted.failure(StatusCode::BAD_REQUEST, code.as_str(), &details);
            }
        };
        match &wanted {
            Wanted::One(key) => self.one(key, &context),
            Wanted::All => {
                self.catch_up(head.uri.query().unwrap_or_default()).await;
                self.all(&context, &head.headers)
            }
        }
    }

    fn one(&self, key: &str, context: &Context) -> Response<Body> {
        let served = self.served();
        let evaluation = served.set.evaluate(key, context, self.now_s());
        let status = match evaluation.error {
            None => StatusCode::OK,
            Some((ErrorCode::FlagNotFound, _)) => StatusCode::NOT_FOUND,
            Some(_) => StatusCode::BAD_REQUEST,
        };
        response(status, shown(key, &evaluation).to_string())
    }

    fn all(&self, context: &Context, headers: &HeaderMap) -> Response<Body> {
        let (served, now_s) = (self.served(), self.now_s());
        let flags = served.set.flags().map(|flag| {
            let evaluation = served.set.evaluate(flag.key(), context, now_s);
            shown(flag.key(), &evaluation)
        });
        let ticket = self
            .config
            .token
            .as_ref()
            .and_then(super::super::served::TokenCheck::ticket);
        let body = json!({
            "flags": flags.collect::<Vec<_>>(),
            "metadata": metadata(served.set.metadata()),
            // Without an origin: providers put their own before it, which is right behind any proxy.
            "eventStreams": [
                { "type": "sse", "endpoint": { "requestUri": sse::address(ticket.as_deref()) } },
            ],
        });
        let body = body.to_string();
        let tag = tag(body.as_bytes());
        let mut response = if is_known(headers, &tag) {
            let mut unchanged = Response::new(Body::empty());
            *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
            unchanged
        } else {
            response(StatusCode::OK, body)
        };
        let tag = HeaderValue::from_str(&tag).expect("hexadecimal digits in quotes");
        response.headers_mut().insert(ETAG, tag);
        response
    }

    /// Waits for the definitions that an event has told of, if they are newer than those here: the event may have come
    /// from another process, and this answer would be what its reader goes on with.
    async fn catch_up(&self, query: &str) {
        let told = |wanted: &str| {
            let mut told = form_urlencoded::parse(query.as_bytes());
            told.find(|(name, _)| name == wanted).map(|(_, value)| value)
        };
        let Some(etag) = told("flagConfigEtag") else {
            return;
        };
        let modified = told("flagConfigLastModified").and_then(|modified| modified.parse::<u64>().ok());
        let mut served = self.config.served.clone();
        let is_behind = {
            let served = served.borrow();
            served.digest != *etag && modified.is_none_or(|modified| modified > served.changed_at)
        };
        if is_behind {
            // Late or never, the answer is what there is then.
            _ = timeout(BEHIND_MAX, served.wait_for(|served| served.digest == *etag)).await;
        }
    }

    fn now_s(&self) -> u64 {
        (self.config.wall)().as_secs()
    }
}

/// The context that a body has in it.
fn context(body: &[u8]) -> Result<Context, (ErrorCode, String)> {
    const RIGHT: &str = r#"send {"context": {"targetingKey": "…", …}}"#;
    if body.is_empty() {
        return Ok(Context::default());
    }
    let mut body = match serde_json::from_slice(body) {
        Ok(Value::Object(body)) => body,
        Ok(_) => {
            return Err((
                ErrorCode::InvalidContext,
                format!("the body is not an object; {RIGHT}"),
            ));
        }
        Err(error) => {
            return Err((
                ErrorCode::ParseError,
                format!("the body is not JSON: {error}; {RIGHT}"),
            ));
        }
    };
    match body.remove("context") {
        None | Some(Value::Null) => Ok(Context::default()),
        Some(Value::Object(context)) => Ok(Context::from(context)),
        Some(_) => Err((
            ErrorCode::InvalidContext,
            format!("`context` is not an object; {RIGHT}"),
        )),
    }
}

/// An evaluation as OFREP has it. The provider for Python fails without a `variant`, so there is always one.
fn shown(key: &str, evaluation: &Evaluation<'_>) -> Value {
    let mut fields = Map::new();
    fields.insert("key".to_owned(), key.into());
    if let Some((code, why)) = &evaluation.error {
        fields.insert("errorCode".to_owned(), code.as_str().into());
        fields.insert("errorDetails".to_owned(), why.as_str().into());
    } else {
        fields.insert("reason".to_owned(), evaluation.reason.as_str().into());
        // A null is no value of OFREP's, and is a type mismatch to providers: the code's own default is nearer to it.
        if let Some(value) = evaluation.value.filter(|value| !value.is_null()) {
            fields.insert("value".to_owned(), value.clone());
        }
        let variant = evaluation.variant.as_deref().unwrap_or_default();
        fields.insert("variant".to_owned(), variant.into());
    }
    fields.insert("metadata".to_owned(), metadata(evaluation.metadata).into());
    fields.into()
}

/// A strong entity tag: half of a SHA-256, in quotes.
fn tag(body: &[u8]) -> String {
    let mut tag = "\"".to_owned();
    for byte in &digest(&SHA256, body).as_ref()[..16] {
        _ = write!(tag, "{byte:02x}");
    }
    tag + "\""
}

/// Whether the tag is among those that somebody has. `*` says nothing of what they have, and counts for nothing.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let said = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|said| said.to_str().ok());
    let mut tags = said.flat_map(|said| said.split(','));
    tags.any(|known| {
        let known = known.trim();
        known.strip_prefix("W/").unwrap_or(known) == tag
    })
}

/// An answer of which OFREP says no more than that it may have details.
pub(super) fn general(status: StatusCode, details: &str) -> Response<Body> {
    response(status, json!({ "errorDetails": details }).to_string())
}

fn response(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// A part of a path as it was before it was escaped. A sign that escapes nothing stands for itself; what is no UTF-8 is
/// the key of no flag.
fn percent_decoded(text: &str) -> String {
    let digit = |at: usize| char::from(*text.as_bytes().get(at)?).to_digit(16);
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.as_bytes().get(at) {
        if let (b'%', Some(high), Some(low)) = (byte, digit(at + 1), digit(at + 2)) {
            bytes.push((16 * high + low) as u8);
            at += 3;
        } else {
            bytes.push(byte);
            at += 1;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_flag_or_all() {
        assert_eq!(Wanted::of("/ofrep/v1/evaluate/flags"), Some(Wanted::All));
        assert_eq!(Wanted::of("/ofrep/v1/evaluate/flags/"), Some(Wanted::All));
        let one = |key: &str| Some(Wanted::One(key.to_owned()));
        assert_eq!(
            Wanted::of("/ofrep/v1/evaluate/flags/a%20b/c%2Fd%"),
            one("a b/c/d%")
        );
        assert_eq!(Wanted::of("/ofrep/v1/evaluate/flagsx"), None);
    }

    #[test]
    fn tags_are_known_in_every_spelling_but_the_star() {
        let tag = tag(b"x");
        let is_known = |said: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_str(said).unwrap());
            is_known(&headers, &tag)
        };
        assert!(is_known(&tag) && is_known(&format!("\"a\", W/{tag}")));
        assert!(!is_known("*") && !is_known(tag.trim_matches('"')));
    }

    #[test]
    fn a_body_that_is_none_is_told_what_it_should_be() {
        let (code, details) = context(b"{").unwrap_err();
        assert_eq!(code, ErrorCode::ParseError);
        assert!(
            details.contains("line 1") && details.ends_with("…}}"),
            "{details}"
        );
        assert_eq!(context(b"[]").unwrap_err().0, ErrorCode::InvalidContext);
        assert_eq!(
            context(br#"{"context": 1}"#).unwrap_err().0,
            ErrorCode::InvalidContext
        );
        assert_eq!(context(b"").unwrap(), Context::default());
        assert_eq!(context(br#"{"context": null}"#).unwrap(), Context::default());
    }
}
