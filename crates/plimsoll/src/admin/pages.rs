//! What the admin port answers to what.

use http::header::ACCEPT;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use plimsoll_slo::Reason;
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::spelling::{Spelling, form, header, parameter, wants};
use super::{AdminBackend, Serving, guard};
use crate::access::Caller;
use crate::dashboard::{self, View, assets};
use crate::metrics;
use crate::reload::{self, Reloaded};
use crate::status::{self, Json as _, Status};
use crate::upgrade;

/// The slowest and the quickest that a page may load itself again, in seconds.
const EVERY: std::ops::RangeInclusive<u64> = 1..=3600;

/// What there is, for whoever mistypes.
const PAGES: &str = "There are GET /, /objectives, /objectives/NAME, /business, /traffic, /saturation, /incidents, /incidents/ID, /changes, /changes/ID, /flags, /flags/KEY, /budget, /audit, /meta, /status, /metrics, /livez, /readyz, /reasons, /reasons/CODE and /api/v1, \
    and POST /reload, /upgrade and /drain.";

impl<B: AdminBackend> Serving<B> {
    pub(super) async fn page(&self, request: &Parts, caller: &Caller) -> Answer {
        let reads = !guard::is_write(&request.method);
        let writes = request.method == Method::POST;
        let (path, headers) = (request.uri.path(), &request.headers);
        let query = request.uri.query().unwrap_or("");
        let asked = Shown {
            headers,
            query,
            path,
            caller,
        };
        match path {
            "/reload" if writes => self.reload(headers, query, caller).await,
            "/upgrade" if writes => self.upgrade(headers, query, caller).await,
            "/drain" if writes => self.drain(headers, query, caller),
            "/reload" | "/upgrade" | "/drain" => answer::not_allowed("POST"),
            "/login" if reads => self.login(query),
            "/livez" if reads => probe(headers, query, "alive", None),
            "/readyz" if reads => probe(
                headers,
                query,
                "ready",
                Status::not_ready(&self.backend.reading()),
            ),
            "/metrics" if reads => self.metrics(headers),
            "/reasons" if reads => reasons(form(headers, query)),
            path if reads && dashboard::is_page(path) => self.view(&asked),
            path if reads && assets::is_asset(path) => asset(path),
            path => match path.strip_prefix("/reasons/") {
                Some(code) if reads => reason(code, form(headers, query)),
                None if !is_page(path) => no_such_page(),
                _ => answer::not_allowed("GET, HEAD"),
            },
        }
    }

    /// A page in the spelling that is wanted; what there is of it for programs is the status.
    fn view(&self, asked: &Shown<'_>) -> Answer {
        let (status, objectives) = (self.backend.scrape(Status::of), self.backend.objectives());
        let spelling = match asked.path {
            "/" | "/status" => form(asked.headers, asked.query),
            _ => wants(asked.headers, asked.query, &[Spelling::Text, Spelling::Html]),
        };
        match (asked.path, spelling) {
            ("/" | "/status", Spelling::Json) => return answer::json(StatusCode::OK, &status.to_json()),
            ("/" | "/status", Spelling::Text) => return answer::text(StatusCode::OK, status::text(&status)),
            _ => {}
        }
        let now = self.backend.wall().as_millis() as u64;
        let of = dashboard::objective_of(asked.path);
        let breakdown = of.map_or_else(Vec::new, |name| self.backend.breakdown(name));
        let latencies = of.and_then(|name| self.backend.latencies(name));
        let looked = self.backend.looked_at();
        let flags = self.backend.flags();
        let page = self.backend.record().read(|state| {
            let view = View {
                status: &status,
                objectives: &objectives,
                state,
                now,
                breakdown,
                latencies,
                looked,
                flags,
            };
            dashboard::page(&view, asked.path)
        });
        let Some(page) = page else {
            return no_such_page();
        };
        if spelling == Spelling::Text {
            return answer::text(StatusCode::OK, page.to_text());
        }
        let every = parameter(asked.query, "every").and_then(|every| every.parse().ok());
        let every = every.filter(|every| EVERY.contains(every));
        answer::html(page.to_html(asked.path, Some(asked.caller), every))
    }

