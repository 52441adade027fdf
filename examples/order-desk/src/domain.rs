//! What the desk knows about options orders, and nothing about HTTP, SQL or time.
//!
//! Everything here is a plain value or a pure function: a clock reading comes in as an argument, and a decision
//! goes out as a value. The stores gather what a decision needs, ask, and write down the answer.

pub mod date;
pub mod order;
pub mod price;
pub mod risk;

/// An enum whose variants are words that clients and the database spell.
///
/// One table per enum, so that the JSON, the SQL and the parser cannot drift apart.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// The word that stands for it in JSON and in the database.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value that a word stands for.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
pub(crate) use words;
