//! Promises of the judge that hold for all inputs, and that the fuzzer in `fuzz/` plays too.

mod budgeting;
mod comparison;
mod dice;
mod durations;
mod fall;
mod judge;
mod rise;
mod shared;
mod track;
