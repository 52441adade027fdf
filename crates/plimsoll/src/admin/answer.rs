//! Answers of the admin port, and the headers that all of them have.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use http::header::{WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

/// Everything from this port and nothing else, nothing inline, no frames around it.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: String,
    more: Option<(http::HeaderName, HeaderValue)>,
}

impl Answer {
    pub(super) fn new(status: StatusCode, content_type: &'static str, body: String) -> Self {
        Self {
            status,
            content_type,
            body,
            more: None,
        }
    }

    /// Says how to show who one is.
    pub(super) fn challenge(&mut self) {
        self.more = Some((
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"plimsoll\""),
        ));
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in [
            (CONTENT_TYPE, self.content_type),
            (CACHE_CONTROL, "no-store"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (CONTENT_SECURITY_POLICY, POLICY),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some((name, value)) = self.more {
            headers.insert(name, value);
        }
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
    answer.more = HeaderValue::from_str(allow).ok().map(|allow| (ALLOW, allow));
    answer
}
