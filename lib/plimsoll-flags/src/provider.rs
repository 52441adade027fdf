//! A provider for OpenFeature's SDK for Rust, which evaluates flags in the process.
//!
//! The SDK takes a provider for good, so the set that it serves is held apart, in [`Current`], and can be exchanged there
//! while evaluations go on: each sees one set from beginning to end. This is the one place of the crate with a lock, and
//! it is held for the copy of a pointer.
//!
//! The SDK has no word for "a success without a value", so a flag that is disabled, or that has no default variant, is an
//! error to it, and the caller's own default holds all the same.

use core::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use open_feature::provider::{FeatureProvider, ProviderMetadata, ResolutionDetails};
use open_feature::{
    EvaluationContext, EvaluationContextFieldValue, EvaluationError, EvaluationErrorCode, EvaluationReason,
    EvaluationResult, FlagMetadata, StructValue, Value as Served,
};
use serde_json::{Map, Value};

use crate::context::TARGETING_KEY;
use crate::{Context, ErrorCode, FlagSet, Reason};

/// Whole numbers up to here are the same as doubles.
const WHOLE_MAX: f64 = 9_007_199_254_740_991.0;

/// The set that a [`Provider`] serves at the moment.
#[derive(Debug)]
pub struct Current(RwLock<Arc<FlagSet>>);

impl Current {
    /// Begins with a set.
    pub fn new(set: FlagSet) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Arc::new(set))))
    }

    /// The set in force.
    pub fn get(&self) -> Arc<FlagSet> {
        // Nobody can panic while holding it; if somebody did, the pointer would still be whole.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another set in force; the one that was.
    pub fn exchange(&self, set: FlagSet) -> Arc<FlagSet> {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        core::mem::replace(&mut current, Arc::new(set))
    }
}

/// Serves flags to OpenFeature's SDK.
///
/// ```
/// use std::sync::Arc;
/// use plimsoll_flags::{Bucketing, FlagSet, provider::{Current, Provider}};
///
/// # let definitions = serde_json::json!({ "flags": {} });
/// let current = Current::new(FlagSet::compile(&definitions, Bucketing::V2).unwrap());
/// let provider = Provider::new(Arc::clone(&current), || 1_700_000_000);
/// // The SDK takes the provider; whoever watches the definitions keeps `current`, and exchanges the set.
/// current.exchange(FlagSet::compile(&definitions, Bucketing::V2).unwrap());
/// # drop(provider);
/// ```
pub struct Provider {
    current: Arc<Current>,
    now_s: Box<dyn Fn() -> u64 + Send + Sync>,
    metadata: ProviderMetadata,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

impl Provider {
    /// Serves what is current; `now_s` tells the seconds since 1970.
    pub fn new(current: Arc<Current>, now_s: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self {
            current,
            now_s: Box::new(now_s),
            metadata: ProviderMetadata::new("plimsoll-flags"),
        }
    }

