//! Texts that policies read: the test of `plimsoll-policy` by the same name.
#![no_main]

#[path = "../../lib/plimsoll-policy/tests/it/words.rs"]
mod words;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| words::check(bytes));
