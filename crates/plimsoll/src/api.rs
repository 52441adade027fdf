//! The API for programs: JSON under `/api/v1`. What there is stands in [`ROUTES`], one line each, and what is answered to
//! a wrong path or method comes from the same list.
//!
//! Everything is answered from memory. What is written is a fact of the [`record`](crate::record), which takes effect
//! at once. Times are RFC 3339 in UTC, spans carry their unit in their name, and what is not known is null.

mod alerts;
mod audit;
pub(crate) mod changes;
mod corrections;
mod document;
pub(crate) mod flags;
mod freezes;
pub(crate) mod history;
mod incidents;
mod kpis;
mod objectives;
pub(crate) mod outcomes;
mod routes;
mod schemas;
mod silences;
pub(crate) mod stream;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use self::changes::Stable;
use self::flags::Known;
use self::history::{Counted, Latencies, Past};
use self::outcomes::{Event, Heard, Reported};
use self::routes::{Gives, ROUTES, Route};
use crate::access::{Caller, Role};
use crate::config::ChangesConfig;
use crate::doubts::Doubtful;
use crate::reading::{FallReading, ObjectiveReading};
use crate::record::Record;
use crate::rollout::{Looked, Usual};

/// What the API is about.
pub(crate) trait ApiBackend {
    fn record(&self) -> &Record;
    fn objectives(&self) -> Vec<ObjectiveReading>;
    /// The names of all that may open an alert: objectives, and what is watched beside them.
    fn concerns(&self) -> Vec<Arc<str>>;
    /// What is doubtful about objectives.
    fn doubts(&self) -> Vec<Doubtful>;
    /// Figures of the business.
    fn kpis(&self) -> Vec<FallReading>;
    /// What the objective of this name has spent.
    fn past(&self, objective: &str) -> Option<Past>;
    /// The minutes that it looks back, and by what they are judged; `None` if its budget is no share of events.
    fn counted(&self, objective: &str) -> Option<Counted>;
    /// How long its requests took in the last hour.
    fn latencies(&self, objective: &str) -> Option<Latencies>;
    /// Somebody tells of an event of the objective, or of the figure, of this name.
    fn report(&self, name: &str, event: &Event) -> Reported;
    /// The reports that were heard lately.
    fn heard(&self) -> MutexGuard<'_, Heard>;
    /// How versions are rolled out.
    fn changes(&self) -> Arc<ChangesConfig>;
    /// What is known of the upstream of this name.
    fn stable(&self, upstream: &str) -> Option<Stable>;
    /// Whether something listens at each of these endpoints.
    ///
    /// # Errors
    /// Where nothing does, and why.
    fn reach(&self, endpoints: &[String]) -> Result<(), String>;
    /// The flags that are served; `None` if there are none.
    fn flags(&self) -> Option<Known>;
    /// Serves what was said of flags a moment ago.
    fn refresh_flags(&self);
    /// What is usual at these upstreams; all of them if none is named.
    fn usual(&self, upstreams: &[String]) -> Usual;
    /// What was seen of the change of this name when it was looked at last.
    fn looked(&self, change: &str) -> Option<Looked>;
    /// Since the Unix epoch.
    fn wall(&self) -> Duration;
}

/// A request that has been let in.
pub(crate) struct Ask<'a> {
    pub(crate) backend: &'a dyn ApiBackend,
    pub(crate) caller: &'a Caller,
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
    /// Verdicts, for as long as somebody listens.
    Stream(stream::Follower),
    Problem(StatusCode, &'static str, String),
    /// The methods that the path takes.
    NotAllowed(String),
}

/// Where it all is.
pub(crate) const ROOT: &str = "/api/v1";

/// Answers a request for a path below [`ROOT`], which is `path` without it.
pub(crate) fn answer(
    backend: &dyn ApiBackend,
    caller: &Caller,
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
    let known: Vec<_> = of_path(path).collect();
    let Some((route, name)) = known.iter().find(|(route, _)| *route.method == *reads) else {
        if known.is_empty() {
            let detail = format!("GET {ROOT} says what there is.");
            return Reply::Problem(StatusCode::NOT_FOUND, "There is nothing of this name", detail);
        }
        let methods: Vec<&str> = known.iter().map(|(route, _)| route.method.as_str()).collect();
        return Reply::NotAllowed(methods.join(", "));
    };
    let ask = Ask {
        backend,
        caller,
        name,
        query,
        body,
    };
    if !matches!(body, Value::Null | Value::Object(_)) {
        return unfit("The body has to be an object.");
    }
    if !matches!(body["author"], Value::Null | Value::String(_)) {
        return unfit("`author` has to be a text.");
    }
    (route.answer)(&ask).unwrap_or_else(|refusal| refusal)
}

/// The routes of a path below the root, each with what stands in its open part.
fn of_path(path: &str) -> impl Iterator<Item = (&'static Route, &str)> {
    let path = path.strip_suffix('/').unwrap_or(path);
    ROUTES
        .iter()
        .filter_map(move |route| Some((route, open_part(route.path, path)?)))
}

/// The role that it takes, if there is such a thing.
pub(crate) fn role(method: &Method, path: &str) -> Option<Role> {
    let path = path.strip_prefix(ROOT)?;
    let (route, _) = of_path(path).find(|(route, _)| *route.method == *method)?;
    Some(route.role)
}

/// Whether a request may carry a body: what writes does, and what is not known is told so whatever it carries.
pub(crate) fn takes_body(method: &Method, path: &str) -> bool {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    is_below(path) && !(reads && role(&Method::GET, path).is_some())
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
            "role": route.role.word(),
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
/// The query asks for what there is not.
fn unclear(detail: impl Into<String>) -> Reply {
    Reply::Problem(StatusCode::BAD_REQUEST, "The query is not right", detail.into())
}

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
    /// Who asks, or for whom.
    fn author(&self) -> Arc<str> {
        self.caller.author(self.body["author"].as_str())
    }

    /// A parameter of the query, as it was meant.
    fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut pairs = form_urlencoded::parse(self.query.as_bytes());
        pairs.find(|(known, _)| known == name).map(|(_, value)| value)
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
        let Some(text) = self.parameter("limit") else {
            return Ok(100);
        };
        let limit = text.parse().ok().filter(|limit| (1..=1_000).contains(limit));
        limit.ok_or_else(|| unclear("`limit` is from 1 to 1000."))
    }

    /// Milliseconds since the Unix epoch.
    fn now(&self) -> u64 {
        self.backend.wall().as_millis() as u64
    }
}