    fn metrics(&self, headers: &HeaderMap) -> Answer {
        let format = metrics::negotiate(header(headers, &ACCEPT));
        let page = self.backend.scrape(|scrape| metrics::page(scrape, format));
        Answer::new(StatusCode::OK, format.content_type(), page)
    }

    async fn reload(&self, headers: &HeaderMap, query: &str, caller: &Caller) -> Answer {
        let reloaded = self.backend.reload().await;
        let how = match &reloaded {
            Reloaded::Applied { .. } => "reloaded the configuration",
            Reloaded::Refused(_) => "asked for a reload, which was refused",
        };
        self.did(caller, how.to_owned());
        match reloaded {
            Reloaded::Applied {
                changes,
                at_next_start,
            } if wants(headers, query, &[Spelling::Json, Spelling::Text]) == Spelling::Text => {
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

    async fn upgrade(&self, headers: &HeaderMap, query: &str, caller: &Caller) -> Answer {
        // Said before: afterwards another process keeps the record.
        self.did(caller, "asked for an upgrade of the program".to_owned());
        match self.backend.upgrade().await {
            Ok(pid) if wants(headers, query, &[Spelling::Json, Spelling::Text]) == Spelling::Text => {
                answer::text(StatusCode::OK, upgrade::taken_over(pid))
            }
            Ok(pid) => answer::json(StatusCode::OK, &json!({ "pid": pid })),
            Err(cause) => answer::problem(StatusCode::CONFLICT, upgrade::REFUSED, &cause),
        }
    }

    fn drain(&self, headers: &HeaderMap, query: &str, caller: &Caller) -> Answer {
        self.did(caller, "drained this process".to_owned());
        self.backend.drain();
        if wants(headers, query, &[Spelling::Json, Spelling::Text]) == Spelling::Text {
            return answer::text(StatusCode::ACCEPTED, "draining\n".to_owned());
        }
        answer::json(StatusCode::ACCEPTED, &json!({ "draining": true }))
    }
}

/// `ready`, or why not.
fn probe(headers: &HeaderMap, query: &str, word: &str, not: Option<&str>) -> Answer {
    let code = if not.is_none() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    if wants(headers, query, &[Spelling::Text, Spelling::Json]) == Spelling::Json {
        return answer::json(code, &json!({ word: not.is_none(), "reason": not }));
    }
    answer::text(code, format!("{}\n", not.unwrap_or(word)))
}

fn no_such_page() -> Answer {
    answer::problem(StatusCode::NOT_FOUND, "There is no such page", PAGES)
}

/// What a page is asked for with.
struct Shown<'a> {
    headers: &'a HeaderMap,
    query: &'a str,
    path: &'a str,
    caller: &'a Caller,
}

/// A file that pages refer to. That of another build is none: who has an old page loads it anew.
fn asset(path: &str) -> Answer {
    let Some(asset) = assets::of_path(path) else {
        return no_such_page();
    };
    let mut answer = Answer::new(StatusCode::OK, asset.content_type, asset.text);
    answer.last();
    answer
}

fn is_page(path: &str) -> bool {
    dashboard::is_page(path)
        || assets::is_asset(path)
        || matches!(path, "/metrics" | "/livez" | "/readyz" | "/reasons" | "/login")
}

fn reasons(form: Spelling) -> Answer {
    if form == Spelling::Json {
        let all: Vec<Value> = Reason::ALL.iter().map(|reason| row(*reason)).collect();
        return answer::json(StatusCode::OK, &all.into());
    }
    let all = Reason::ALL
        .iter()
        .map(|reason| format!("{reason}: {}\n", reason.info().title));
    answer::text(StatusCode::OK, all.collect())
}

fn reason(code: &str, form: Spelling) -> Answer {
    let Some(reason) = Reason::from_code(code) else {
        return answer::problem(
            StatusCode::NOT_FOUND,
            "There is no such reason",
            "GET /reasons lists them all.",
        );
    };
    if form == Spelling::Json {
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
