//! What the admin port answers to what.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Incoming};
use plimsoll_slo::Reason;
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::{AdminBackend, Serving, guard};
use crate::accept::{self, Offer};
use crate::api::{self, Reply};
use crate::metrics;
use crate::reload::{self, Reloaded};
use crate::status::{self, Json as _, Status, pages};
use crate::upgrade;

/// How a page is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Text,
    Html,
}

/// The slowest and the quickest that a page may load itself again, in seconds.
const EVERY: std::ops::RangeInclusive<u64> = 1..=3600;

/// What there is, for whoever mistypes.
const PAGES: &str = "There are GET /status, /incidents, /incidents/ID, /objectives/NAME, /metrics, /livez, /readyz, /reasons, /reasons/CODE and /api/v1, \
    and POST /reload, /upgrade and /drain.";

impl<B: AdminBackend> Serving<B> {
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let answer = match guard::check(&request, self.address, self.token.as_ref()) {
            Err(refusal) => refusal,
            Ok(()) if api::is_below(request.uri().path()) => self.api(request).await,
            Ok(()) => self.page(&request).await,
        };
        answer.into_response()
    }

    async fn api(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let body = tokio::select! {
            biased;
            body = read_body(&head.headers, body) => body,
            () = self.env.sleep(BODY_TIME_MAX) => Err(answer::problem(
                StatusCode::REQUEST_TIMEOUT,
                "The body did not come in time",
                "",
            )),
        };
        let body = match body {
            Ok(body) => body,
            Err(refusal) => return refusal,
        };
        let (path, query) = (head.uri.path(), head.uri.query().unwrap_or(""));
        let path = path.strip_prefix(api::ROOT).unwrap_or(path);
        match api::answer(&self.backend, &head.method, path, query, &body) {
            Reply::Json(status, body) => answer::json(status, &body),
            Reply::Markdown(text) => Answer::new(StatusCode::OK, "text/markdown; charset=utf-8", text),
            Reply::Problem(status, title, detail) => answer::problem(status, title, &detail),
            Reply::NotAllowed(methods) => answer::not_allowed(&methods),
        }
    }

    async fn page(&self, request: &Request<Incoming>) -> Answer {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let writes = *request.method() == Method::POST;
        let (path, headers) = (request.uri().path(), request.headers());
        let query = request.uri().query().unwrap_or("");
        match path {
            "/reload" if writes => self.reload(headers, query).await,
            "/upgrade" if writes => self.upgrade(headers, query).await,
            "/drain" if writes => self.drain(headers, query),
            "/reload" | "/upgrade" | "/drain" => answer::not_allowed("POST"),
            "/livez" if reads => probe(headers, query, "alive", None),
            "/readyz" if reads => probe(
                headers,
                query,
                "ready",
                Status::not_ready(&self.backend.reading()),
            ),
            "/" | "/status" if reads => self.status(headers, query),
            "/status.css" if reads => Answer::new(
                StatusCode::OK,
                "text/css; charset=utf-8",
                status::STYLE.to_owned(),
            ),
            "/metrics" if reads => self.metrics(headers),
            "/reasons" if reads => reasons(form(headers, query)),
            "/incidents" if reads => {
                let page = self.backend.record().read(pages::incidents);
                shown(&page, headers, query)
            }
            path if reads && path.starts_with("/incidents/") => self.incident(path, headers, query),
            path if reads && path.starts_with("/objectives/") => self.objective(path, headers, query),
            path => match path.strip_prefix("/reasons/") {
                Some(code) if reads => reason(code, form(headers, query)),
                None if !is_page(path) => no_such_page(),
                _ => answer::not_allowed("GET, HEAD"),
            },
        }
    }

    fn status(&self, headers: &HeaderMap, query: &str) -> Answer {
        let status = self.backend.scrape(Status::of);
        match form(headers, query) {
            Form::Json => answer::json(StatusCode::OK, &status.to_json()),
            Form::Text => answer::text(StatusCode::OK, status::text(&status)),
            Form::Html => {
                let every = parameter(query, "every").and_then(|every| every.parse().ok());
                answer::html(status::page(&status, every.filter(|every| EVERY.contains(every))))
            }
        }
    }

    fn incident(&self, path: &str, headers: &HeaderMap, query: &str) -> Answer {
        let id = path.strip_prefix("/incidents/").unwrap_or_default();
        let page = self.backend.record().read(|state| {
            let incident = state.incidents.get(id)?;
            Some(pages::incident(incident, state))
        });
        page.map_or_else(no_such_page, |page| shown(&page, headers, query))
    }

    fn objective(&self, path: &str, headers: &HeaderMap, query: &str) -> Answer {
        let name = path.strip_prefix("/objectives/").unwrap_or_default();
        let all = self.backend.objectives();
        let Some(reading) = all.iter().find(|reading| *reading.name == *name) else {
            return no_such_page();
        };
        let now = self.backend.wall().as_millis() as u64;
        let page = self
            .backend
            .record()
            .read(|state| pages::objective(reading, state, now));
        shown(&page, headers, query)
    }

    fn metrics(&self, headers: &HeaderMap) -> Answer {
        let format = metrics::negotiate(header(headers, &ACCEPT));
        let page = self.backend.scrape(|scrape| metrics::page(scrape, format));
        Answer::new(StatusCode::OK, format.content_type(), page)
    }

    async fn reload(&self, headers: &HeaderMap, query: &str) -> Answer {
        match self.backend.reload().await {
            Reloaded::Applied {
                changes,
                at_next_start,
            } if wants(headers, query, &[Form::Json, Form::Text]) == Form::Text => {
                answer::text(StatusCode::OK, reload::applied(&changes, &at_next_start))
            }
            Reloaded::Applied {
                changes,
                at_next_start,
            } => {
                let generation = self.backend.reading().config.generation;
                answer::json(
                    StatusCode::OK,
                    &json!({ "changes": changes, "at_next_start": at_next_start, "generation": generation }),
                )
            }
            Reloaded::Refused(problems) => {
                let title = "The configuration was refused; what ran before runs on";
                answer::problem_with(StatusCode::CONFLICT, title, &problems.join("\n"), problems)
            }
        }
    }

    async fn upgrade(&self, headers: &HeaderMap, query: &str) -> Answer {
        match self.backend.upgrade().await {
            Ok(pid) if wants(headers, query, &[Form::Json, Form::Text]) == Form::Text => {
                answer::text(StatusCode::OK, upgrade::taken_over(pid))
            }
            Ok(pid) => answer::json(StatusCode::OK, &json!({ "pid": pid })),
            Err(cause) => answer::problem(StatusCode::CONFLICT, upgrade::REFUSED, &cause),
        }
    }

    fn drain(&self, headers: &HeaderMap, query: &str) -> Answer {
        self.backend.drain();
        if wants(headers, query, &[Form::Json, Form::Text]) == Form::Text {
            return answer::text(StatusCode::ACCEPTED, "draining\n".to_owned());
        }
        answer::json(StatusCode::ACCEPTED, &json!({ "draining": true }))
    }
}

