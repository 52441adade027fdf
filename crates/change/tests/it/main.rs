//! The Change machine, by its promises.

mod changes;
mod machine;
mod schedules;
