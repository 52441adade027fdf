//! Why there is no answer.
//!
//! A layer that refuses, or gives up waiting, returns a [`Refused`] as its error: the row of the Reason table, with what
//! exactly happened. Errors of all layers are the same boxed one, as everywhere in tower, so that layers of others may
//! stand between ours; the refusal is found again in the chain of sources by [`Refused::find`].
//!
//! An error that is no refusal comes from the service itself: a client whose connection broke, say. Whoever knows what it
//! means says so by turning it into a `Refused` before it reaches a layer, for instance "the connect failed, so nothing
//! was delivered". Of what nobody explained, [`reason_of`] assumes the worst that fits.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use plimsoll_slo::{Problem, Reason};

/// What layers fail with: a [`Refused`], or what the service inside failed with.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The error of a layer that refused, or gave up waiting. Everything it knows is for whoever answers.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_slo::{Delivered, Reason};
/// use plimsoll_tower::{BoxError, Refused};
///
/// // A client that knows that its connect failed says so; retries then know that nothing was delivered.
/// let error: BoxError = Refused::new(Reason::UpstreamRefused).cause("connection refused").into();
/// let refused = Refused::find(&*error).expect("it is one");
/// assert_eq!(refused.reason().info().delivered, Delivered::No);
/// assert_eq!(error.to_string(), "upstream-refused: connection refused");
/// ```
#[derive(Debug)]
pub struct Refused {
    reason: Reason,
    cause: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    /// HTTP and gRPC status to pretend, for injected faults only.
    pub(crate) pretend: Option<(u16, u8)>,
    /// Do not answer at all, as an injected fault wants it.
    pub(crate) cut_off: bool,
    /// Fields that the answer carries whatever it is.
    pub(crate) fields: Vec<(HeaderName, HeaderValue)>,
    source: Option<BoxError>,
}

impl Refused {
    /// A refusal of which no more is known than its reason.
    pub const fn new(reason: Reason) -> Self {
        Self {
            reason,
            cause: None,
            retry_after: None,
            pretend: None,
            cut_off: false,
            fields: Vec::new(),
            source: None,
        }
    }

    /// Says what exactly happened. The caller may read it.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<Cow<'static, str>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Says how long to stay away.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Keeps the error behind it, for logs; the caller does not read it.
    #[must_use]
    pub fn because(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The row of the table: blame, delivered, retry safety, status.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// How long to stay away, where the policy that refused said so.
    pub const fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether an injected fault wants the connection broken, and no answer at all.
    pub const fn cuts_off(&self) -> bool {
        self.cut_off
    }

    /// What is to be told of it, about the request with this id.
    pub fn problem<'a>(&'a self, request_id: &'a str) -> Problem<'a> {
        Problem {
            cause: self.cause.as_deref(),
            retry_after: self.retry_after.or(self.reason.usual_wait()),
            pretend: self.pretend,
            request_id,
            ..Problem::new(self.reason)
        }
    }

    /// The refusal in `error` or in what caused it, if there is one.
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        chain(error).find_map(|error| error.downcast_ref())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some(cause) => write!(f, "{}: {cause}", self.reason),
            None => self.reason.fmt(f),
        }
    }
}

impl Error for Refused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// What an error says in the words of the table: the reason of a refusal; `upstream-refused` of a connection that was
/// refused, which cannot happen once something was sent; and otherwise `upstream-reset`, for the service may have acted.
///
/// ```
/// use std::io;
/// use plimsoll_slo::Reason;
/// use plimsoll_tower::reason_of;
///
/// assert_eq!(reason_of(&io::Error::from(io::ErrorKind::ConnectionRefused)), Reason::UpstreamRefused);
/// assert_eq!(reason_of(&io::Error::from(io::ErrorKind::BrokenPipe)), Reason::UpstreamReset);
/// ```
pub fn reason_of(error: &(dyn Error + 'static)) -> Reason {
    let connect_refused = |error: &(dyn Error + 'static)| {
        let io = error.downcast_ref::<std::io::Error>();
        io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused)
    };
    match Refused::find(error) {
        Some(refused) => refused.reason,
        None if chain(error).any(connect_refused) => Reason::UpstreamRefused,
        None => Reason::UpstreamReset,
    }
}

/// An error and all that caused it, as deep as any chain sensibly goes: one that leads back to itself must end.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| below(error)).take(32)
}

/// What stands behind an error. One of I/O passes over the error that it was made of when it is asked for its source.
fn below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
    {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}
