//! Two versions of the desk that are rolled out, one after the other, as somebody would by the API.

use http::Method;
use serde_json::{Value, json};

use super::Stage;
use crate::access::Caller;
use crate::api::{self, Reply};
use crate::instance::Instance;
use crate::operators::Operators;

/// What is told when each is asked for.
const FAULTY: &str = "
  A new version of the desk is rolled out, at which gold customers cannot place orders.
  The incident has spent the budget, which would hold it up; in a demo ada and grace break the glass.

";
const WELL: &str = "
  And one that is well. It is left at each step until it has shown enough.

";

/// Who says what, in the order of the story.
pub(super) struct Rollouts {
    /// By what each is called and where it is, those that are to come.
    versions: Vec<(&'static str, String, &'static str)>,
    /// The one that is on its way.
    going: Option<String>,
    is_glass_broken: bool,
}

impl Rollouts {
    pub(super) fn of(stage: &Stage) -> Self {
        let [faulty, well] = &stage.versions;
        let at = |address| format!("http://{address}");
        Self {
            versions: vec![
                ("v3", at(well.address()), WELL),
                ("v2", at(faulty.address()), FAULTY),
            ],
            going: None,
            is_glass_broken: false,
        }
    }

    /// Rolls out the next one when the one before is over; what there is to tell.
    pub(super) fn go_on(&mut self, instance: &Instance) -> &'static str {
        let operators = Operators(std::sync::Arc::clone(&instance.parts));
        let is_going = self.going.as_ref().is_some_and(|id| {
            instance.parts.record.read(|state| {
                let standing = state.changes.machine.get(id);
                standing.is_some_and(|standing| !standing.phase().is_over())
            })
        });
        if is_going {
            return "";
        }
        let Some((version, at, about)) = self.versions.pop() else {
            return "";
        };
        if !std::mem::replace(&mut self.is_glass_broken, true) {
            let asked = json!({ "minutes": 60, "reason": "it is a demo", "author": "ada" });
            let asked = post(&operators, "/glass", &asked);
            let confirm = format!("/glass/{}/confirm", asked["id"].as_str().unwrap_or_default());
            post(&operators, &confirm, &json!({ "author": "grace" }));
        }
        let made = post(
            &operators,
            "/changes",
            &json!({
                "upstream": "desk",
                "version": version,
                "candidate": [at],
                "author": "ada",
            }),
        );
        self.going = made["id"].as_str().map(str::to_owned);
        about
    }
}

/// What the API answers; null if it refuses.
fn post(operators: &Operators, path: &str, body: &Value) -> Value {
    match api::answer(operators, &Caller::anybody(), &Method::POST, path, "", body) {
        Reply::Json(_, answer) => answer,
        _ => Value::Null,
    }
}
