//! JSON and protobuf's `Struct`, the one as the other.

use std::collections::BTreeMap;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use serde_json::{Map, Number, Value};

/// Whole numbers up to here are the same as doubles and as integers.
const WHOLE_MAX: f64 = (1_u64 << 53) as f64;

pub(super) fn to_struct(map: &Map<String, Value>) -> Struct {
    let fields = map.iter().map(|(name, value)| (name.clone(), to_proto(value)));
    Struct {
        fields: fields.collect(),
    }
}

fn to_proto(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(bool) => Kind::BoolValue(*bool),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(ListValue {
            values: items.iter().map(to_proto).collect(),
        }),
        Value::Object(members) => Kind::StructValue(to_struct(members)),
    };
    prost_types::Value { kind: Some(kind) }
}

/// The members of a `Struct`. prost reads a hundred levels and no more, so this ends.
pub(super) fn from_struct(fields: BTreeMap<String, prost_types::Value>) -> Map<String, Value> {
    fields
        .into_iter()
        .map(|(name, value)| (name, from_proto(value)))
        .collect()
}

fn from_proto(value: prost_types::Value) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(bool)) => Value::Bool(bool),
        Some(Kind::NumberValue(number)) => from_double(number),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(from_proto).collect()),
        Some(Kind::StructValue(object)) => Value::Object(from_struct(object.fields)),
    }
}

/// A `Struct` has doubles only. What was whole is whole again, so that a rule which makes a text of it finds `36`, as
/// over JSON, and not `36.0`. What JSON has no number for is nothing that is known.
fn from_double(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() <= WHOLE_MAX {
        return Value::from(number as i64);
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn there_and_back() {
        let value = json!({ "a": [1, "x", null, { "b": 0.5 }], "t": true, "n": -3, "big": 1e300 });
        let map = value.as_object().unwrap();
        assert_eq!(&from_struct(to_struct(map).fields), map);
    }

    #[test]
    fn whole_numbers_are_whole_and_no_number_is_null() {
        assert_eq!(from_double(36.0).to_string(), "36");
        assert_eq!(from_double(1e300).to_string(), "1e+300");
        assert_eq!(from_double(f64::NAN), Value::Null);
    }
}
