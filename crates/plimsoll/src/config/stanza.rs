//! One declaration for everything that is said about a stanza.

/// Declares a stanza: the raw struct, how it is read, its shape, and how it is rendered.
///
/// ```text
/// stanza! {
///     /// What it is for.
///     Retry {
///         /// Attempts after the first.
///         retries_max: u32 = "2", from "0" to "10";
///         /// Required, since it has no default.
///         upstream: Name;
///         /// May be absent.
///         per_try: Option<Duration> = "null";
///     }
/// }
/// ```
///
/// Defaults and bounds are texts in the language of the file itself, not Rust expressions: they are read by the
/// code that reads a user's, shown in the book as they stand, and a test reads every one of them.
macro_rules! stanza {
    (@admit $ty:ty) => { |_: &$ty, _: &$crate::config::tree::Node, _: &mut $crate::config::read::Reader| {} };
    (@admit $ty:ty, $min:literal, $max:literal) => {
        |value: &$ty, node: &$crate::config::tree::Node, reader: &mut $crate::config::read::Reader| {
            reader.bound(value, node, ($min, $max));
        }
    };
    (@option) => { None };
    (@option $value:expr) => { Some($value) };
    (
        $(#[doc = $about:literal])+
        $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $field:ident : $ty:ty $(= $default:literal)? $(, from $min:literal to $max:literal)?;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        #[allow(clippy::struct_field_names, reason = "a key is called what users call it")]
        pub(crate) struct $name {
            $( $(#[doc = $doc])+ pub(crate) $field: $crate::config::read::At<$ty>, )+
        }

        impl $crate::config::read::Value for $name {
            fn read(
                node: &$crate::config::tree::Node,
                reader: &mut $crate::config::read::Reader,
            ) -> Option<Self> {
                let fields =
                    $crate::config::read::Fields::open(node, &[$( stringify!($field) ),+], reader)?;
                $(
                    let admit = stanza!(@admit $ty $(, $min, $max)?);
                    let $field = fields.read(stringify!($field), stanza!(@option $($default)?), admit, reader);
                )+
                // Only now, so that the problems of all fields have been found.
                Some(Self { $( $field: $field?, )+ })
            }

            fn shape() -> $crate::config::shape::Shape {
                $crate::config::shape::Shape::Stanza(<Self as $crate::config::value::Stanza>::stanza())
            }

            fn render(&self) -> $crate::config::tree::Node {
                $crate::config::value::map([
                    $( (stringify!($field), $crate::config::read::Value::render(&self.$field.value)), )+
                ])
            }
        }

        impl $crate::config::value::Stanza for $name {
            fn stanza() -> $crate::config::shape::StanzaShape {
                $crate::config::shape::StanzaShape {
                    name: stringify!($name),
                    about: concat!($($about),+).trim_ascii(),
                    fields: vec![ $( $crate::config::shape::FieldShape {
                        name: stringify!($field),
                        doc: concat!($($doc),+).trim_ascii(),
                        shape: <$ty as $crate::config::read::Value>::shape(),
                        default: stanza!(@option $($default)?),
                        range: stanza!(@option $( ($min, $max) )?),
                    }, )+ ],
                }
            }
        }
    };
}

/// Declares an enum of words, with how it is read and what each word means.
macro_rules! words {
    (
        $(#[doc = $about:literal])+
        $name:ident { $( $(#[doc = $doc:literal])+ $variant:ident = $word:literal, )+ }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $( $(#[doc = $doc])+ $variant, )+ }

        impl $crate::config::read::Value for $name {
            fn read(
                node: &$crate::config::tree::Node,
                reader: &mut $crate::config::read::Reader,
            ) -> Option<Self> {
                match node.text() {
                    $( Some($word) => Some(Self::$variant), )+
                    _ => {
                        reader.mismatch(node, &Self::shape());
                        None
                    }
                }
            }

            fn shape() -> $crate::config::shape::Shape {
                $crate::config::shape::Shape::Words(const { &[
                    $( ($word, concat!($($doc),+).trim_ascii()), )+
                ] })
            }

            fn render(&self) -> $crate::config::tree::Node {
                $crate::config::tree::Node::scalar(match self { $( Self::$variant => $word, )+ })
            }
        }
    };
}

pub(crate) use {stanza, words};
