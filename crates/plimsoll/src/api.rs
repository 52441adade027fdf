//! The API for programs: JSON under `/api/v1`. What there is stands in [`ROUTES`], one line each, and what is answered to
//! a wrong path or method comes from the same list.
//!
//! Everything is answered from memory. What is written is a fact of the [`record`](crate::record), which takes effect
//! at once. Times are RFC 3339 in UTC, spans carry their unit in their name, and what is not known is null.

mod alerts;
mod corrections;
mod incidents;
mod objectives;
mod silences;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::reading::ObjectiveReading;
use crate::record::{MACHINE, Record};

/// What the API is about.
pub(crate) trait ApiBackend {
    fn record(&self) -> &Record;
    fn objectives(&self) -> Vec<ObjectiveReading>;
    /// Since the Unix epoch.
    fn wall(&self) -> Duration;
}

/// A request that has been let in.
pub(crate) struct Ask<'a> {
    pub(crate) backend: &'a dyn ApiBackend,
    /// The part of the path that the route leaves open.
    pub(crate) name: &'a str,
    pub(crate) query: &'a str,
    /// Null if there was no body.
    pub(crate) body: &'a Value,
}

/// What is answered.
#[derive(Debug)]
pub(crate) enum Reply {
    Json(StatusCode, Value),
    Markdown(String),
    Problem(StatusCode, &'static str, String),
    /// The methods that the path takes.
    NotAllowed(String),
}

type Handler = fn(&Ask<'_>) -> Result<Reply, Reply>;

/// One thing that can be asked. `{}` in its path is one segment.
pub(crate) struct Route {
    method: Method,
    path: &'static str,
    about: &'static str,
    answer: Handler,
}

const fn route(method: Method, path: &'static str, about: &'static str, answer: Handler) -> Route {
    Route {
        method,
        path,
        about,
        answer,
    }
}

/// All that can be asked.
pub(crate) const ROUTES: &[Route] = &[
    route(Method::GET, "", "what there is", index),
    route(
        Method::GET,
        "/objectives",
        "every objective with its verdict",
        objectives::list,
    ),
    route(Method::GET, "/objectives/{}", "one objective", objectives::one),
    route(
        Method::GET,
        "/alerts",
        "alerts, the open ones first",
        alerts::list,
    ),
    route(
        Method::GET,
        "/alerts/{}",
        "one alert with all that was known when it opened",
        alerts::one,
    ),
    route(
        Method::GET,
        "/incidents",
        "incidents, the latest first, and how long they took",
        incidents::list,
    ),
    route(
        Method::GET,
        "/incidents/{}",
        "one incident with its timeline",
        incidents::one,
    ),
    route(
        Method::GET,
        "/incidents/{}/postmortem",
        "a draft in Markdown, of facts only",
        incidents::postmortem,
    ),
    route(
        Method::POST,
        "/incidents/{}/acknowledge",
        "somebody is at it",
        incidents::acknowledge,
    ),
    route(
        Method::POST,
        "/incidents/{}/notes",
        "a line of its timeline: {text}",
        incidents::note,
    ),
    route(
        Method::POST,
        "/incidents/{}/mitigate",
        "nobody is hurt any more",
        incidents::mitigate,
    ),
    route(
        Method::POST,
        "/incidents/{}/resolve",
        "it is over",
        incidents::resolve,
    ),
    route(
        Method::GET,
        "/silences",
        "silences, the latest first",
        silences::list,
    ),
    route(
        Method::POST,
        "/silences",
        "nobody is told for a while: {objective, minutes, reason}",
        silences::set,
    ),
    route(Method::DELETE, "/silences/{}", "ends a silence", silences::end),
    route(
        Method::GET,
        "/corrections",
        "corrections that hold",
        corrections::list,
    ),
    route(
        Method::POST,
        "/corrections",
        "excludes a time, or adds events to its first minute: {objective, from, to, reason, good, bad}",
        corrections::make,
    ),
    route(
        Method::DELETE,
        "/corrections/{}",
        "withdraws a correction: {reason}",
        corrections::withdraw,
    ),
];

/// Where it all is.
pub(crate) const ROOT: &str = "/api/v1";

/// Answers a request for a path below [`ROOT`], which is `path` without it.
pub(crate) fn answer(
    backend: &dyn ApiBackend,
    method: &Method,
    path: &str,
    query: &str,
    body: &Value,
) -> Reply {
    let reads = if *method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let path = path.strip_suffix('/').unwrap_or(path);
    let known: Vec<_> = ROUTES
        .iter()
        .filter_map(|route| Some((route, open_part(route.path, path)?)))
        .collect();
    let Some((route, name)) = known.iter().find(|(route, _)| route.method == *reads) else {
        if known.is_empty() {
            let detail = format!("GET {ROOT} says what there is.");
            return Reply::Problem(StatusCode::NOT_FOUND, "There is nothing of this name", detail);
        }
        let methods: Vec<&str> = known.iter().map(|(route, _)| route.method.as_str()).collect();
        return Reply::NotAllowed(methods.join(", "));
    };
    let ask = Ask {
        backend,
        name,
        query,
        body,
    };
    (route.answer)(&ask).unwrap_or_else(|refusal| refusal)
}

/// Whether a path may carry a body.
pub(crate) fn takes_body(method: &Method, path: &str) -> bool {
    is_below(path) && matches!(*method, Method::POST | Method::DELETE)
}

/// Whether a path is one of the API's.
pub(crate) fn is_below(path: &str) -> bool {
    path.strip_prefix(ROOT)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What stands in the place of `{}`, if the path is one of the template; empty without one.
fn open_part<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    let Some((before, after)) = template.split_once("{}") else {
        return (template == path).then_some("");
    };
    let open = path.strip_prefix(before)?.strip_suffix(after)?;
    (!open.is_empty() && !open.contains('/')).then_some(open)
}

#[expect(clippy::unnecessary_wraps, reason = "like all that answer")]
fn index(_: &Ask<'_>) -> Result<Reply, Reply> {
    let all = ROUTES.iter().map(|route| {
        json!({
            "method": route.method.as_str(),
            "path": format!("{ROOT}{}", route.path.replace("{}", "{name}")),
            "about": route.about,
        })
    });
    Ok(good(json!({ "routes": all.collect::<Vec<_>>() })))
}

fn good(body: Value) -> Reply {
    Reply::Json(StatusCode::OK, body)
}

/// Nothing is called so.
fn missing(what: &str, name: &str) -> Reply {
    let detail = format!("No {what} is called `{name}`.");
    Reply::Problem(StatusCode::NOT_FOUND, "There is nothing of this name", detail)
}

/// The body does not say what it has to.
fn unfit(detail: impl Into<String>) -> Reply {
    Reply::Problem(
        StatusCode::UNPROCESSABLE_ENTITY,
        "The body is not right",
        detail.into(),
    )
}

/// Bytes of a text that somebody writes.
const TEXT_MAX: usize = 4_096;

impl Ask<'_> {
    /// Who asks: the name that is given in the body, or nobody in particular.
    fn author(&self) -> Arc<str> {
        let named = self.body["author"].as_str().map(str::trim);
        let is_fit = |name: &&str| !name.is_empty() && name.len() <= 100 && !name.starts_with(MACHINE);
        named.filter(is_fit).unwrap_or("an operator").into()
    }

    /// A text that has to be in the body.
    fn text(&self, field: &str) -> Result<&str, Reply> {
        let text = self.body[field].as_str().map(str::trim).unwrap_or_default();
        if text.is_empty() || text.len() > TEXT_MAX {
            return Err(unfit(format!(
                "`{field}` has to be a text of up to {TEXT_MAX} bytes."
            )));
        }
        Ok(text)
    }

    /// A time that has to be in the body, in milliseconds since the Unix epoch.
    fn time(&self, field: &str) -> Result<u64, Reply> {
        let at = self.body[field]
            .as_str()
            .and_then(|text| text.parse::<Timestamp>().ok());
        at.and_then(|at| u64::try_from(at.as_millisecond()).ok())
            .ok_or_else(|| {
                unfit(format!(
                    "`{field}` has to be a time such as `2026-11-26T02:14:00Z`."
                ))
            })
    }

    /// How many are wanted of a list, 100 if nothing is said.
    fn limit(&self) -> Result<usize, Reply> {
        let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        let Some((_, text)) = pairs.find(|(name, _)| *name == "limit") else {
            return Ok(100);
        };
        let limit = text.parse().ok().filter(|limit| (1..=1_000).contains(limit));
        limit.ok_or_else(|| {
            let detail = "`limit` is from 1 to 1000.".to_owned();
            Reply::Problem(StatusCode::BAD_REQUEST, "The query is not right", detail)
        })
    }

    /// Milliseconds since the Unix epoch.
    fn now(&self) -> u64 {
        self.backend.wall().as_millis() as u64
    }
}
