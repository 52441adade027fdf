//! Histograms: the test of `plimsoll-slo` by the same name.
#![no_main]

#[path = "../../lib/plimsoll-slo/tests/it/durations.rs"]
mod durations;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| durations::check(bytes));
