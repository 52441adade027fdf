//! Values while a rule is evaluated, mostly borrowed from the rule and the context, and what operators make of them.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::Failure;

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Val<'a> {
    Null,
    Bool(bool),
    Num(f64),
    Str(&'a str),
    Text(Rc<str>),
    Slice(&'a [Value]),
    Items(Rc<[Val<'a>]>),
    Map(&'a Map<String, Value>),
    /// The whole context, with `$flagd` in it.
    Context,
    /// `$flagd`.
    Flagd,
    /// What `reduce` gives its rule.
    Fold(Rc<Fold<'a>>),
}

/// The accumulator and the item that `reduce` is at.
#[derive(Debug)]
pub(super) struct Fold<'a> {
    pub(super) current: Val<'a>,
    pub(super) accumulator: Val<'a>,
    pub(super) kind: &'static str,
}

impl<'a> From<&'a Value> for Val<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Val::Null,
            Value::Bool(bool) => Val::Bool(*bool),
            Value::Number(number) => Val::Num(number.as_f64().unwrap_or(f64::NAN)),
            Value::String(text) => Val::Str(text),
            Value::Array(items) => Val::Slice(items),
            Value::Object(members) => Val::Map(members),
        }
    }
}

impl<'a> Val<'a> {
    pub(super) fn text(text: String) -> Self {
        Val::Text(text.into())
    }

    pub(super) fn items(items: Vec<Val<'a>>) -> Self {
        Val::Items(items.into())
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Val::Str(text) => Some(text),
            Val::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Val::Null)
    }

    /// Whether it is null, a boolean, a number or a string.
    pub(super) fn is_scalar(&self) -> bool {
        matches!(
            self,
            Val::Null | Val::Bool(_) | Val::Num(_) | Val::Str(_) | Val::Text(_)
        )
    }

    /// How many items it has, if it is a list.
    pub(super) fn len(&self) -> Option<usize> {
        match self {
            Val::Slice(items) => Some(items.len()),
            Val::Items(items) => Some(items.len()),
            _ => None,
        }
    }

    /// An item, if it is a list and has it.
    pub(super) fn item(&self, at: usize) -> Option<Val<'a>> {
        match self {
            Val::Slice(items) => items.get(at).map(Val::from),
            Val::Items(items) => items.get(at).cloned(),
            _ => None,
        }
    }

    /// Whether it counts as true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Val::Null => false,
            Val::Bool(bool) => *bool,
            Val::Num(number) => *number != 0.0,
            Val::Str(text) => !text.is_empty(),
            Val::Text(text) => !text.is_empty(),
            Val::Slice(items) => !items.is_empty(),
            Val::Items(items) => !items.is_empty(),
            Val::Map(members) => !members.is_empty(),
            Val::Context | Val::Flagd | Val::Fold(_) => true,
        }
    }

    /// Whether JSON cannot hold it.
    pub(super) fn is_unwritable(&self) -> bool {
        match self {
            Val::Num(number) => !number.is_finite(),
            Val::Items(items) => items.iter().any(Val::is_unwritable),
            _ => false,
        }
    }

    /// The number that arithmetic takes it for: a text that is none is 0.
    pub(super) fn to_number(&self) -> Result<f64, Failure> {
        match (self, self.as_str()) {
            (Val::Num(number), _) => Ok(*number),
            (_, Some(text)) => Ok(parse_number(text).unwrap_or(0.0)),
            _ => Err(Failure::operand("arithmetic takes numbers and texts")),
        }
    }

    /// The number that comparisons take it for: a text that is none is not a number.
    pub(super) fn compared(&self) -> f64 {
        match (self, self.as_str()) {
            (Val::Num(number), _) => *number,
            (Val::Null, _) => 0.0,
            (Val::Bool(bool), _) => f64::from(u8::from(*bool)),
            (_, Some(text)) if text.trim().is_empty() => 0.0,
            (_, Some(text)) => parse_number(text).unwrap_or(f64::NAN),
            _ => f64::NAN,
        }
    }

    /// Writes the text that `cat` takes it for.
    pub(super) fn write_text(&self, out: &mut String) -> Result<(), Failure> {
        match (self, self.as_str()) {
            (_, Some(text)) => out.push_str(text),
            (Val::Num(number), _) => out.push_str(&plain_number(*number)),
            (Val::Null, _) => {}
            _ => return Err(Failure::operand("texts are made of numbers, texts and null")),
        }
        Ok(())
    }
}

/// The number that a text is, in decimal; hexadecimal and underscores are none.
pub(super) fn parse_number(text: &str) -> Option<f64> {
    // Rust takes a sign before "nan", which flagd does not.
    if text.get(1..).is_some_and(|text| text.eq_ignore_ascii_case("nan")) {
        return None;
    }
    text.parse().ok()
}

/// A number without an exponent.
pub(super) fn plain_number(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    number.to_string()
}

/// A number as JSON is usually written: with an exponent if it is very large or very small.
pub(super) fn json_number(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, power)) if !power.starts_with('-') => format!("{digits}e+{power}"),
        _ => text,
    }
}

/// A whole number, cut towards zero. What does not fit is the least there is, as on the machines that flagd runs on.
pub(super) fn whole(number: f64) -> i64 {
    const EDGE: f64 = 9_223_372_036_854_775_808.0;
    if (-EDGE..EDGE).contains(&number) {
        number as i64
    } else {
        i64::MIN
    }
}

/// A length as a number that may go below zero.
pub(super) fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_texts() {
        for (number, plain, json) in [
            (1.0, "1", "1"),
            (-0.5, "-0.5", "-0.5"),
            (1e21, "1000000000000000000000", "1e+21"),
            (1.5e-7, "0.00000015", "1.5e-7"),
            (123_456_789.25, "123456789.25", "123456789.25"),
            (0.0, "0", "0"),
        ] {
            assert_eq!(plain_number(number), plain);
            assert_eq!(json_number(number), json);
        }
    }

    #[test]
    fn texts_as_numbers() {
        for (text, number) in [
            ("1", Some(1.0)),
            ("1.", Some(1.0)),
            (".5e1", Some(5.0)),
            ("+2", Some(2.0)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("1e999", Some(f64::INFINITY)),
            ("", None),
            (" 1", None),
            ("0x10", None),
            ("1_0", None),
            ("+nan", None),
            ("é", None),
            ("\u{20ac}an", None),
        ] {
            assert_eq!(parse_number(text), number, "{text:?}");
        }
    }

    #[test]
    fn whole_numbers_have_edges() {
        assert_eq!(
            [1.9, -1.9, 1e300, f64::NAN].map(whole),
            [1, -1, i64::MIN, i64::MIN]
        );
    }
}
