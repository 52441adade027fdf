//! What an evaluation came to, in OpenFeature's words.

use core::fmt;
use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::flag::Kind;

/// Why a flag has the value it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// There is no targeting, so everybody gets the default variant.
    Static,
    /// Targeting chose nothing, or there is no default variant either, so the code's own default holds.
    Default,
    /// Targeting chose the variant.
    TargetingMatch,
    /// The flag is switched off: a success without a value, and the code's own default holds.
    Disabled,
    /// It could not be evaluated.
    Error,
}

impl Reason {
    /// OpenFeature's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Static => "STATIC",
            Self::Default => "DEFAULT",
            Self::TargetingMatch => "TARGETING_MATCH",
            Self::Disabled => "DISABLED",
            Self::Error => "ERROR",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What kept a flag from being evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorCode {
    /// There is no flag of that key.
    FlagNotFound,
    /// The rule does not hold together: an unknown operator, or an operand that its operator cannot take.
    ParseError,
    /// The value is of another kind than was asked for.
    TypeMismatch,
    /// Anything else, such as a rule that names a variant that is not there.
    General,
    /// The context is not what a context has to be.
    InvalidContext,
}

impl ErrorCode {
    /// OpenFeature's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FlagNotFound => "FLAG_NOT_FOUND",
            Self::ParseError => "PARSE_ERROR",
            Self::TypeMismatch => "TYPE_MISMATCH",
            Self::General => "GENERAL",
            Self::InvalidContext => "INVALID_CONTEXT",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an evaluation came to. Without a value, the caller's own default holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation<'a> {
    /// The variant's value.
    pub value: Option<&'a Value>,
    /// The variant's name.
    pub variant: Option<Cow<'a, str>>,
    /// Why this one.
    pub reason: Reason,
    /// What went wrong, with a sentence about it; only with [`Reason::Error`].
    pub error: Option<(ErrorCode, String)>,
    /// The flag's metadata over the set's.
    pub metadata: &'a Map<String, Value>,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn chosen(
        (variant, value): (&'a str, &'a Value),
        reason: Reason,
        metadata: &'a Map<String, Value>,
    ) -> Self {
        Self {
            value: Some(value),
            variant: Some(Cow::Borrowed(variant)),
            reason,
            error: None,
            metadata,
        }
    }

    pub(crate) fn without_value(reason: Reason, metadata: &'a Map<String, Value>) -> Self {
        Self {
            value: None,
            variant: None,
            reason,
            error: None,
            metadata,
        }
    }

    pub(crate) fn failed(code: ErrorCode, why: String, metadata: &'a Map<String, Value>) -> Self {
        Self {
            error: Some((code, why)),
            ..Self::without_value(Reason::Error, metadata)
        }
    }

    /// The same for somebody who asked for a value of this kind: a value of another is a
    /// [`ErrorCode::TypeMismatch`], and is not handed out. No value, as of a disabled flag, is of every kind.
    ///
    /// ```
    /// use plimsoll_flags::{Bucketing, Context, ErrorCode, FlagSet, Kind};
    /// let definitions = serde_json::json!({ "flags": { "limit": {
    ///     "state": "ENABLED", "variants": { "low": 10 }, "defaultVariant": "low",
    /// } } });
    /// let set = FlagSet::compile(&definitions, Bucketing::V2).unwrap();
    /// let context = Context::default();
    /// assert!(set.evaluate("limit", &context, 0).of_kind(Kind::Number).error.is_none());
    /// let other = set.evaluate("limit", &context, 0).of_kind(Kind::String);
    /// assert_eq!(other.error.unwrap().0, ErrorCode::TypeMismatch);
    /// ```
    #[must_use]
    pub fn of_kind(self, kind: Kind) -> Self {
        match self.value.map(Kind::of) {
            Some(is) if is != kind => {
                let why = format!("the value is {is}, and {kind} was asked for");
                Self {
                    variant: self.variant,
                    ..Self::failed(ErrorCode::TypeMismatch, why, self.metadata)
                }
            }
            _ => self,
        }
    }
}
