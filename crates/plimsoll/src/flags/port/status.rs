//! Refusals of the flagd services, in the words of gRPC and of Connect.

use http::StatusCode;
use plimsoll_flags::ErrorCode;

/// A status that is not OK. Which client makes what of it stands in the comments of [`of_error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    ResourceExhausted,
    Unimplemented,
    Internal,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

impl Code {
    /// gRPC's number, Connect's word, and the HTTP status of a Connect answer that is one message.
    fn spellings(self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Self::InvalidArgument => ("3", "invalid_argument", StatusCode::BAD_REQUEST),
            Self::DeadlineExceeded => ("4", "deadline_exceeded", StatusCode::GATEWAY_TIMEOUT),
            Self::NotFound => ("5", "not_found", StatusCode::NOT_FOUND),
            Self::ResourceExhausted => ("8", "resource_exhausted", StatusCode::TOO_MANY_REQUESTS),
            Self::Unimplemented => ("12", "unimplemented", StatusCode::NOT_IMPLEMENTED),
            Self::Internal => ("13", "internal", StatusCode::INTERNAL_SERVER_ERROR),
            Self::Unavailable => ("14", "unavailable", StatusCode::SERVICE_UNAVAILABLE),
            Self::DataLoss => ("15", "data_loss", StatusCode::INTERNAL_SERVER_ERROR),
            Self::Unauthenticated => ("16", "unauthenticated", StatusCode::UNAUTHORIZED),
        }
    }

    pub(super) fn number(self) -> &'static str {
        self.spellings().0
    }

    pub(super) fn word(self) -> &'static str {
        self.spellings().1
    }

    pub(super) fn http(self) -> StatusCode {
        self.spellings().2
    }
}

/// A refusal, and a sentence about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: Code,
    pub(super) message: String,
}

impl Status {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// How streams end when the port closes.
    pub(super) fn closing() -> Self {
        Self::new(Code::Unavailable, "the flag port is closing; connect again")
    }
}

/// What flagd says of each error; providers translate it back. INTERNAL comes out as GENERAL in all of them, and is
/// not retried.
pub(super) fn of_error(error: ErrorCode, why: &str) -> Status {
    let (code, words) = match error {
        ErrorCode::FlagNotFound => (Code::NotFound, "Flag not found"),
        ErrorCode::ParseError => (Code::DataLoss, "Parse error"),
        ErrorCode::TypeMismatch => (Code::InvalidArgument, "Type mismatch error"),
        ErrorCode::InvalidContext => (Code::InvalidArgument, "Invalid context"),
        ErrorCode::General => (Code::Internal, "General error"),
    };
    Status::new(code, format!("{words}: {why}"))
}
