//! Which version of a service takes a request, and whether it can do so now.

use plimsoll_policy::hash_key;
use plimsoll_slo::Arm;

use crate::admission::{Asking, Slot};
use crate::fields::Fields;
use crate::identity;
use crate::percore::{Core, CoreUpstream, View};
use crate::pipeline::{Deadline, tenant};
use crate::respond::Refused;
use crate::running::Route;
use crate::ticket::Ticket;
use crate::upstream::Upstream;

/// The version that the request gets; and if it is the candidate, the stable one, which takes what it fails at.
fn version<'v>(
    core: &Core,
    view: &'v View,
    route: &Route,
    fields: &Fields,
    ticket: &mut Ticket,
) -> (&'v CoreUpstream, Option<&'v CoreUpstream>) {
    let stable = &*view.upstreams[route.upstream];
    ticket.settings(&route.flags, fields);
    let Some(split) = &route.split else {
        return (stable, None);
    };
    let (trusted, dice) = (ticket.caller.trusted, &mut *core.dice.borrow_mut());
    let assigned = split.split.assign(fields, &ticket.trace, trusted, dice);
    ticket.assigned(assigned);
    match assigned.arm {
        Arm::Stable => (stable, None),
        Arm::Candidate => (&view.upstreams[split.candidate], Some(stable)),
    }
}

/// The version that takes the request, with the stable one if that is another, and a slot of it. If the candidate has
/// none, the stable version is asked.
pub(crate) async fn enter<'v>(
    core: &Core,
    view: &'v View,
    route: &Route,
    fields: &Fields,
    deadline: Deadline,
    ticket: &mut Ticket,
) -> Result<(&'v CoreUpstream, Option<&'v CoreUpstream>, Option<Slot<'v>>), Box<Refused>> {
    let (upstream, instead) = version(core, view, route, fields, ticket);
    let slot = admit(view, route, &upstream.shared, fields, deadline, ticket).await;
    match (slot, instead) {
        (Ok(slot), instead) => Ok((upstream, instead, slot)),
        (Err(refused), None) => Err(refused),
        (Err(_), Some(stable)) => {
            ticket.went_back();
            let slot = admit(view, route, &stable.shared, fields, deadline, ticket).await?;
            Ok((stable, None, slot))
        }
    }
}

/// Takes a slot of the upstream, waits for one, or refuses. `None` if the upstream has no adaptive limit.
async fn admit<'a>(
    view: &View,
    route: &Route,
    upstream: &'a Upstream,
    fields: &Fields,
    deadline: Deadline,
    ticket: &mut Ticket,
) -> Result<Option<Slot<'a>>, Box<Refused>> {
    let callers = &view.running.plan.callers;
    let usual = ticket
        .called_by
        .as_ref()
        .map_or(route.plan.priority, |(journey, _)| journey.priority);
    ticket.priority = identity::priority(fields, callers, usual, ticket.caller.trusted);
    if upstream.plan.adaptive.is_none() {
        return Ok(None);
    }
    let asking = Asking {
        priority: ticket.priority,
        deadline: deadline.at,
        usual: route.times.usual.get().unwrap_or_default(),
    };
    let client = ticket.caller.client;
    let cohort = |salt| match tenant(fields, callers, ticket) {
        Some(tenant) => hash_key(salt, &[tenant]),
        None => hash_key(salt, &[&identity::client_key(client)]),
    };
    let slot = upstream.state.admission.enter(asking, cohort).await;
    Ok(Some(slot.map_err(|shed| Box::new(Refused::from(shed)))?))
}
