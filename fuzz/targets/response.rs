//! A connection of arbitrary bytes: see `gateway::fuzzed::response`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gateway::fuzzed::response(bytes));
