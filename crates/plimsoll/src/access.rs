//! Who may ask the port for operators, and for how much.
//!
//! A [`Key`] of the configuration has a name, a [`Role`] and perhaps an end. Whoever shows its token is its holder: a
//! program with every request, a person once, who is then known by a session. Tokens are 256 bits of chance, so one
//! round of SHA-256 hides them as well as anything, and all that is kept of one is that.
//!
//! Everything is asked of the keys as they are now: one that is taken out of the configuration, replaced, or over ends
//! its sessions with it. Sessions live in memory and end with the process: then people log in once more.
//!
//! Whoever shows what is no token may do so a few times; after that the address has to wait, whatever it shows.

mod digest;
mod sessions;
mod tries;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use plimsoll_slo::Instant;
use ring::rand::{SecureRandom as _, SystemRandom};

pub(crate) use self::digest::Digest;
use self::sessions::Sessions;
pub(crate) use self::sessions::{Opened, SESSION};
use self::tries::Tries;
use crate::config::secrets::TokenSource;
use crate::record::MACHINE;

/// How much somebody may do; whoever may more may all that others may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Read everything.
    Viewer,
    /// Work on incidents, silence alerts, reload the configuration, drain.
    Operator,
    /// Correct what was counted, replace the program.
    Admin,
}

impl Role {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// What somebody shows to be let in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) name: Arc<str>,
    pub(crate) role: Role,
    pub(crate) kept: Kept,
    /// Since the Unix epoch; it opens nothing from then on.
    pub(crate) expires: Option<Duration>,
}

/// How we know its token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kept {
    Digest(Digest),
    /// It is read whenever somebody shows one: a renewed token needs no reload, and whoever removes it shuts the door.
    Source(TokenSource),
}

impl Key {
    fn is(&self, shown: &Digest) -> bool {
        match &self.kept {
            Kept::Digest(digest) => digest.matches(shown),
            Kept::Source(source) => source
                .read()
                .is_ok_and(|secret| Digest::of(secret.to_send().as_bytes()).matches(shown)),
        }
    }

    fn is_over(&self, wall: Duration) -> bool {
        self.expires.is_some_and(|expires| wall >= expires)
    }
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The name of a key; `None` where no keys are asked for, which is on this machine only.
    pub(crate) name: Option<Arc<str>>,
    pub(crate) role: Role,
    /// What forms of a session have to send along, which no other site can know.
    pub(crate) csrf: Option<Arc<str>>,
}

impl Caller {
    /// Anybody on this machine, where no key is asked for.
    pub(crate) const fn anybody() -> Self {
        Self {
            name: None,
            role: Role::Admin,
            csrf: None,
        }
    }

    /// Who is to have said what is written, if the request names somebody: the holder of a key may write for others,
    /// not as others.
    pub(crate) fn author(&self, named: Option<&str>) -> Arc<str> {
        let is_fit = |name: &&str| !name.is_empty() && name.len() <= AUTHOR_MAX && !name.starts_with(MACHINE);
        let named = named.map(str::trim).filter(is_fit);
        match (&self.name, named) {
            (None, named) => named.unwrap_or("an operator").into(),
            (Some(own), None) => Arc::clone(own),
            (Some(own), Some(named)) if **own == *named => Arc::clone(own),
            (Some(own), Some(named)) => format!("{named}, by the token of {own}").into(),
        }
    }
}

/// Bytes of somebody's name.
const AUTHOR_MAX: usize = 100;

/// Why somebody is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("no key has this token")]
    Unknown,
    #[error("the token of `{0}` has expired")]
    Over(Arc<str>),
    #[error("too many wrong tokens came from this address")]
    TooOften(Duration),
    #[error("the session is over")]
    SessionOver,
}

/// When it is: on the clock that only goes forward, and since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) steady: Instant,
    pub(crate) wall: Duration,
}

/// The door: who is inside, and who has knocked too often.
#[derive(Debug, Default)]
pub(crate) struct Door {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    sessions: Sessions,
    tries: Tries,
}

