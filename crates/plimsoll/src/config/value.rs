//! The types of values, from single words up to lists and switches.

pub(crate) mod address;
pub(crate) mod hours;
pub(crate) mod outside;
pub(crate) mod pattern;
pub(crate) mod quantity;
pub(crate) mod time;
pub(crate) mod word;

use super::problem::Mark;
use super::read::{At, Reader, Step, Value};
use super::shape::{Json, ScalarShape, Shape, StanzaShape};
use super::tree::{Key, Kind, Node};

/// A value that is one word.
pub(crate) trait Scalar: Sized {
    const SHAPE: ScalarShape;

    /// Reads it; `None` if it is not one.
    fn parse(text: &str) -> Option<Self>;

    /// Its canonical form.
    fn render(&self) -> String;
}

impl<T: Scalar> Value for T {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let value = node.text().and_then(T::parse);
        if value.is_none() {
            reader.mismatch(node, &Self::shape());
        }
        value
    }

    fn shape() -> Shape {
        Shape::Scalar(T::SHAPE)
    }

    fn render(&self) -> Node {
        Node::scalar(Scalar::render(self))
    }
}

impl Scalar for bool {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a truth value",
        right: "`true` or `false`",
        json: Json::Boolean,
    };

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn render(&self) -> String {
        self.to_string()
    }
}

macro_rules! whole_numbers {
    ($( $ty:ty ),+) => { $(
        impl Scalar for $ty {
            const SHAPE: ScalarShape =
                ScalarShape { what: "a whole number", right: "`1`, `20` or `10000`", json: Json::Integer };

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
            }

            fn render(&self) -> String {
                self.to_string()
            }
        }
    )+ };
}
whole_numbers!(u8, u16, u32, u64, usize);

impl Scalar for f64 {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a number",
        right: "`1.9` or `3`",
        json: Json::Number,
    };

    fn parse(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        text.parse().ok().filter(|_| plain)
    }

    fn render(&self) -> String {
        self.to_string()
    }
}

impl<T: Value> Value for Option<T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        if node.is_null() {
            Some(None)
        } else {
            T::read(node, reader).map(Some)
        }
    }

    fn shape() -> Shape {
        T::shape()
    }

    fn render(&self) -> Node {
        self.as_ref().map_or(Node::unplaced(Kind::Null), Value::render)
    }
}

impl<T: Value> Value for At<T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let place = reader.place(node.mark);
        T::read(node, reader).map(|value| Self { value, place })
    }

    fn shape() -> Shape {
        T::shape()
    }

    fn render(&self) -> Node {
        self.value.render()
    }
}

impl<T: Value> Value for Vec<T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let Kind::List(items) = &node.kind else {
            reader.mismatch(node, &Self::shape());
            return None;
        };
        let mut values = Self::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            // A name says more than a number, and stays the same when the list grows.
            let name = item
                .get("name")
                .and_then(Node::text)
                .filter(|name| word::Name::parse(name).is_some());
            let step = name.map_or(Step::Index(index), |name| Step::Key(name.to_owned()));
            match reader.within(step, |reader| T::read(item, reader)) {
                Some(value) => values.push(value),
                None => reader.left_out(),
            }
        }
        Some(values)
    }

    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }

    fn render(&self) -> Node {
        Node::unplaced(Kind::List(self.iter().map(Value::render).collect()))
    }
}

/// A map from names that the user chooses, in the order of the file.
#[derive(Clone, Debug)]
pub(crate) struct Named<T>(pub(crate) Vec<(At<word::Name>, T)>);

impl<T: Value> Value for Named<T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let Kind::Map(entries) = &node.kind else {
            reader.mismatch(node, &Self::shape());
            return None;
        };
        let mut values = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let text = Kind::Scalar {
                text: key.text.clone(),
                quoted: false,
            };
            let name = At::<word::Name>::read(
                &Node {
                    kind: text,
                    mark: key.mark,
                },
                reader,
            );
            let step = Step::Key(key.text.clone());
            let value =
                name.and_then(|name| Some((name, reader.within(step, |reader| T::read(value, reader))?)));
            match value {
                Some(value) => values.push(value),
                None => reader.left_out(),
            }
        }
        Some(Self(values))
    }

    fn shape() -> Shape {
        Shape::Map(Box::new(T::shape()))
    }

    fn render(&self) -> Node {
        map(self.0.iter().map(|(name, value)| (name.as_str(), value.render())))
    }
}

/// A map whose keys are known; see [`stanza!`](super::stanza).
pub(crate) trait Stanza: Value {
    fn stanza() -> StanzaShape;
}

/// A stanza that can be turned off as a whole.
#[derive(Clone, Debug)]
pub(crate) enum Switch<T> {
    On(T),
    Off,
}

impl<T: Stanza> Value for Switch<T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.kind {
            Kind::Null | Kind::Map(_) => T::read(node, reader).map(Self::On),
            Kind::Scalar { text, .. } if text == "on" => {
                T::read(&Node::empty_map(node.mark), reader).map(Self::On)
            }
            Kind::Scalar { text, .. } if text == "off" => Some(Self::Off),
            Kind::Scalar { .. } | Kind::List(_) => {
                reader.mismatch(node, &Self::shape());
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Switch(T::stanza())
    }

    fn render(&self) -> Node {
        match self {
            Self::On(stanza) => stanza.render(),
            Self::Off => Node::scalar("off"),
        }
    }
}

/// A rendered map, without the keys that have no value.
pub(crate) fn map<'k>(entries: impl IntoIterator<Item = (&'k str, Node)>) -> Node {
    let entries = entries.into_iter().filter(|(_, value)| !value.is_null());
    let key = |text: &str| Key {
        text: text.to_owned(),
        mark: Mark::default(),
    };
    Node::unplaced(Kind::Map(
        entries.map(|(name, value)| (key(name), value)).collect(),
    ))
}
