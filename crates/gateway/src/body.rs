//! Bodies on their way through: the caller's, which attempts share ([`upload`]), and the answer's ([`answer`]).
//! Both are streams in bounded memory; nothing is held but what a retry may need again.

pub(crate) mod answer;
pub(crate) mod upload;

/// Why a body broke off. hyper turns it into a broken connection or a reset stream, so that the other side can tell.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The caller's body broke a rule, or came too slowly.
    #[error("the request body was refused: {0}")]
    Refused(crate::framing::Refusal),
    /// The caller's body broke off.
    #[error("the request body broke off")]
    Caller(#[source] hyper::Error),
    /// The upstream's body broke off.
    #[error("the upstream's answer broke off")]
    Upstream(#[source] hyper::Error),
    /// Nothing was sent for too long.
    #[error("the stream was idle for too long")]
    Idle,
    /// The deadline that the caller set passed.
    #[error("the deadline passed")]
    Deadline,
    /// This attempt was given up; another has its body.
    #[error("the attempt was given up")]
    GivenUp,
}