impl Door {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever shows a token.
    ///
    /// # Errors
    /// [`Refused`], which counts as a try of this address.
    pub(crate) fn by_token(
        &self,
        keys: &[Key],
        now: Now,
        from: IpAddr,
        token: &[u8],
    ) -> Result<Caller, Refused> {
        self.key(keys, now, from, token).map(|(key, _)| Caller {
            name: Some(Arc::clone(&key.name)),
            role: key.role,
            csrf: None,
        })
    }

    fn key<'k>(
        &self,
        keys: &'k [Key],
        now: Now,
        from: IpAddr,
        token: &[u8],
    ) -> Result<(&'k Key, Digest), Refused> {
        // Files of tokens are read without the lock. Tries at once are as many as the port has connections.
        self.lock()
            .tries
            .may(now.steady, from)
            .map_err(Refused::TooOften)?;
        let shown = Digest::of(token);
        let refused = match keys.iter().find(|key| key.is(&shown)) {
            Some(key) if !key.is_over(now.wall) => return Ok((key, shown)),
            Some(key) => Refused::Over(Arc::clone(&key.name)),
            None => Refused::Unknown,
        };
        self.lock().tries.failed(now.steady, from);
        Err(refused)
    }

    /// Opens a session for whoever shows a token.
    ///
    /// # Errors
    /// As [`by_token`](Self::by_token).
    pub(crate) fn log_in(
        &self,
        keys: &[Key],
        now: Now,
        from: IpAddr,
        token: &[u8],
    ) -> Result<(Caller, Opened), Refused> {
        let (key, digest) = self.key(keys, now, from, token)?;
        let (id, csrf): (Opened, Arc<str>) = (Opened::new(), random().into());
        self.lock().sessions.open(&id, key, digest, &csrf, now.wall);
        let caller = Caller {
            name: Some(Arc::clone(&key.name)),
            role: key.role,
            csrf: Some(csrf),
        };
        Ok((caller, id))
    }

    /// Whoever has a session, with what its key may do now.
    ///
    /// # Errors
    /// [`Refused`] if it is over, or its key is.
    pub(crate) fn by_session(&self, keys: &[Key], now: Now, id: &str) -> Result<Caller, Refused> {
        let found = self.lock().sessions.find(id, now.wall);
        let (name, digest, csrf) = found.ok_or(Refused::SessionOver)?;
        let key = keys.iter().find(|key| key.name == name && key.is(&digest));
        match key {
            Some(key) if key.is_over(now.wall) => Err(Refused::Over(name)),
            Some(key) => Ok(Caller {
                name: Some(name),
                role: key.role,
                csrf: Some(csrf),
            }),
            None => {
                self.lock().sessions.close(id);
                Err(Refused::SessionOver)
            }
        }
    }

    /// Ends a session.
    pub(crate) fn log_out(&self, id: &str) {
        self.lock().sessions.close(id);
    }
}

/// What a token begins with, so that whoever looks for lost secrets finds it.
const PREFIX: &str = "plim_";

/// A new token.
pub(crate) fn new_token() -> String {
    format!("{PREFIX}{}", random())
}

