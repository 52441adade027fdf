//! The critical come before the sheddable: none of them makes way while less than a queue full of them is out.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_policy::Priority;
use plimsoll_slo::{Class, Reason};

use super::asks;
use crate::Run;
use crate::trace::What;

/// Places that a queue has at least.
const PLACES: usize = 8;

/// What one that made way is told.
const MADE_WAY: &str = "those that wait for a turn matter more";

pub(super) fn check(run: &Run) -> Vec<String> {
    let asks = asks(run);
    let is_critical = |id: &u32| asks.get(id).is_some_and(|ask| ask.priority == Priority::Critical);
    let mut out = BTreeSet::new();
    // When each was last seen to be out, so that one that ends in this very tick still counts.
    let mut breaches = Vec::new();
    let mut ended = BTreeMap::new();
    for entry in &run.trace {
        match &entry.what {
            What::Asked(ask) if ask.priority == Priority::Critical => {
                out.insert(ask.id);
            }
            What::Told(told) if is_critical(&told.id) => {
                let others = ended.values().filter(|at| **at == entry.at).count();
                let made_way = told.class == Class::Bad(Reason::Shed) && told.rest.contains(MADE_WAY);
                if made_way && out.len() + others <= PLACES {
                    breaches.push(format!(
                        "#{} is critical and made way, with {} of its kind out",
                        told.id,
                        out.len()
                    ));
                }
                out.remove(&told.id);
                ended.insert(told.id, entry.at);
            }
            _ => {}
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{event, good};
    use super::{MADE_WAY, check};
    use crate::trace::{Kind, What};
    use plimsoll_policy::Priority;
    use plimsoll_slo::{Class, Reason};

    #[test]
    fn a_critical_one_that_makes_way_alone_is_a_breach() {
        let mut run = good(Kind::Get);
        let told = event(&mut run);
        told.class = Class::Bad(Reason::Shed);
        MADE_WAY.clone_into(&mut told.rest);
        assert_eq!(check(&run), [""; 0], "it is sheddable, or normal");
        for entry in &mut run.trace {
            if let What::Asked(ask) = &mut entry.what {
                ask.priority = Priority::Critical;
            }
        }
        assert_eq!(check(&run).len(), 1);
    }
}
