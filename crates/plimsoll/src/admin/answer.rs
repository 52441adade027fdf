//! Answers of the admin port, and the headers that all of them have.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION};
use http::header::{
    REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::body::Body;

/// Everything from this port and nothing else, nothing inline, no frames around it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What is answered, before it is on its way.
#[derive(Debug)]
enum Content {
    Whole(Bytes),
    Stream(mpsc::Receiver<Bytes>),
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    content_type: &'static str,
    content: Content,
    more: Vec<(HeaderName, HeaderValue)>,
    /// It never changes, and may be kept.
    is_lasting: bool,
}

/// Bytes that are not worth squeezing.
const SMALL: usize = 1 << 10;

impl Answer {
    pub(super) fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type,
            content: Content::Whole(body.into()),
            more: Vec::new(),
            is_lasting: false,
        }
    }

    /// One that ends when nobody sends any more.
    pub(super) fn stream(content_type: &'static str, body: mpsc::Receiver<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type,
            content: Content::Stream(body),
            more: Vec::new(),
            is_lasting: false,
        }
    }

    /// What is no header value is left out: those who call this have made it of what is.
    fn with(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.more.push((name, value));
        }
    }

    /// Says how to show who one is.
    pub(super) fn challenge(&mut self) {
        self.with(WWW_AUTHENTICATE, "Bearer realm=\"plimsoll\"");
    }

    pub(super) fn retry_after(&mut self, seconds: u64) {
        self.with(RETRY_AFTER, &seconds.to_string());
    }

    pub(super) fn set_cookie(&mut self, cookie: &str) {
        self.with(SET_COOKIE, cookie);
    }

    /// Says that it is the same for ever, under its path.
    pub(super) fn last(&mut self) {
        self.is_lasting = true;
    }

    /// Takes fewer bytes, if that is worth it and it is whole.
    pub(super) fn squeeze(&mut self) {
        let Content::Whole(text) = &self.content else {
            return;
        };
        if text.len() <= SMALL {
            return;
        }
        let mut squeezed = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::fast());
        let done = squeezed.write_all(text).and_then(|()| squeezed.finish());
        self.content = Content::Whole(done.expect("a vector takes everything").into());
        self.with(CONTENT_ENCODING, "gzip");
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let body = match self.content {
            Content::Whole(text) => Body::Whole(Full::new(text)),
            Content::Stream(stream) => Body::Stream(stream),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let kept = if self.is_lasting {
            "public, max-age=31536000, immutable"
        } else {
            "no-store"
        };
        let headers = response.headers_mut();
        for (name, value) in [
            (CONTENT_TYPE, self.content_type),
            (CACHE_CONTROL, kept),
            (VARY, "accept, accept-encoding"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            // Without any, a browser says of our own forms that they come from nowhere.
            (REFERRER_POLICY, "same-origin"),
            (CONTENT_SECURITY_POLICY, POLICY),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.extend(self.more);
        response
    }
}

pub(super) fn text(status: StatusCode, body: String) -> Answer {
    Answer::new(status, "text/plain; charset=utf-8", body)
}

pub(super) fn html(body: String) -> Answer {
    Answer::new(StatusCode::OK, "text/html; charset=utf-8", body)
}

pub(super) fn json(status: StatusCode, body: &Value) -> Answer {
    Answer::new(status, "application/json", format!("{body:#}\n"))
}

/// Leads a browser to a page of ours, which it is to GET.
pub(super) fn redirect(to: &str) -> Answer {
    let mut answer = Answer::new(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", Bytes::new());
    answer.with(LOCATION, to);
    answer
}

/// A problem document (RFC 9457).
pub(super) fn problem(status: StatusCode, title: &str, detail: &str) -> Answer {
    problem_with(status, title, detail, Vec::new())
}

/// A problem document with a list of what is wrong.
pub(super) fn problem_with(status: StatusCode, title: &str, detail: &str, problems: Vec<String>) -> Answer {
    let mut body = json!({ "title": title, "status": status.as_u16() });
    if !detail.is_empty() {
        body["detail"] = detail.into();
    }
    if !problems.is_empty() {
        body["problems"] = problems.into();
    }
    Answer::new(status, "application/problem+json", format!("{body:#}\n"))
}

/// The page is known, but not with this method.
pub(super) fn not_allowed(allow: &str) -> Answer {
    let mut answer = problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "The page does not take this method",
        "",
    );
    // Methods are tokens.
    answer.with(ALLOW, allow);
    answer
}
