//! One flag: what it may be, and its shape checked.

use core::fmt;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::problem::{Place, Problems};
use crate::rule::Rule;

/// Whether a flag is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It is evaluated.
    Enabled,
    /// It is not, and the code's own default holds.
    Disabled,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enabled => "ENABLED",
            Self::Disabled => "DISABLED",
        })
    }
}

/// The kind of a flag's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `true` and `false`.
    Bool,
    /// Texts.
    String,
    /// Numbers, whole or not.
    Number,
    /// Objects.
    Object,
    /// Several kinds, or lists or nulls, which flagd's schema does not know as values.
    Mixed,
}

impl Kind {
    /// The kind of one value.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Bool(_) => Self::Bool,
            Value::String(_) => Self::String,
            Value::Number(_) => Self::Number,
            Value::Object(_) => Self::Object,
            Value::Array(_) | Value::Null => Self::Mixed,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "a boolean",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Object => "an object",
            Self::Mixed => "of mixed kinds",
        })
    }
}

/// One flag of a [`FlagSet`](crate::FlagSet).
#[derive(Debug)]
pub struct Flag {
    pub(crate) key: String,
    pub(crate) definition: Value,
    pub(crate) state: State,
    /// In the order of their names.
    pub(crate) variants: Vec<(String, Value)>,
    pub(crate) default: Option<usize>,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) kind: Kind,
    pub(crate) rule: Option<Rule>,
    pub(crate) variables: BTreeSet<String>,
}

impl Flag {
    /// Its key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether it is switched on.
    pub fn state(&self) -> State {
        self.state
    }

    /// Its variants, by name.
    pub fn variants(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.variants.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The value of one variant.
    pub fn variant(&self, name: &str) -> Option<&Value> {
        self.find(name).map(|(_, value)| value)
    }

    /// The variant for those whom targeting does not place. Without one, the code's own default holds.
    pub fn default_variant(&self) -> Option<&str> {
        self.default.map(|at| self.variants[at].0.as_str())
    }

    /// The definition as it was written.
    pub fn definition(&self) -> &Value {
        &self.definition
    }

    /// Its metadata over the set's.
    pub fn metadata(&self) -> &Map<String, Value> {
        &self.metadata
    }

    /// The kind of its values.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The attributes of the context that its targeting may read, in order: `targetingKey` among them if it does a
    /// split, `user` if it reads `user.name`.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(String::as_str)
    }

    pub(crate) fn find(&self, name: &str) -> Option<(&str, &Value)> {
        let at = self
            .variants
            .binary_search_by(|(other, _)| other.as_str().cmp(name))
            .ok()?;
        let (name, value) = &self.variants[at];
        Some((name, value))
    }
}

/// What the shape of a definition says; `None` if there is nothing to go on with.
pub(crate) struct Shape {
    pub(crate) state: State,
    pub(crate) variants: Vec<(String, Value)>,
    pub(crate) default: Option<usize>,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) kind: Kind,
}

/// Checks everything of a definition but its targeting.
pub(crate) fn shape(
    definition: &Value,
    place: &Place,
    wrong: &mut Problems,
    doubts: &mut Problems,
) -> Option<Shape> {
    let Value::Object(members) = definition else {
        wrong.add(
            place,
            "a flag is an object",
            "write state, variants and defaultVariant",
        );
        return None;
    };
    let state = state(members, place, wrong);
    let variants = variants(members, place, wrong);
    let kind = kind(&variants);
    if kind == Kind::Mixed {
        doubts.add(
            &place.name("variants"),
            "the values are not of one kind that flagd's schema knows",
            "let all of them be booleans, strings, numbers or objects",
        );
    }
    let default = default(members, &variants, place, wrong);
    let metadata = metadata(members.get("metadata"), &place.name("metadata"), doubts, wrong);
    Some(Shape {
        state: state?,
        variants,
        default,
        metadata,
        kind,
    })
}

fn state(members: &Map<String, Value>, place: &Place, wrong: &mut Problems) -> Option<State> {
    let instead = "write ENABLED or DISABLED";
    match members.get("state") {
        Some(Value::String(text)) if text == "ENABLED" => return Some(State::Enabled),
        Some(Value::String(text)) if text == "DISABLED" => return Some(State::Disabled),
        Some(other) => wrong.add(&place.name("state"), format!("{other} is no state"), instead),
        None => wrong.add(place, "the flag has no state", instead),
    }
    None
}

fn variants(members: &Map<String, Value>, place: &Place, wrong: &mut Problems) -> Vec<(String, Value)> {
    let instead = "name at least one variant and give it a value";
    match members.get("variants") {
        Some(Value::Object(variants)) => {
            if variants.is_empty() {
                wrong.add(&place.name("variants"), "there is no variant", instead);
            }
            if variants.contains_key("") {
                wrong.add(&place.name("variants"), "a variant has no name", "give it one");
            }
            let mut variants: Vec<_> = variants
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            // Whoever compiles this crate with serde_json's `preserve_order` gets them as written.
            variants.sort_by(|(one, _), (other, _)| one.cmp(other));
            variants
        }
        Some(_) => {
            wrong.add(&place.name("variants"), "variants are an object", instead);
            Vec::new()
        }
        None => {
            wrong.add(place, "the flag has no variants", instead);
            Vec::new()
        }
    }
}

fn kind(variants: &[(String, Value)]) -> Kind {
    let mut kinds = variants.iter().map(|(_, value)| Kind::of(value));
    let first = kinds.next().unwrap_or(Kind::Mixed);
    if kinds.all(|kind| kind == first) {
        first
    } else {
        Kind::Mixed
    }
}

fn default(
    members: &Map<String, Value>,
    variants: &[(String, Value)],
    place: &Place,
    wrong: &mut Problems,
) -> Option<usize> {
    let place = place.name("defaultVariant");
    match members.get("defaultVariant") {
        None | Some(Value::Null) => None,
        // flagd reads no variant in an empty name.
        Some(Value::String(name)) if name.is_empty() => None,
        Some(Value::String(name)) => {
            let found = variants.iter().position(|(variant, _)| variant == name);
            if found.is_none() {
                let names: Vec<&str> = variants.iter().map(|(name, _)| name.as_str()).collect();
                let instead = format!("the variants are {}", names.join(", "));
                wrong.add(
                    &place,
                    format!("{name:?} is not a variant"),
                    if names.is_empty() { "" } else { &instead },
                );
            }
            found
        }
        Some(other) => {
            let instead = "write a variant's name, or null for the code's own default";
            wrong.add(&place, format!("{other} names no variant"), instead);
            None
        }
    }
}

/// Metadata of a flag or of a set: an object of strings, numbers and booleans.
pub(crate) fn metadata(
    value: Option<&Value>,
    place: &Place,
    doubts: &mut Problems,
    wrong: &mut Problems,
) -> Map<String, Value> {
    let metadata = match value {
        None | Some(Value::Null) => return Map::new(),
        Some(Value::Object(metadata)) => metadata,
        Some(_) => {
            wrong.add(place, "metadata is an object", "write names with values");
            return Map::new();
        }
    };
    for (name, value) in metadata {
        if matches!(value, Value::Object(_) | Value::Array(_) | Value::Null) {
            doubts.add(
                &place.name(name),
                "this is no metadata that OpenFeature can carry",
                "write a string, a number or a boolean",
            );
        }
    }
    metadata.clone()
}
