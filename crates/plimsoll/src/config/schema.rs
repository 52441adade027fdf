//! The JSON Schema of `plimsoll.yaml`, for editors: draft 2020-12.
//!
//! It accepts what the reader accepts, but for a scalar without a value, which an editor may well point out. It
//! refuses most of what the reader refuses; what no schema can say (names that must exist, files, ranges of
//! durations) is left to `plimsoll check`.

use serde_json::{Map, Value as JsonValue, json};
use std::fmt::Write;

use super::raw::TopLevel;
use super::shape::{FieldShape, Json, ScalarShape, Shape, StanzaShape};
use super::tree::{self, Bounds, Kind, Node};
use super::value::Stanza;

/// The whole schema.
pub(crate) fn schema() -> JsonValue {
    let root = TopLevel::stanza();
    let mut definitions = Map::new();
    let mut schema = stanza_schema(&root, &mut definitions);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["$id"] = json!("https://plimsoll.dev/schema/plimsoll.json");
    schema["title"] = json!("plimsoll.yaml");
    schema["$defs"] = JsonValue::Object(definitions);
    schema
}

fn stanza_schema(stanza: &StanzaShape, definitions: &mut Map<String, JsonValue>) -> JsonValue {
    let mut properties = Map::new();
    for field in &stanza.fields {
        properties.insert(field.name.to_owned(), field_schema(field, definitions));
    }
    let required: Vec<_> = stanza
        .fields
        .iter()
        .filter(|f| f.required())
        .map(|f| f.name)
        .collect();
    let mut schema = json!({
        "type": "object",
        "description": stanza.about,
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn field_schema(field: &FieldShape, definitions: &mut Map<String, JsonValue>) -> JsonValue {
    let mut schema = shape_schema(&field.shape, definitions);
    // A stanza or list whose lines are all in comments is written as nothing, and takes its default.
    let nested = !matches!(field.shape, Shape::Scalar(_) | Shape::Words(_));
    if nested && !field.required() {
        schema = json!({ "anyOf": [schema, { "type": "null" }] });
    }
    let mut description = field.doc.to_owned();
    if let Some((min, max)) = field.range {
        if matches!(
            field.shape,
            Shape::Scalar(ScalarShape {
                json: Json::Integer | Json::Number,
                ..
            })
        ) {
            schema["minimum"] = number(min);
            schema["maximum"] = number(max);
        } else {
            _ = write!(description, " From {min} to {max}.");
        }
    }
    schema["description"] = json!(description);
    if let Some(default) = field.default.filter(|default| *default != "null") {
        schema["default"] = default_json(&field.shape, default);
    }
    schema
}

fn shape_schema(shape: &Shape, definitions: &mut Map<String, JsonValue>) -> JsonValue {
    match shape {
        Shape::Scalar(scalar) => scalar_schema(scalar),
        Shape::Words(words) => {
            let words = words
                .iter()
                .map(|(word, about)| json!({ "const": word, "description": about }));
            json!({ "oneOf": words.collect::<Vec<_>>() })
        }
        Shape::List(inner) => json!({ "type": "array", "items": shape_schema(inner, definitions) }),
        Shape::Map(inner) => {
            json!({ "type": "object", "additionalProperties": shape_schema(inner, definitions) })
        }
        Shape::Stanza(stanza) => reference(stanza, definitions),
        Shape::Switch(stanza) => {
            json!({ "anyOf": [{ "enum": ["on", "off"] }, reference(stanza, definitions)] })
        }
    }
}

fn scalar_schema(scalar: &ScalarShape) -> JsonValue {
    match scalar.json {
        Json::Boolean => json!({ "type": "boolean" }),
        Json::Integer => json!({ "type": "integer", "minimum": 0 }),
        Json::Number => json!({ "type": "number", "minimum": 0 }),
        Json::Ratio => json!({ "anyOf": [
            { "type": "number", "minimum": 0, "maximum": 1 },
            { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?%?$" },
        ] }),
        Json::Text => json!({ "type": "string" }),
        Json::Pattern(pattern) => json!({ "type": "string", "pattern": pattern }),
        Json::Bare(pattern) => json!({ "type": ["string", "number"], "pattern": pattern }),
        // `maximum` speaks of numbers, `pattern` of texts.
        Json::PatternOrZero(pattern) => {
            json!({ "type": ["string", "integer"], "pattern": pattern, "maximum": 0 })
        }
    }
}

/// A reference to the definition of `stanza`, which is added if it is not there yet.
fn reference(stanza: &StanzaShape, definitions: &mut Map<String, JsonValue>) -> JsonValue {
    if !definitions.contains_key(stanza.name) {
        let schema = stanza_schema(stanza, definitions);
        definitions.insert(stanza.name.to_owned(), schema);
    }
    json!({ "$ref": format!("#/$defs/{}", stanza.name) })
}

fn default_json(shape: &Shape, default: &str) -> JsonValue {
    let node = tree::parse(default, Bounds::CONFIG, &mut Vec::new());
    node.map_or(JsonValue::Null, |node| to_json(shape, &node))
}

fn to_json(shape: &Shape, node: &Node) -> JsonValue {
    match (&node.kind, shape) {
        (Kind::Null, _) => JsonValue::Null,
        (Kind::Scalar { text, .. }, Shape::Scalar(scalar)) => match scalar.json {
            Json::Boolean => json!(text == "true"),
            Json::Integer | Json::Number => number(text),
            Json::Ratio | Json::Text | Json::Pattern(_) | Json::Bare(_) | Json::PatternOrZero(_) => {
                json!(text)
            }
        },
        (Kind::Scalar { text, .. }, _) => json!(text),
        (Kind::List(items), Shape::List(inner)) => items.iter().map(|item| to_json(inner, item)).collect(),
        (Kind::List(_), _) => json!([]),
        (Kind::Map(_), _) => json!({}),
    }
}

fn number(text: &str) -> JsonValue {
    serde_json::from_str(text).unwrap_or(JsonValue::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_to_a_definition() {
        let schema = schema();
        let text = schema.to_string();
        for reference in text.split("\"#/$defs/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schema["$defs"][name].is_object(), "{name}");
        }
        assert_eq!(schema["$defs"]["Retry"]["additionalProperties"], false);
        assert_eq!(
            schema["$defs"]["Retry"]["properties"]["retries_max"]["default"],
            2
        );
        assert_eq!(
            schema["$defs"]["Retry"]["properties"]["statuses"]["default"],
            json!([502, 503, 504])
        );
        assert_eq!(schema["$defs"]["Route"]["required"], json!(["name"]));
    }
}