/// 256 bits of chance, in letters that may stand anywhere.
fn random() -> String {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the kernel has chance to give once it has booted");
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn at(seconds: u64) -> Now {
        Now {
            steady: Instant::from_nanos(seconds * 1_000_000_000),
            wall: Duration::from_secs(1_795_000_000 + seconds),
        }
    }

    fn key(name: &str, role: Role, token: &str) -> Key {
        Key {
            name: name.into(),
            role,
            kept: Kept::Digest(Digest::of(token.as_bytes())),
            expires: None,
        }
    }

    #[test]
    fn a_token_opens_as_much_as_its_key_says_until_it_is_over() {
        let mut keys = [
            key("ada", Role::Admin, "plim_a"),
            key("bot", Role::Viewer, "plim_b"),
        ];
        keys[1].expires = Some(at(100).wall);
        let door = Door::default();
        let ask = |seconds, token: &str| door.by_token(&keys, at(seconds), HERE, token.as_bytes());
        assert_eq!(ask(0, "plim_a").map(|caller| caller.role).ok(), Some(Role::Admin));
        assert_eq!(
            ask(99, "plim_b").map(|caller| caller.role).ok(),
            Some(Role::Viewer)
        );
        assert_eq!(ask(100, "plim_b").unwrap_err(), Refused::Over("bot".into()));
        assert_eq!(ask(101, "").unwrap_err(), Refused::Unknown);
        // The digest that the configuration has opens nothing.
        assert_eq!(
            ask(102, &Digest::of(b"plim_a").to_string()).unwrap_err(),
            Refused::Unknown
        );
    }

    #[test]
    fn a_session_is_as_good_as_its_key_is_now() {
        let mut keys = vec![key("ada", Role::Operator, "plim_a")];
        let door = Door::default();
        let (_, id) = door.log_in(&keys, at(0), HERE, b"plim_a").unwrap();
        let by = |keys: &[Key], seconds| {
            door.by_session(keys, at(seconds), id.cookie())
                .map(|caller| caller.role)
        };
        assert_eq!(by(&keys, 1), Ok(Role::Operator));
        keys[0].role = Role::Viewer;
        assert_eq!(by(&keys, 2), Ok(Role::Viewer));
        keys[0].expires = Some(at(10).wall);
        assert_eq!(by(&keys, 11), Err(Refused::Over("ada".into())));
        keys[0].expires = None;
        assert_eq!(by(&keys, 11), Ok(Role::Viewer));
        // Twelve hours are a watch.
        assert_eq!(by(&keys, SESSION.as_secs() - 1), Ok(Role::Viewer));
        assert_eq!(by(&keys, SESSION.as_secs()), Err(Refused::SessionOver));

        let (_, id) = door.log_in(&keys, at(0), HERE, b"plim_a").unwrap();
        // A new token under the old name: whoever had the old one is out, and stays out.
        let renewed = [key("ada", Role::Viewer, "plim_other")];
        assert_eq!(
            door.by_session(&renewed, at(1), id.cookie()).unwrap_err(),
            Refused::SessionOver
        );
        assert_eq!(
            door.by_session(&keys, at(1), id.cookie()).unwrap_err(),
            Refused::SessionOver
        );

        let (_, id) = door.log_in(&keys, at(0), HERE, b"plim_a").unwrap();
        door.log_out(id.cookie());
        assert!(door.by_session(&keys, at(1), id.cookie()).is_err());
    }

    #[test]
    fn whoever_guesses_has_to_wait_and_others_need_not() {
        let keys = [key("ada", Role::Admin, "plim_a")];
        let door = Door::default();
        let elsewhere: IpAddr = "10.0.0.1".parse().unwrap();
        let wrong = (0..1_000).take_while(|_| {
            door.by_token(&keys, at(0), elsewhere, b"guess").unwrap_err() == Refused::Unknown
        });
        assert_eq!(wrong.count(), 10);
        // The right one is not told from a wrong one then.
        assert!(matches!(
            door.by_token(&keys, at(0), elsewhere, b"plim_a"),
            Err(Refused::TooOften(wait)) if wait == Duration::from_secs(6)
        ));
        assert!(door.by_token(&keys, at(0), HERE, b"plim_a").is_ok());
        assert!(door.by_token(&keys, at(6), elsewhere, b"plim_a").is_ok());
    }

    #[test]
    fn nobody_writes_as_somebody_else() {
        let anybody = Caller::anybody();
        let ada = Caller {
            name: Some("ada".into()),
            ..Caller::anybody()
        };
        for (caller, named, author) in [
            (&anybody, None, "an operator"),
            (&anybody, Some(" ada "), "ada"),
            (&anybody, Some("plimsoll/one"), "an operator"),
            (&ada, None, "ada"),
            (&ada, Some("ada"), "ada"),
            (&ada, Some("bob"), "bob, by the token of ada"),
        ] {
            assert_eq!(&*caller.author(named), author, "{named:?}");
        }
    }

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let (one, other) = (new_token(), new_token());
        assert!(one.len() == 48 && one.starts_with("plim_") && one != other);
    }
}
