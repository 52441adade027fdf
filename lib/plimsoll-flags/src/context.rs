//! Whom a flag is evaluated for: a targeting key and attributes.

use serde_json::{Map, Value};

use crate::evaluation::ErrorCode;

/// The attribute that fractional rollouts split by.
pub(crate) const TARGETING_KEY: &str = "targetingKey";

/// The evaluation context: a targeting key, which says who this is, and attributes.
///
/// ```
/// use plimsoll_flags::Context;
/// let context = Context::new("ada").with("tier", "gold").with("age", 36);
/// assert_eq!(context.targeting_key(), Some("ada"));
/// assert_eq!(context.attributes()["tier"], "gold");
///
/// let sent = serde_json::json!({ "targetingKey": "ada", "tier": "gold" });
/// assert_eq!(Context::try_from(sent).unwrap().targeting_key(), Some("ada"));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    attributes: Map<String, Value>,
}

impl Context {
    /// A context of somebody with this key.
    pub fn new(targeting_key: impl Into<String>) -> Self {
        Self::default().with(TARGETING_KEY, targeting_key.into())
    }

    /// The same with an attribute more, or with another value for it.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// Who this is, if the context says so with a string.
    pub fn targeting_key(&self) -> Option<&str> {
        self.attributes.get(TARGETING_KEY)?.as_str()
    }

    /// Everything that is known, with the targeting key among it.
    pub fn attributes(&self) -> &Map<String, Value> {
        &self.attributes
    }
}

impl From<Map<String, Value>> for Context {
    fn from(attributes: Map<String, Value>) -> Self {
        Self { attributes }
    }
}

impl TryFrom<Value> for Context {
    type Error = (ErrorCode, String);

    /// # Errors
    /// [`ErrorCode::InvalidContext`] if the value is no object.
    fn try_from(value: Value) -> Result<Self, Self::Error> {
        match value {
            Value::Object(attributes) => Ok(Self { attributes }),
            _ => Err((
                ErrorCode::InvalidContext,
                "the evaluation context is not an object".to_owned(),
            )),
        }
    }
}
