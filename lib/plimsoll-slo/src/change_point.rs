//! When it began.
//!
//! An alert comes some time after what it is about. The start of that is where everything from there on is most
//! unlike what is allowed: of all points `s`, the one from which on `n` events with a share `p` of bad ones, instead of
//! the share `b` that is allowed, are the strongest evidence, `n × (p ln(p/b) + (1−p) ln((1−p)/(1−b)))`. Every good
//! stretch that is added before the true start takes from it, and every bad one that is left out does too. Source: the
//! generalised likelihood ratio of Lorden, "Procedures for reacting to a change in distribution", 1971.

use crate::{Counts, Second, Target};

/// Where it began, in what happened until now: when each stretch of time began, and what happened in it, the latest
/// first. `None` if nothing in it is worse than is allowed.
pub(crate) fn find(target: Target, latest_first: impl Iterator<Item = (Second, Counts)>) -> Option<Second> {
    let mut since = Counts::default();
    let mut best: Option<(f64, Second)> = None;
    for (begins, counts) in latest_first {
        since.good += counts.good;
        since.bad += counts.bad;
        // It begins with something bad.
        if counts.bad == 0 {
            continue;
        }
        let evidence = evidence(since, target.allowance());
        if evidence > 0.0 && best.is_none_or(|(most, _)| evidence >= most) {
            best = Some((evidence, begins));
        }
    }
    best.map(|(_, begins)| begins)
}

/// That more fails than is allowed: 0 if it does not.
fn evidence(counts: Counts, allowed: f64) -> f64 {
    let Some(share) = counts.bad_share().filter(|share| *share > allowed) else {
        return 0.0;
    };
    let part = |share: f64, allowed: f64| {
        if share > 0.0 {
            share * (share / allowed).ln()
        } else {
            0.0
        }
    };
    counts.total() as f64 * (part(share, allowed) + part(1.0 - share, 1.0 - allowed))
}