    fn resolve<T>(
        &self,
        flag_key: &str,
        context: &EvaluationContext,
        kind: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> EvaluationResult<ResolutionDetails<T>> {
        let (set, context) = (self.current.get(), context_of(context));
        let evaluation = set.evaluate(flag_key, &context, (self.now_s)());
        if let Some((code, why)) = evaluation.error {
            return Err(error(code, why));
        }
        let Some(value) = evaluation.value else {
            let why = format!("{flag_key} has no value here: {}", evaluation.reason);
            return Err(error(ErrorCode::General, why));
        };
        let Some(value) = read(value) else {
            return Err(error(
                ErrorCode::TypeMismatch,
                format!("the value of {flag_key} is not {kind}"),
            ));
        };
        Ok(ResolutionDetails {
            value,
            variant: evaluation.variant.map(std::borrow::Cow::into_owned),
            reason: Some(match evaluation.reason {
                Reason::Static => EvaluationReason::Static,
                Reason::Default => EvaluationReason::Default,
                Reason::TargetingMatch => EvaluationReason::TargetingMatch,
                Reason::Disabled => EvaluationReason::Disabled,
                Reason::Error => EvaluationReason::Error,
            }),
            flag_metadata: Some(metadata_of(evaluation.metadata)),
        })
    }
}

fn error(code: ErrorCode, why: String) -> EvaluationError {
    let code = match code {
        ErrorCode::FlagNotFound => EvaluationErrorCode::FlagNotFound,
        ErrorCode::ParseError => EvaluationErrorCode::ParseError,
        ErrorCode::TypeMismatch => EvaluationErrorCode::TypeMismatch,
        ErrorCode::InvalidContext => EvaluationErrorCode::InvalidContext,
        ErrorCode::General => EvaluationErrorCode::General(why.clone()),
    };
    EvaluationError {
        code,
        message: Some(why),
    }
}

/// The SDK's context as ours. A time is its seconds since 1970, as `$flagd.timestamp` is. A structure is read if it is
/// one of the SDK's or JSON; the SDK lets it be anything, and anything else cannot be looked into.
fn context_of(context: &EvaluationContext) -> Context {
    let mut attributes = Map::new();
    for (name, value) in &context.custom_fields {
        let value = match value {
            EvaluationContextFieldValue::Bool(value) => (*value).into(),
            EvaluationContextFieldValue::Int(value) => (*value).into(),
            EvaluationContextFieldValue::Float(value) => (*value).into(),
            EvaluationContextFieldValue::String(value) => value.as_str().into(),
            EvaluationContextFieldValue::DateTime(value) => value.unix_timestamp().into(),
            EvaluationContextFieldValue::Struct(value) => {
                match (value.downcast_ref(), value.downcast_ref()) {
                    (Some(value), _) => structure_of(value),
                    (_, Some(value)) => Value::clone(value),
                    _ => continue,
                }
            }
        };
        attributes.insert(name.clone(), value);
    }
    if let Some(key) = &context.targeting_key {
        attributes.insert(TARGETING_KEY.to_owned(), key.as_str().into());
    }
    attributes.into()
}

fn structure_of(structure: &StructValue) -> Value {
    let members = structure.fields.iter();
    Value::Object(
        members
            .map(|(name, value)| (name.clone(), json_of(value)))
            .collect(),
    )
}

fn json_of(value: &Served) -> Value {
    match value {
        Served::Bool(value) => (*value).into(),
        Served::Int(value) => (*value).into(),
        Served::Float(value) => (*value).into(),
        Served::String(value) => value.as_str().into(),
        Served::Array(items) => items.iter().map(json_of).collect(),
        Served::Struct(structure) => structure_of(structure),
    }
}

/// A value as the SDK's; null has no place there.
fn served(value: &Value) -> Option<Served> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(value) => Served::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Served::Int(whole),
            None => Served::Float(number.as_f64()?),
        },
        Value::String(text) => Served::String(text.clone()),
        Value::Array(items) => Served::Array(items.iter().filter_map(served).collect()),
        Value::Object(_) => Served::Struct(structure(value)?),
    })
}

fn structure(value: &Value) -> Option<StructValue> {
    let members = value.as_object()?.iter();
    let fields = members.filter_map(|(name, value)| Some((name.clone(), served(value)?)));
    Some(StructValue {
        fields: fields.collect(),
    })
}

/// A whole number that a double holds exactly, however it is written.
fn whole(value: &Value) -> Option<i64> {
    let number = value.as_f64()?;
    (number.fract() == 0.0 && number.abs() <= WHOLE_MAX).then_some(number as i64)
}

fn metadata_of(metadata: &Map<String, Value>) -> FlagMetadata {
    let mut carried = FlagMetadata::default();
    for (name, value) in metadata {
        match value {
            Value::Bool(value) => carried.add_value(name, *value),
            Value::String(value) => carried.add_value(name, value.as_str()),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => carried.add_value(name, whole),
                (None, Some(number)) => carried.add_value(name, number),
                (None, None) => {}
            },
            _ => {}
        }
    }
    carried
}

#[async_trait]
impl FeatureProvider for Provider {
    fn metadata(&self) -> &ProviderMetadata {
        &self.metadata
    }

    async fn resolve_bool_value(
        &self,
        flag_key: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<bool>> {
        self.resolve(flag_key, context, "a boolean", Value::as_bool)
    }

    async fn resolve_int_value(
        &self,
        flag_key: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<i64>> {
        self.resolve(flag_key, context, "a whole number", whole)
    }

    async fn resolve_float_value(
        &self,
        flag_key: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<f64>> {
        self.resolve(flag_key, context, "a number", Value::as_f64)
    }

    async fn resolve_string_value(
        &self,
        flag_key: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<String>> {
        self.resolve(flag_key, context, "a string", |value| {
            value.as_str().map(str::to_owned)
        })
    }

    async fn resolve_struct_value(
        &self,
        flag_key: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<StructValue>> {
        self.resolve(flag_key, context, "an object", structure)
    }
}