/// Bytes of a body, and time for it to come: what people and scripts say is short.
const BODY_MAX: usize = 64 << 10;
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// What the body says; null if there is none.
async fn read_body(headers: &HeaderMap, body: Incoming) -> Result<Value, Answer> {
    if body.is_end_stream() {
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
    let read = Limited::new(body, BODY_MAX).collect().await;
    let Ok(read) = read else {
        let detail = format!("It may have {BODY_MAX} bytes.");
        return Err(answer::problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The body is too long, or broke off",
            &detail,
        ));
    };
    serde_json::from_slice(&read.to_bytes()).map_err(|error| {
        answer::problem(
            StatusCode::BAD_REQUEST,
            "The body is not JSON",
            &error.to_string(),
        )
    })
}

/// `ready`, or why not.
fn probe(headers: &HeaderMap, query: &str, word: &str, not: Option<&str>) -> Answer {
    let code = if not.is_none() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    if wants(headers, query, &[Form::Text, Form::Json]) == Form::Json {
        return answer::json(code, &json!({ word: not.is_none(), "reason": not }));
    }
    answer::text(code, format!("{}\n", not.unwrap_or(word)))
}

fn no_such_page() -> Answer {
    answer::problem(StatusCode::NOT_FOUND, "There is no such page", PAGES)
}

