//! Texts with places in them, for what starts versions.

use std::ops::RangeInclusive;

use super::Scalar;
use crate::config::shape::{Json, ScalarShape};

/// A text in which `{version}`, `{upstream}`, `{endpoint}` and `{port}` stand for those of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(String);

/// What stands for what in a [`Pattern`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filling<'a> {
    pub(crate) upstream: &'a str,
    pub(crate) version: &'a str,
    pub(crate) endpoint: &'a str,
    /// Empty if the endpoint has none.
    pub(crate) port: &'a str,
}

const PLACES: [&str; 4] = ["{version}", "{upstream}", "{endpoint}", "{port}"];

impl Pattern {
    /// What is written in this program, and is one.
    pub(crate) fn fixed(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether a place is in it: `{port}`.
    pub(crate) fn has(&self, place: &str) -> bool {
        self.0.contains(place)
    }

    /// The text, with everything in its place. A value is never read for places again.
    pub(crate) fn fill(&self, filling: Filling<'_>) -> String {
        let values = [filling.version, filling.upstream, filling.endpoint, filling.port];
        let mut filled = String::new();
        let mut rest = &*self.0;
        'next: while let Some(at) = rest.find('{') {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            for (place, value) in PLACES.into_iter().zip(values) {
                if let Some(after) = rest.strip_prefix(place) {
                    filled.push_str(value);
                    rest = after;
                    continue 'next;
                }
            }
            filled.push('{');
            rest = &rest[1..];
        }
        filled + rest
    }
}

impl Scalar for Pattern {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a text in which only `{version}`, `{upstream}`, `{endpoint}` and `{port}` stand in braces",
        right: "`/srv/orders/{version}/orders`",
        json: Json::Text,
    };

    fn parse(text: &str) -> Option<Self> {
        // A name in braces that is none of ours was meant to be one.
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            rest = &rest[at..];
            let is_place = PLACES.iter().any(|place| rest.starts_with(place));
            let named = rest[1..].split_once('}').map(|(name, _)| name);
            let is_name =
                |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !is_place && named.is_some_and(is_name) {
                return None;
            }
            rest = &rest[1..];
        }
        (!text.is_empty() && !text.contains('\0')).then(|| Self(text.to_owned()))
    }

    fn render(&self) -> String {
        self.0.clone()
    }
}

/// Ports that are kept free for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortRange(pub(crate) RangeInclusive<u16>);

impl Scalar for PortRange {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a range of ports",
        right: "`3001-3016`: two at least, for the version that runs and the next",
        json: Json::Pattern("^[0-9]+-[0-9]+$"),
    };

    fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (u16::parse(from)?, u16::parse(to)?);
        (from > 0 && from < to).then_some(Self(from..=to))
    }

    fn render(&self) -> String {
        format!("{}-{}", self.0.start(), self.0.end())
    }
}

/// A variable of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: Pattern,
}

impl Scalar for Variable {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a variable of an environment",
        right: "`MODE=production`; a secret is better passed on by `pass`",
        json: Json::Pattern("^[A-Za-z_][A-Za-z0-9_]*=.+$"),
    };

    fn parse(text: &str) -> Option<Self> {
        let (name, value) = text.split_once('=')?;
        let is_name = !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let value = Pattern::parse(value)?;
        is_name.then(|| Self {
            name: name.to_owned(),
            value,
        })
    }

    fn render(&self) -> String {
        format!("{}={}", self.name, self.value.render())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_once() {
        let pattern = Pattern::parse("/srv/{upstream}/{version}:{port} {\"a\": 1} {").unwrap();
        let filling = Filling {
            upstream: "orders",
            version: "{port}",
            endpoint: "http://127.0.0.1:3001",
            port: "3001",
        };
        assert_eq!(pattern.fill(filling), "/srv/orders/{port}:3001 {\"a\": 1} {");
    }

    #[test]
    fn a_place_that_nobody_knows_is_refused() {
        assert_eq!(Pattern::parse("/srv/{vresion}"), None);
        assert_eq!(Pattern::parse(""), None);
        assert!(Pattern::parse("{}").is_some());
    }

    #[test]
    fn ranges_have_two_ports_at_least() {
        assert_eq!(PortRange::parse("3001-3002"), Some(PortRange(3001..=3002)));
        for wrong in ["3001", "3001-3001", "3002-3001", "0-3", "1-70000", "a-b"] {
            assert_eq!(PortRange::parse(wrong), None, "{wrong}");
        }
    }
}
