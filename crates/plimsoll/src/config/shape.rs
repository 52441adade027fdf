//! The form that a configuration may have, as data.
//!
//! A stanza is declared once, with [`stanza!`](super::stanza); its shape is what the JSON Schema, the file that
//! `plimsoll init` writes and the reference in the book are made of, so that none of them can be out of date.

/// What a value may be.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// One word, written in a way of its own.
    Scalar(ScalarShape),
    /// One of these words; each with what it means.
    Words(&'static [(&'static str, &'static str)]),
    List(Box<Shape>),
    /// A map from names that the user chooses.
    Map(Box<Shape>),
    Stanza(StanzaShape),
    /// A stanza, or `on` for its defaults, or `off`.
    Switch(StanzaShape),
}

/// A value that is one word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScalarShape {
    /// With its article: `a duration`.
    pub(crate) what: &'static str,
    /// Right values in backquotes: `` `10s`, `250ms` or `1m30s` ``.
    pub(crate) right: &'static str,
    pub(crate) json: Json,
}

/// How a scalar looks to a JSON Schema.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Json {
    Boolean,
    Integer,
    Number,
    /// A number from 0 to 1, or a text with a percent sign.
    Ratio,
    Text,
    /// A text that matches this regular expression (ECMA-262).
    Pattern(&'static str),
    /// The same, where what looks like a number is a text too.
    Bare(&'static str),
    /// The same, or the number 0.
    PatternOrZero(&'static str),
}

/// A map whose keys are known.
#[derive(Clone, Debug)]
pub(crate) struct StanzaShape {
    /// The name of the raw type, unique among stanzas.
    pub(crate) name: &'static str,
    /// What it is for.
    pub(crate) about: &'static str,
    pub(crate) fields: Vec<FieldShape>,
}

/// One key of a stanza.
#[derive(Clone, Debug)]
pub(crate) struct FieldShape {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) shape: Shape,
    /// As a user would write it. `None`: the key is required. `null`: it may be absent.
    pub(crate) default: Option<&'static str>,
    /// Smallest and largest value, as a user would write them.
    pub(crate) range: Option<(&'static str, &'static str)>,
}

impl FieldShape {
    pub(crate) fn required(&self) -> bool {
        self.default.is_none()
    }
}

impl Shape {
    /// The stanza that this shape is, or is a list, a map or a switch of.
    pub(crate) fn stanza(&self) -> Option<&StanzaShape> {
        match self {
            Self::Stanza(stanza) | Self::Switch(stanza) => Some(stanza),
            Self::List(inner) | Self::Map(inner) => inner.stanza(),
            Self::Scalar(_) | Self::Words(_) => None,
        }
    }

    /// What it is, for people: `a duration`, `a list of routes`.
    pub(crate) fn what(&self) -> String {
        match self {
            Self::Scalar(ScalarShape {
                json: Json::Boolean,
                right,
                ..
            }) => (*right).to_owned(),
            Self::Scalar(scalar) => scalar.what.to_owned(),
            Self::Words(words) => {
                let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
                match words.split_last() {
                    Some((last, [])) => last.clone(),
                    Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
                    None => String::new(),
                }
            }
            Self::List(inner) => format!("list, each {}", inner.what()),
            Self::Map(inner) => format!("map from names, each to {}", inner.what()),
            Self::Stanza(stanza) => format!("[{}](#{})", spaced(stanza.name), anchor(stanza.name)),
            Self::Switch(stanza) => format!(
                "[{}](#{}), or `on` or `off`",
                spaced(stanza.name),
                anchor(stanza.name)
            ),
        }
    }

    /// Right values, in backquotes, for a message.
    pub(crate) fn right(&self) -> String {
        match self {
            Self::Scalar(scalar) => scalar.right.to_owned(),
            Self::Words(_) => self.what(),
            Self::List(inner) => format!("a list such as `[{}]`", inner.example()),
            Self::Map(inner) => format!("a map such as `{{name: {}}}`", inner.example()),
            Self::Stanza(_) => "a map of keys".to_owned(),
            Self::Switch(_) => "`on`, `off`, or a map of keys".to_owned(),
        }
    }

    /// One right value, bare.
    pub(crate) fn example(&self) -> String {
        match self {
            Self::Scalar(scalar) => scalar.right.split('`').nth(1).unwrap_or_default().to_owned(),
            Self::Words(words) => words.first().map_or("", |(word, _)| word).to_owned(),
            Self::List(inner) => format!("[{}]", inner.example()),
            Self::Map(_) | Self::Stanza(_) => "{…}".to_owned(),
            Self::Switch(_) => "on".to_owned(),
        }
    }
}

/// `RateLimit` as `rate limit`.
pub(crate) fn spaced(name: &str) -> String {
    let mut words = String::new();
    for (index, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && index > 0 {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// The anchor of a heading that is [`spaced`].
pub(crate) fn anchor(name: &str) -> String {
    spaced(name).replace(' ', "-")
}
