//! What must hold in every run, whatever the weather: one file each, one line each in [`ALL`].
//!
//! A property reads a finished [`Run`] and returns every breach it finds, in words that name the request. It shares
//! no code with what it judges: where the gateway counts, it counts again, from the trace.

use std::collections::BTreeMap;

use crate::Run;
use crate::trace::{Ask, Told, What};

mod accounts;
mod amplification;
mod bounds;
mod deadlines;
mod hedges;
mod letting_go;
mod own_bodies;
mod panics;
mod priorities;
mod recovery;
mod safe_retry;

/// A property: every breach of it in a run.
pub type Check = fn(&Run) -> Vec<String>;

/// Every property and its name.
pub const ALL: &[(&str, Check)] = &[
    ("panics", panics::check),
    ("safe-retry", safe_retry::check),
    ("amplification", amplification::check),
    ("hedges", hedges::check),
    ("deadlines", deadlines::check),
    ("accounts", accounts::check),
    ("own-bodies", own_bodies::check),
    ("bounds", bounds::check),
    ("recovery", recovery::check),
    ("priorities", priorities::check),
    ("letting-go", letting_go::check),
];

/// Every breach of every property, with the property's name before it.
pub fn breaches(run: &Run) -> Vec<String> {
    let found = |(name, check): &(&str, Check)| {
        let breaches = check(run);
        breaches
            .into_iter()
            .map(|breach| format!("{name}: {breach}"))
            .collect::<Vec<_>>()
    };
    ALL.iter().flat_map(found).collect()
}

/// Every request by its number.
fn asks(run: &Run) -> BTreeMap<u32, &Ask> {
    let asks = run.trace.iter().filter_map(|entry| match &entry.what {
        What::Asked(ask) => Some((ask.id, ask)),
        _ => None,
    });
    asks.collect()
}

/// Every event, in order.
fn told(run: &Run) -> impl Iterator<Item = &Told> {
    run.trace.iter().filter_map(|entry| match &entry.what {
        What::Told(told) => Some(&**told),
        _ => None,
    })
}

#[cfg(test)]
mod fixtures;
