//! A configuration of arbitrary bytes, as `plimsoll check` and a reload read it.
//!
//! The binary is no library, so its module is taken by its path, and most of it is not used here.
#![no_main]
#![allow(dead_code, unused_imports)]

#[path = "../../crates/plimsoll/src"]
mod binary {
    pub(crate) mod config;
}

// As the module calls itself.
pub(crate) use binary::config;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    drop(config::Config::read("fuzz", bytes));
});
