//! All that can be asked, one line each.

use http::Method;
use serde_json::Value;

use super::{
    Ask, Reply, alerts, audit, changes, corrections, document, flags, freezes, history, incidents, index,
    kpis, objectives, outcomes, schemas, silences, stream,
};
use crate::access::Role;

pub(super) type Handler = fn(&Ask<'_>) -> Result<Reply, Reply>;

/// One thing that can be asked. `{}` in its path is one segment.
pub(super) struct Route {
    pub(super) method: &'static Method,
    pub(super) path: &'static str,
    pub(super) about: &'static str,
    pub(super) answer: Handler,
    /// Who may ask.
    pub(super) role: Role,
    /// What the body has to be, and what the answer is, as JSON Schema.
    pub(super) takes: Option<fn() -> Value>,
    pub(super) gives: Gives,
}

/// What is answered if all is well.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    /// With a status of 200, or 201 for what is made.
    Json(u16, fn() -> Value),
    Markdown,
    Events,
}

pub(super) const GET: &Method = &Method::GET;
pub(super) const POST: &Method = &Method::POST;
pub(super) const DELETE: &Method = &Method::DELETE;

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
pub(super) static ROUTES: &[Route] = &[
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
        "/flags",
        "flags that are served",
        flags::list,
        schemas::flags::flags,
    ),
    get("/flags/{}", "one flag", flags::one, schemas::flags::flag),
    post(
        "/flags/{}/evaluate",
        "what somebody gets, and why",
        flags::evaluate,
        schemas::flags::evaluated,
    )
    .takes(schemas::flags::evaluate)
    .role(Role::Viewer),
    post(
        "/flags/{}/preview",
        "how many users an edit would move, of those that are named or of some that are drawn",
        flags::preview,
        schemas::flags::moved,
    )
    .takes(schemas::flags::preview)
    .role(Role::Viewer),
    post(
        "/flags/{}/ramp",
        "changes the flag step by step, judged by the requests of those who have it",
        flags::ramp,
        schemas::change,
    )
    .takes(schemas::flags::ramp)
    .made(schemas::change),
    post(
        "/flags/{}/kill",
        "turns the flag off at once, or gives everybody one variant",
        flags::kill,
        schemas::change,
    )
    .takes(schemas::flags::kill)
    .made(schemas::change),
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