/// A page in the form that is wanted; for programs there is the API.
fn shown(page: &pages::Page, headers: &HeaderMap, query: &str) -> Answer {
    match wants(headers, query, &[Form::Text, Form::Html]) {
        Form::Html => answer::html(page.to_html()),
        Form::Text | Form::Json => answer::text(StatusCode::OK, page.to_text()),
    }
}

fn is_page(path: &str) -> bool {
    matches!(
        path,
        "/" | "/status" | "/status.css" | "/metrics" | "/livez" | "/readyz" | "/reasons" | "/incidents"
    )
}

/// The form for people and programs: what the query says, else what `Accept` prefers, JSON if it does not care;
/// curl, which does not care, is used by people.
fn form(headers: &HeaderMap, query: &str) -> Form {
    let is_curl = header(headers, &USER_AGENT).is_some_and(|agent| agent.starts_with("curl/"));
    if is_curl && matches!(header(headers, &ACCEPT), None | Some("*/*")) {
        return wants(&HeaderMap::new(), query, &[Form::Text, Form::Json, Form::Html]);
    }
    wants(headers, query, &[Form::Json, Form::Text, Form::Html])
}

/// The one of `forms` that is wanted, the first if any will do.
fn wants(headers: &HeaderMap, query: &str, forms: &[Form]) -> Form {
    let named = [(Form::Json, "json"), (Form::Text, "text"), (Form::Html, "html")];
    if let Some((form, _)) = named
        .iter()
        .find(|(form, name)| forms.contains(form) && parameter(query, name).is_some())
    {
        return *form;
    }
    let offers: Vec<Offer> = forms.iter().map(|form| form.offer()).collect();
    forms[accept::choose(header(headers, &ACCEPT), &offers)]
}

impl Form {
    fn offer(self) -> Offer {
        let (kind, subtype) = match self {
            Self::Json => ("application", "json"),
            Self::Text => ("text", "plain"),
            Self::Html => ("text", "html"),
        };
        Offer {
            kind,
            subtype,
            versions: &[],
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The value of a parameter, empty if it has none.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let pairs = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .filter(|(known, _)| *known == name)
        .map(|(_, value)| value)
        .next()
}

fn reasons(form: Form) -> Answer {
    if form == Form::Json {
        let all: Vec<Value> = Reason::ALL.iter().map(|reason| row(*reason)).collect();
        return answer::json(StatusCode::OK, &all.into());
    }
    let all = Reason::ALL
        .iter()
        .map(|reason| format!("{reason}: {}\n", reason.info().title));
    answer::text(StatusCode::OK, all.collect())
}

fn reason(code: &str, form: Form) -> Answer {
    let Some(reason) = Reason::from_code(code) else {
        return answer::problem(
            StatusCode::NOT_FOUND,
            "There is no such reason",
            "GET /reasons lists them all.",
        );
    };
    if form == Form::Json {
        return answer::json(StatusCode::OK, &row(reason));
    }
    let info = reason.info();
    let (blame, delivered, retry) = (info.blame.word(), info.delivered.word(), info.retry.word());
    let text = format!(
        "{code}: {}\n\n{}\n\nblame      {blame}\ndelivered  {delivered}\nretry      {retry}\nHTTP       {}\ngRPC       {}\n",
        info.title, info.explain, info.status, info.grpc
    );
    answer::text(StatusCode::OK, text)
}

fn row(reason: Reason) -> Value {
    let info = reason.info();
    json!({
        "code": info.code,
        "title": info.title,
        "explain": info.explain,
        "blame": info.blame.word(),
        "delivered": info.delivered.word(),
        "retry": info.retry.word(),
        "status": info.status,
        "grpc": info.grpc,
    })
}
