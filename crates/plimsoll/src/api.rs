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
mod freezes;
pub(crate) mod history;
mod incidents;
mod kpis;
mod objectives;
pub(crate) mod outcomes;
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
use self::history::{Counted, Latencies, Past};
use self::outcomes::{Event, Heard, Reported};
use crate::access::{Caller, Role};
use crate::config::ChangesConfig;
use crate::doubts::Doubtful;
use crate::reading::{FallReading, ObjectiveReading};
use crate::record::Record;
use crate::rollout::Looked;

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

type Handler = fn(&Ask<'_>) -> Result<Reply, Reply>;

/// One thing that can be asked. `{}` in its path is one segment.
pub(crate) struct Route {
    method: &'static Method,
    path: &'static str,
    about: &'static str,
    answer: Handler,
    /// Who may ask.
    role: Role,
    /// What the body has to be, and what the answer is, as JSON Schema.
    takes: Option<fn() -> Value>,
    gives: Gives,
}

/// What is answered if all is well.
#[derive(Clone, Copy)]
enum Gives {
    /// With a status of 200, or 201 for what is made.
    Json(u16, fn() -> Value),
    Markdown,
    Events,
}

const GET: &Method = &Method::GET;
const POST: &Method = &Method::POST;
const DELETE: &Method = &Method::DELETE;

const fn get(path: &'static str, about: &'static str, answer: Handler, gives: fn() -> Value) -> Route {
    Route {
        method: GET,
        path,
        about,
        answer,
        role: Role::Viewer,
        takes: None,
        gives: Gives::Json(200, gives),
    }
}

const fn post(path: &'static str, about: &'static str, answer: Handler, gives: fn() -> Value) -> Route {
    Route {
        method: POST,
        role: Role::Operator,
        takes: Some(schemas::nothing),
        ..get(path, about, answer, gives)
    }
}

const fn delete(path: &'static str, about: &'static str, answer: Handler, gives: fn() -> Value) -> Route {
    Route {
        method: DELETE,
        ..post(path, about, answer, gives)
    }
}

impl Route {
    const fn takes(self, takes: fn() -> Value) -> Self {
        Self {
            takes: Some(takes),
            ..self
        }
    }

    const fn gives(self, gives: Gives) -> Self {
        Self { gives, ..self }
    }

    const fn made(self, gives: fn() -> Value) -> Self {
        self.gives(Gives::Json(201, gives))
    }

    const fn role(self, role: Role) -> Self {
        Self { role, ..self }
    }
}

/// All that can be asked.
pub(crate) static ROUTES: &[Route] = &[
    get("", "what there is", index, schemas::index),
    get(
        "/openapi.json",
        "this, as an OpenAPI document",
        document::document,
        schemas::anything,
    ),
    get(
        "/objectives",
        "every objective with its verdict",
        objectives::list,
        schemas::objectives,
    ),
    get(
        "/doubts",
        "what is doubtful about objectives, by what was measured",
        objectives::doubts,
        schemas::doubts,
    ),
    get(
        "/objectives/{}",
        "one objective",
        objectives::one,
        schemas::objective,
    ),
    get(
        "/objectives/{}/history",
        "what of its budget was left, over its window",
        history::budget,
        schemas::history,
    ),
    get(
        "/objectives/{}/what-if",
        "what another `target` would have said of the same minutes",
        history::what_if,
        schemas::what_if,
    ),
    get(
        "/objectives/{}/latency",
        "how long its requests took, in the last hour",
        history::latency,
        schemas::latency,
    ),
    get(
        "/kpis",
        "figures of the business, and whether they have fallen",
        kpis::list,
        schemas::kpis,
    ),
    get(
        "/stream",
        "verdicts as they come, as server-sent events",
        stream::verdicts,
        schemas::anything,
    )
    .gives(Gives::Events),
    get(
        "/alerts",
        "alerts, the open ones first",
        alerts::list,
        schemas::alerts,
    ),
    get(
        "/alerts/{}",
        "one alert with all that was known when it opened",
        alerts::one,
        schemas::alert,
    ),
    get(
        "/incidents",
        "incidents, the latest first, and how long they took",
        incidents::list,
        schemas::incidents,
    ),
    get(
        "/incidents/{}",
        "one incident with its timeline",
        incidents::one,
        schemas::incident,
    ),
    get(
        "/incidents/{}/postmortem",
        "a draft in Markdown, of facts only",
        incidents::postmortem,
        schemas::anything,
    )
    .gives(Gives::Markdown),
    post(
        "/incidents/{}/acknowledge",
        "somebody is at it",
        incidents::acknowledge,
        schemas::incident,
    ),
    post(
        "/incidents/{}/notes",
        "a line of its timeline",
        incidents::note,
        schemas::incident,
    )
    .takes(schemas::note),
    post(
        "/incidents/{}/mitigate",
        "nobody is hurt any more",
        incidents::mitigate,
        schemas::incident,
    ),
    post(
        "/incidents/{}/resolve",
        "it is over",
        incidents::resolve,
        schemas::incident,
    ),
    get(
        "/silences",
        "silences, the latest first",
        silences::list,
        schemas::silences,
    ),
    post(
        "/silences",
        "nobody is told for a while",
        silences::set,
        schemas::silence,
    )
    .takes(schemas::new_silence)
    .made(schemas::silence),
    delete("/silences/{}", "ends a silence", silences::end, schemas::silence),
    get(
        "/corrections",
        "corrections that hold",
        corrections::list,
        schemas::corrections,
    ),
    post(
        "/corrections",
        "excludes a time, or adds events to its first minute",
        corrections::make,
        schemas::correction,
    )
    .takes(schemas::new_correction)
    .made(schemas::correction)
    .role(Role::Admin),
    delete(
        "/corrections/{}",
        "withdraws a correction",
        corrections::withdraw,
        schemas::correction,
    )
    .takes(schemas::withdrawal)
    .role(Role::Admin),
    post(
        "/outcomes",
        "what somebody else has seen, for objectives whose vantage is not the gateway",
        outcomes::report,
        schemas::reported,
    )
    .takes(schemas::outcomes),
    get(
        "/changes",
        "changes, those that were asked for last first",
        changes::list,
        schemas::changes,
    ),
    post(
        "/changes",
        "rolls out a version of an upstream",
        changes::propose,
        schemas::change,
    )
    .takes(schemas::new_change)
    .made(schemas::change),
    get(
        "/changes/{}",
        "one change, with what was said of it and by what",
        changes::one,
        schemas::change,
    ),
    post(
        "/changes/{}/revert",
        "takes it back, and first what needs it",
        changes::revert,
        schemas::change,
    )
    .takes(schemas::why_revert),
    post(
        "/changes/{}/promote",
        "lets it enter its next step, or all of them, whatever is known of it",
        changes::promote,
        schemas::change,
    )
    .takes(schemas::why_promote),
    post(
        "/changes/{}/pause",
        "keeps it where it is; danger still takes it back",
        changes::pause,
        schemas::change,
    )
    .takes(schemas::why_pause),
    post(
        "/changes/{}/resume",
        "has it go on",
        changes::resume,
        schemas::change,
    ),
    get(
        "/freezes",
        "times in which no change goes on, the latest first",
        freezes::list,
        schemas::freezes,
    ),
    post(
        "/freezes",
        "no change goes on for a while; what is bad is taken back as ever",
        freezes::set,
        schemas::freeze,
    )
    .takes(schemas::new_freeze)
    .made(schemas::freeze),
    delete("/freezes/{}", "ends a freeze", freezes::end, schemas::freeze),
    get(
        "/glass",
        "emergencies in which nothing holds changes up, the latest first",
        freezes::glasses,
        schemas::glasses,
    ),
    post(
        "/glass",
        "asks that nothing holds changes up for a while, which somebody else has to confirm",
        freezes::ask_for_glass,
        schemas::glass,
    )
    .takes(schemas::new_glass)
    .made(schemas::glass),
    post(
        "/glass/{}/confirm",
        "breaks the glass that somebody else has asked for",
        freezes::confirm,
        schemas::glass,
    ),
    get(
        "/audit",
        "what people did, the latest first",
        audit::list,
        schemas::audit,
    ),
];

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
