//! Who has logged in with a browser.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Digest, Key, random};

/// A session ends after this, in use or not: the longest watch.
pub(crate) const SESSION: Duration = Duration::from_hours(12);

/// Sessions at once. One more ends the oldest.
const SESSIONS_MAX: usize = 1_000;

/// The secret of a session, which its browser has.
pub(crate) struct Opened(String);

impl Opened {
    pub(super) fn new() -> Self {
        Self(random())
    }

    pub(crate) fn cookie(&self) -> &str {
        &self.0
    }
}

/// All of them, by the digest of their secret: whoever reads this memory has none.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: HashMap<Digest, Session>,
}

#[derive(Debug)]
struct Session {
    key: Arc<str>,
    token: Digest,
    csrf: Arc<str>,
    /// Since the Unix epoch.
    until: Duration,
}

impl Sessions {
    pub(super) fn open(&mut self, id: &Opened, key: &Key, token: Digest, csrf: &Arc<str>, wall: Duration) {
        self.open.retain(|_, session| session.until > wall);
        if self.open.len() >= SESSIONS_MAX {
            let oldest = self.open.iter().min_by_key(|(_, session)| session.until);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.open.remove(&oldest);
            }
        }
        let session = Session {
            key: Arc::clone(&key.name),
            token,
            csrf: Arc::clone(csrf),
            until: wall + SESSION,
        };
        self.open.insert(Digest::of(id.0.as_bytes()), session);
    }

    /// The name of its key, the digest of the token that was shown, and what its forms send along.
    pub(super) fn find(&self, id: &str, wall: Duration) -> Option<(Arc<str>, Digest, Arc<str>)> {
        let session = self.open.get(&Digest::of(id.as_bytes()))?;
        let found = || (Arc::clone(&session.key), session.token, Arc::clone(&session.csrf));
        (session.until > wall).then(found)
    }

    pub(super) fn close(&mut self, id: &str) {
        self.open.remove(&Digest::of(id.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Kept, Role};
    use super::*;

    #[test]
    fn there_are_so_many_and_no_more() {
        let key = Key {
            name: "ada".into(),
            role: Role::Viewer,
            kept: Kept::Digest(Digest::of(b"")),
            expires: None,
        };
        let mut sessions = Sessions::default();
        let ids: Vec<Opened> = (0..=SESSIONS_MAX).map(|_| Opened::new()).collect();
        for (second, id) in ids.iter().enumerate() {
            let wall = Duration::from_secs(second as u64);
            sessions.open(id, &key, Digest::of(b""), &"c".into(), wall);
        }
        let is_open = |id: &Opened| sessions.find(id.cookie(), SESSION / 2).is_some();
        assert!(!is_open(&ids[0]) && ids[1..].iter().all(is_open));
    }
}
