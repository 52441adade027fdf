//! flagd's services. What there is stands in [`METHODS`], one line each.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::evaluation::{self, Resolved, Wanted};
use super::status::Status;
use super::{Port, Served};

/// Which of flagd's evaluation services. They have the same messages, with small differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edition {
    /// `schema.v1`, which flagd still serves.
    Schema,
    V1,
    /// It can say that there is no value.
    V2,
}

/// What a request has in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// A flag's key, then a context.
    Flag,
    Context,
    /// Nothing that matters here: who asks, and a selector.
    Nothing,
}

/// A request, whatever it was written in.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub(super) flag_key: String,
    pub(super) context: Map<String, Value>,
}

/// A request on its way to an answer.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) request: Request,
    pub(super) edition: Edition,
    pub(super) served: Arc<Served>,
    /// Seconds since the Unix epoch.
    pub(super) now_s: u64,
}

/// One message back, whatever it is to be written in.
#[derive(Debug)]
pub(super) enum Reply {
    Resolved(Resolved),
    /// Flags by their keys, and the set's metadata.
    All(Vec<(String, Resolved)>, Map<String, Value>),
    /// What happened, and what is said of it.
    Event(&'static str, Map<String, Value>),
    /// All definitions.
    Flags(Arc<Served>),
    /// The context that the server adds to everybody's: none.
    Metadata,
}

/// What is told for as long as somebody follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feed {
    Events,
    Sync,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Serves {
    Once(fn(&Ask) -> Result<Reply, Status>),
    Follow(Feed),
}

/// One method of some services.
#[derive(Debug)]
pub(super) struct Method {
    services: &'static [(&'static str, Edition)],
    name: &'static str,
    pub(super) takes: Takes,
    pub(super) serves: Serves,
}

const BEFORE_V2: &[(&str, Edition)] = &[
    ("schema.v1.Service", Edition::Schema),
    ("flagd.evaluation.v1.Service", Edition::V1),
];

const EVALUATION: &[(&str, Edition)] = &[
    ("schema.v1.Service", Edition::Schema),
    ("flagd.evaluation.v1.Service", Edition::V1),
    ("flagd.evaluation.v2.Service", Edition::V2),
];

/// `sync.v1`, which was before it, is served by no flagd of today either.
const SYNC: &[(&str, Edition)] = &[("flagd.sync.v1.FlagSyncService", Edition::V2)];

type Services = &'static [(&'static str, Edition)];

const fn once(
    services: Services,
    name: &'static str,
    takes: Takes,
    answer: fn(&Ask) -> Result<Reply, Status>,
) -> Method {
    let serves = Serves::Once(answer);
    Method {
        services,
        name,
        takes,
        serves,
    }
}

const fn follow(services: Services, name: &'static str, feed: Feed) -> Method {
    let (takes, serves) = (Takes::Nothing, Serves::Follow(feed));
    Method {
        services,
        name,
        takes,
        serves,
    }
}

const fn resolve(name: &'static str, answer: fn(&Ask) -> Result<Reply, Status>) -> Method {
    once(EVALUATION, name, Takes::Flag, answer)
}

/// All that can be asked.
static METHODS: &[Method] = &[
    resolve("ResolveBoolean", |ask| evaluation::resolve(ask, Wanted::Boolean)),
    resolve("ResolveString", |ask| evaluation::resolve(ask, Wanted::String)),
    resolve("ResolveFloat", |ask| evaluation::resolve(ask, Wanted::Float)),
    resolve("ResolveInt", |ask| evaluation::resolve(ask, Wanted::Int)),
    resolve("ResolveObject", |ask| evaluation::resolve(ask, Wanted::Object)),
    once(BEFORE_V2, "ResolveAll", Takes::Context, evaluation::all),
    follow(EVALUATION, "EventStream", Feed::Events),
    follow(SYNC, "SyncFlags", Feed::Sync),
    once(SYNC, "FetchAllFlags", Takes::Nothing, |ask| {
        Ok(Reply::Flags(Arc::clone(&ask.served)))
    }),
    once(SYNC, "GetMetadata", Takes::Nothing, |_| Ok(Reply::Metadata)),
];

/// The method of a path, and the edition of its service.
pub(super) fn method(path: &str) -> Option<(&'static Method, Edition)> {
    let (service, name) = path.strip_prefix('/')?.split_once('/')?;
    METHODS
        .iter()
        .filter(|method| method.name == name)
        .find_map(|method| {
            let (_, edition) = method.services.iter().find(|(known, _)| *known == service)?;
            Some((method, *edition))
        })
}

impl Port {
    pub(super) fn ask(&self, request: Request, edition: Edition) -> Ask {
        Ask {
            request,
            edition,
            served: self.served(),
            now_s: (self.config.wall)().as_secs(),
        }
    }
}

impl Feed {
    /// What somebody is told who knows what was `seen`.
    pub(super) fn told(self, seen: Option<&Served>, now: &Arc<Served>) -> Vec<Reply> {
        match (self, seen) {
            (Self::Sync, _) => vec![Reply::Flags(Arc::clone(now))],
            // All flags at once: flagd's provider for Python keeps what it has cached over a short break, and would
            // serve the old for ever.
            (Self::Events, None) => vec![
                Reply::Event("provider_ready", Map::new()),
                changed(keys(now).map(|key| (key, "write"))),
            ],
            (Self::Events, Some(seen)) => {
                let how = |key| match (seen.set.flag(key), now.set.flag(key)) {
                    (None, _) => "write",
                    (_, None) => "delete",
                    _ => "update",
                };
                // Whoever has missed a change does not know what was in it.
                if now.version > seen.version + 1 {
                    let all = keys(seen).chain(keys(now));
                    return vec![changed(all.map(|key| (key, how(key))))];
                }
                let keys = now.changed.iter().map(String::as_str);
                if now.changed.is_empty() {
                    return Vec::new();
                }
                vec![changed(keys.map(|key| (key, how(key))))]
            }
        }
    }

    /// What is told in silence. Providers in process take every message for a change, so they are told nothing.
    pub(super) fn alive(self) -> Option<Reply> {
        match self {
            Self::Events => Some(Reply::Event("keep_alive", Map::new())),
            Self::Sync => None,
        }
    }
}

fn keys(served: &Served) -> impl Iterator<Item = &str> {
    served.set.flags().map(plimsoll_flags::Flag::key)
}

fn changed<'k>(keys: impl Iterator<Item = (&'k str, &'static str)>) -> Reply {
    let flags: Map<String, Value> = keys
        .map(|(key, how)| (key.to_owned(), json!({ "type": how })))
        .collect();
    let mut data = Map::new();
    data.insert("flags".to_owned(), flags.into());
    Reply::Event("configuration_change", data)
}
