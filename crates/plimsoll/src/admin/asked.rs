//! What is asked, by whom, and which part is to answer.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use serde_json::Value;

use super::answer::{self, Answer};
use super::body::Body;
use super::forms::{self, Form};
use super::spelling::header;
use super::{AdminBackend, Serving, guard, login};
use crate::access::Caller;
use crate::api::{self, Reply};
use crate::dashboard;

/// What a session's script sends with what changes something.
const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");

/// Bytes of a body, and time for it to come: the longest is a preview with ten thousand contexts.
const BODY_MAX: usize = 1 << 20;
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

impl<B: AdminBackend> Serving<B> {
    pub(super) async fn answer(&self, request: Request<Incoming>, from: IpAddr) -> Response<Body> {
        let (head, body) = request.into_parts();
        let mut answer = self
            .admit(&head, body, from)
            .await
            .unwrap_or_else(|refusal| refusal);
        // How long a page is when it is squeezed tells something of what is in it: not where a session's secret is, which
        // somebody may have sent to look for it.
        let has_secret = head.headers.contains_key(COOKIE) && !dashboard::assets::is_asset(head.uri.path());
        let takes = header(&head.headers, &ACCEPT_ENCODING).is_some_and(|takes| takes.contains("gzip"));
        if takes && !has_secret {
            answer.squeeze();
        }
        answer.into_response()
    }

    async fn admit(&self, head: &Parts, body: Incoming, from: IpAddr) -> Result<Answer, Answer> {
        let (keys, path) = (self.backend.keys(), head.uri.path());
        guard::check(head, &body, self.address, !keys.is_empty())?;
        if path == "/login" && head.method == Method::POST {
            let form = self.read_form(head, body).await?;
            return Ok(self.log_in(&form, from));
        }
        if guard::is_public(path) {
            return Ok(self.page(head, &Caller::anybody()).await);
        }
        let session = self.session_name();
        let caller = guard::caller(head, self.address, &session, &self.door, &keys, self.now(), from)?;
        if api::is_below(path) {
            self.api(head, body, &caller).await
        } else if forms::takes_body(&head.method, path) {
            self.form(head, body, &caller).await
        } else {
            let shown = head.headers.get(CSRF).and_then(|shown| shown.to_str().ok());
            if guard::is_write(&head.method) {
                guard::check_csrf(&caller, shown)?;
            }
            Ok(self.page(head, &caller).await)
        }
    }

    async fn api(&self, head: &Parts, body: Incoming, caller: &Caller) -> Result<Answer, Answer> {
        let body = json_of(&head.headers, &self.read(body).await?)?;
        if guard::is_write(&head.method) {
            guard::check_csrf(caller, header(&head.headers, &CSRF))?;
        }
        let (path, query) = (head.uri.path(), head.uri.query().unwrap_or(""));
        let path = path.strip_prefix(api::ROOT).unwrap_or(path);
        Ok(
            match api::answer(&self.backend, caller, &head.method, path, query, &body) {
                Reply::Json(status, body) => answer::json(status, &body),
                Reply::Markdown(text) => Answer::new(StatusCode::OK, "text/markdown; charset=utf-8", text),
                Reply::Stream(follower) => self.stream(follower),
                Reply::Problem(status, title, detail) => answer::problem(status, title, &detail),
                Reply::NotAllowed(methods) => answer::not_allowed(&methods),
            },
        )
    }

    /// What a form means to the API; a browser is led back to the page that it was on.
    async fn form(&self, head: &Parts, body: Incoming, caller: &Caller) -> Result<Answer, Answer> {
        let form = self.read_form(head, body).await?;
        guard::check_csrf(caller, form.field("csrf"))?;
        let Some(meant) = forms::meant(&head.method, head.uri.path()) else {
            return Ok(self.log_out(head, caller));
        };
        let path = meant.strip_prefix(api::ROOT).unwrap_or(&meant);
        let reply = api::answer(&self.backend, caller, &head.method, path, "", &form.to_json());
        Ok(match reply {
            Reply::Problem(status, title, detail) => {
                let page = dashboard::refusal(title, &detail).to_html(form.back(), None, None);
                Answer::new(status, "text/html; charset=utf-8", page)
            }
            // What was only tried is shown, and changes nothing to go back to.
            Reply::Json(status, tried) if path.ends_with("/preview") => {
                let page = dashboard::moved(&tried).to_html(form.back(), None, None);
                Answer::new(status, "text/html; charset=utf-8", page)
            }
            _ => answer::redirect(form.back()),
        })
    }

    async fn read_form(&self, head: &Parts, body: Incoming) -> Result<Form, Answer> {
        if !forms::is_form(&head.headers) && !body.is_end_stream() {
            return Err(login::no_form());
        }
        self.read(body).await.map(|bytes| Form::read(&bytes))
    }

    /// What was sent, in time and within its bound.
    async fn read(&self, body: Incoming) -> Result<Bytes, Answer> {
        let read = tokio::select! {
            biased;
            read = Limited::new(body, BODY_MAX).collect() => read,
            () = self.env.sleep(BODY_TIME_MAX) => {
                let title = "The body did not come in time";
                return Err(answer::problem(StatusCode::REQUEST_TIMEOUT, title, ""));
            }
        };
        let broken = |_| {
            let detail = format!("It may have {BODY_MAX} bytes.");
            let title = "The body is too long, or broke off";
            answer::problem(StatusCode::PAYLOAD_TOO_LARGE, title, &detail)
        };
        Ok(read.map_err(broken)?.to_bytes())
    }
}

/// What the body says; null if there is none.
fn json_of(headers: &HeaderMap, body: &[u8]) -> Result<Value, Answer> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    let kind = header(headers, &CONTENT_TYPE).unwrap_or_default();
    // A form of another site cannot say that it is JSON without asking first.
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        let detail = "Send it with `Content-Type: application/json`.";
        return Err(answer::problem(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "The body is not JSON",
            detail,
        ));
    }
    serde_json::from_slice(body).map_err(|error| {
        answer::problem(
            StatusCode::BAD_REQUEST,
            "The body is not JSON",
            &error.to_string(),
        )
    })
}
