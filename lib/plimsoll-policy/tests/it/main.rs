//! Promises of the policies that need a program of their own to be proven.

#[path = "../../benches/decisions/admitting.rs"]
mod admitting;
mod allocation;
mod overload;
mod vectors;
mod words;
