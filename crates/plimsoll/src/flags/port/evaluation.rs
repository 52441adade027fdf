//! Evaluates flags for the flagd services.

use plimsoll_flags::{Context, ErrorCode, Evaluation, Flag};
use serde_json::{Map, Value};

use super::rpc::{Ask, Edition, Reply};
use super::status::{self, Status};

/// What kind of value is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Boolean,
    String,
    Float,
    Int,
    Object,
}

/// A value of the kind that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Typed {
    Boolean(bool),
    String(String),
    Float(f64),
    Int(i64),
    Object(Map<String, Value>),
}

/// What a flag came to. Without a value, the code's own default holds, which only v2 can say.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Resolved {
    pub(super) value: Option<Typed>,
    pub(super) variant: Option<String>,
    pub(super) reason: &'static str,
    pub(super) metadata: Map<String, Value>,
}

impl Wanted {
    fn words(self) -> &'static str {
        match self {
            Self::Boolean => "a boolean",
            Self::String => "a string",
            Self::Float => "a number",
            Self::Int => "a whole number of 64 bits",
            Self::Object => "an object",
        }
    }

    /// The value as this kind. Every number is a float. A fraction is not cut off to make an integer of it, as flagd
    /// does: 0.5 would silently be 0.
    fn of(self, value: &Value) -> Option<Typed> {
        match (self, value) {
            (Self::Boolean, Value::Bool(bool)) => Some(Typed::Boolean(*bool)),
            (Self::String, Value::String(text)) => Some(Typed::String(text.clone())),
            (Self::Float, Value::Number(number)) => number.as_f64().map(Typed::Float),
            (Self::Int, Value::Number(number)) => {
                let whole = number.as_i64().or_else(|| whole(number.as_f64()?));
                whole.map(Typed::Int)
            }
            (Self::Object, Value::Object(members)) => Some(Typed::Object(members.clone())),
            _ => None,
        }
    }

    /// The kind that a value is of. `ResolveAll` has no integers.
    fn natural(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(_) => Some(Self::Boolean),
            Value::String(_) => Some(Self::String),
            Value::Number(_) => Some(Self::Float),
            Value::Object(_) => Some(Self::Object),
            Value::Array(_) | Value::Null => None,
        }
    }
}

fn whole(number: f64) -> Option<i64> {
    // 2^63 is a double, and the first that is too large.
    let fits = number.fract() == 0.0 && (-(2_f64.powi(63))..2_f64.powi(63)).contains(&number);
    fits.then_some(number as i64)
}

/// Metadata that OpenFeature can carry: strings, numbers and booleans. A null in it keeps flagd's provider for Python
/// from taking the flags at all.
pub(super) fn metadata(metadata: &Map<String, Value>) -> Map<String, Value> {
    let carried = |value: &Value| matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_));
    let carried = metadata.iter().filter(|(_, value)| carried(value));
    carried
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

pub(super) fn resolve(ask: &Ask, wanted: Wanted) -> Result<Reply, Status> {
    let context = Context::from(ask.request.context.clone());
    let key = &ask.request.flag_key;
    let evaluation = ask.served.set.evaluate(key, &context, ask.now_s);
    if let Some((error, why)) = &evaluation.error {
        return Err(status::of_error(*error, why));
    }
    let value = match evaluation.value {
        Some(value) => Some(wanted.of(value).ok_or_else(|| mismatch(key, value, wanted))?),
        None if ask.edition == Edition::V2 => None,
        None => {
            let why = format!(
                "flag {key:?} has no value ({}), which this version of the service cannot say",
                evaluation.reason
            );
            return Err(status::of_error(ErrorCode::FlagNotFound, &why));
        }
    };
    Ok(Reply::Resolved(resolved(value, &evaluation)))
}

fn mismatch(key: &str, value: &Value, wanted: Wanted) -> Status {
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    let why = format!("flag {key:?} is {is}, and {} was asked for", wanted.words());
    status::of_error(ErrorCode::TypeMismatch, &why)
}

fn resolved(value: Option<Typed>, evaluation: &Evaluation<'_>) -> Resolved {
    Resolved {
        value,
        variant: evaluation.variant.as_deref().map(str::to_owned),
        reason: evaluation.reason.as_str(),
        metadata: metadata(evaluation.metadata),
    }
}

/// All flags that have a value. The others are left out, so that code gets its own default: flagd sends zero values,
/// and providers for the web hand them out.
#[expect(clippy::unnecessary_wraps, reason = "like all that answer")]
pub(super) fn all(ask: &Ask) -> Result<Reply, Status> {
    let context = Context::from(ask.request.context.clone());
    let set = &ask.served.set;
    let evaluated = set.flags().filter_map(|flag: &Flag| {
        let evaluation = set.evaluate(flag.key(), &context, ask.now_s);
        let value = evaluation.value?;
        let value = Wanted::natural(value)?.of(value);
        Some((flag.key().to_owned(), resolved(value, &evaluation)))
    });
    Ok(Reply::All(evaluated.collect(), metadata(set.metadata())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn integers_are_whole_and_every_number_is_a_float() {
        assert_eq!(Wanted::Int.of(&json!(10)), Some(Typed::Int(10)));
        assert_eq!(Wanted::Int.of(&json!(3.0)), Some(Typed::Int(3)));
        assert_eq!(Wanted::Int.of(&json!(0.5)), None);
        assert_eq!(Wanted::Int.of(&json!(u64::MAX)), None);
        assert_eq!(Wanted::Int.of(&json!(9.3e18)), None);
        assert_eq!(Wanted::Float.of(&json!(10)), Some(Typed::Float(10.0)));
        assert_eq!(Wanted::Object.of(&json!([1])), None);
    }
}
