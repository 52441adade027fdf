//! To JSON and back, so that `plimsoll status` prints from the same records that the admin port computes.
//!
//! A record's fields are listed once, by [`record`]. A reader takes what it knows: a field that is missing gets the
//! empty value of its type, so that a binary can ask one that is a little older or newer.

use serde_json::Value;

/// A value that can be written as JSON, and read back.
pub(crate) trait Json: Sized {
    fn to_json(&self) -> Value;
    /// The empty value for what cannot be read.
    fn from_json(value: &Value) -> Self;
}

/// Declares records: structs with public fields that are [`Json`].
macro_rules! record {
    ($( $(#[$about:meta])* pub(crate) struct $name:ident {
        $( $(#[$field_about:meta])* $field:ident: $kind:ty, )+
    } )+) => { $(
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct $name { $( $(#[$field_about])* pub(crate) $field: $kind, )+ }

        impl $crate::status::json::Json for $name {
            fn to_json(&self) -> serde_json::Value {
                let mut map = serde_json::Map::new();
                $( map.insert(stringify!($field).to_owned(), self.$field.to_json()); )+
                map.into()
            }

            fn from_json(value: &serde_json::Value) -> Self {
                Self { $( $field: <$kind>::from_json(&value[stringify!($field)]), )+ }
            }
        }
    )+ };
}
pub(super) use record;

impl Json for String {
    fn to_json(&self) -> Value {
        self.as_str().into()
    }

    fn from_json(value: &Value) -> Self {
        value.as_str().unwrap_or_default().to_owned()
    }
}

impl Json for bool {
    fn to_json(&self) -> Value {
        (*self).into()
    }

    fn from_json(value: &Value) -> Self {
        value.as_bool().unwrap_or_default()
    }
}

impl Json for u64 {
    fn to_json(&self) -> Value {
        (*self).into()
    }

    fn from_json(value: &Value) -> Self {
        value.as_u64().unwrap_or_default()
    }
}

impl Json for f64 {
    fn to_json(&self) -> Value {
        (*self).into()
    }

    fn from_json(value: &Value) -> Self {
        value.as_f64().unwrap_or_default()
    }
}

impl<T: Json> Json for Option<T> {
    fn to_json(&self) -> Value {
        self.as_ref().map_or(Value::Null, Json::to_json)
    }

    fn from_json(value: &Value) -> Self {
        (!value.is_null()).then(|| T::from_json(value))
    }
}

impl<T: Json> Json for Vec<T> {
    fn to_json(&self) -> Value {
        self.iter().map(Json::to_json).collect::<Vec<_>>().into()
    }

    fn from_json(value: &Value) -> Self {
        value
            .as_array()
            .map_or_else(Self::new, |values| values.iter().map(T::from_json).collect())
    }
}
