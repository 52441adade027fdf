//! The flags as they are served, and what their port works with.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_flags::{Bucketing, FlagSet};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::port::sync;
pub(crate) use super::token::TokenCheck;

/// See the module's header.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) set: FlagSet,
    /// Counts what was served since this process began; grows with every change.
    pub(crate) version: u64,
    /// Hash of the definitions, the same in every process that serves the same: for ETags.
    pub(crate) digest: String,
    /// What is streamed to providers that evaluate for themselves.
    pub(crate) sync: String,
    /// Seconds since the Unix epoch.
    pub(crate) changed_at: u64,
    /// Keys of flags that differ from what was served before this.
    pub(crate) changed: Vec<String>,
}

impl Served {
    /// What follows on `before`.
    pub(crate) fn after(before: &Self, set: FlagSet, composed: &Value, now_s: u64) -> Self {
        let definition = |set: &FlagSet, key: &str| set.flag(key).map(|flag| flag.definition().clone());
        let gone = before.set.flags().filter(|flag| set.flag(flag.key()).is_none());
        let gone: Vec<String> = gone.map(|flag| flag.key().to_owned()).collect();
        // What a flag refers to may have changed, and it with it.
        let same_fragments = before.set.metadata() == set.metadata();
        let others = set.flags().filter(|flag| {
            !same_fragments || definition(&before.set, flag.key()).as_ref() != Some(flag.definition())
        });
        let changed = others.map(|flag| flag.key().to_owned()).chain(gone).collect();
        Self {
            version: before.version + 1,
            digest: hash(&set, composed),
            sync: sync::json(&set, composed.get("$evaluators")),
            changed_at: now_s,
            changed,
            set,
        }
    }
}

impl Default for Served {
    fn default() -> Self {
        let composed = json!({ "flags": {} });
        let set = FlagSet::compile(&composed, Bucketing::default()).expect("no flags are well defined");
        Self {
            version: 0,
            digest: hash(&set, &composed),
            sync: composed.to_string(),
            changed_at: 0,
            changed: Vec::new(),
            set,
        }
    }
}

/// Work that goes on beside what started it.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the port works with.
pub(crate) struct PortConfig {
    pub(crate) served: watch::Receiver<Arc<Served>>,
    /// Since the Unix epoch.
    pub(crate) wall: Arc<dyn Fn() -> Duration + Send + Sync>,
    /// Everything that the port starts beside itself goes through this.
    pub(crate) spawn: Arc<dyn Fn(Task) + Send + Sync>,
    /// Who may ask. Without it, everybody.
    pub(crate) token: Option<TokenCheck>,
}

impl fmt::Debug for PortConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortConfig").finish_non_exhaustive()
    }
}

/// Of what decides what a flag comes to.
fn hash(set: &FlagSet, composed: &Value) -> String {
    let text = format!("{}\n{composed}", set.bucketing());
    let hash = digest(&SHA256, text.as_bytes());
    hash.as_ref()[..12].iter().fold(String::new(), |mut text, byte| {
        use std::fmt::Write as _;
        _ = write!(text, "{byte:02x}");
        text
    })
}
