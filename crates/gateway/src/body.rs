//! Bodies on their way through: the caller's, which attempts share ([`upload`]), and the answer's ([`answer`]).
//! Both are streams in bounded memory; nothing is held but what a retry may need again.

pub(crate) mod answer;
pub(crate) mod upload;

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;

use crate::framing::Refusal;
use crate::http1::outbox::WrongLength;
use crate::http1::talk::Talk;
use crate::http2::Incoming;

/// Why a body broke off. The other side can tell: its connection breaks, or its stream is reset.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The caller's body broke a rule, or came too slowly.
    #[error("the request body was refused: {0}")]
    Refused(Refusal),
    /// The caller's body broke off.
    #[error("the request body broke off: {0}")]
    Caller(#[source] Broke),
    /// The upstream's body broke off.
    #[error("the upstream's answer broke off: {0}")]
    Upstream(#[source] Broke),
    /// Nothing was sent for too long.
    #[error("the stream was idle for too long")]
    Idle,
    /// The deadline that the caller set passed.
    #[error("the deadline passed")]
    Deadline,
    /// This attempt was given up; another has its body.
    #[error("the attempt was given up")]
    GivenUp,
    /// It was to be sent on with a length that it does not have.
    #[error(transparent)]
    Length(#[from] WrongLength),
}

/// How a body on its way in broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broke {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the connection ended in the middle of it")]
    Short,
    #[error("{0}")]
    Refused(Refusal),
    #[error("{}", crate::pool::chain(.0))]
    Http2(h2::Error),
    /// The upload that an answer was given to broke off under it.
    #[error(transparent)]
    Upload(Box<BodyError>),
}

impl From<Refusal> for Broke {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A caller's body as its connection has it.
pub(crate) enum Inbound {
    Http1(Rc<Talk>),
    Http2(Incoming),
}

impl Inbound {
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broke>>> {
        match self {
            Self::Http1(talk) => talk.poll_body(cx),
            Self::Http2(incoming) => incoming.poll_frame(cx),
        }
    }

    /// Whether nothing is to come any more.
    pub(crate) fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(talk) => talk.is_body_whole(),
            Self::Http2(incoming) => incoming.is_end_stream(),
        }
    }

    /// Bytes that are to come, if that is known.
    pub(crate) fn exact(&self) -> Option<u64> {
        match self {
            Self::Http1(talk) => talk.body_left(),
            Self::Http2(incoming) => incoming.exact(),
        }
    }
}
