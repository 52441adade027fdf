//! A connection of arbitrary bytes: see `gateway::fuzzed::request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gateway::fuzzed::request(bytes));
