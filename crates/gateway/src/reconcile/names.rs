//! Looking up the names of upstreams.
//!
//! Look-ups run side by side: a resolver that is down keeps each of them waiting for as long as it may, and one after
//! the other ten dead names would hold a start or a reload for half a minute. An upstream takes over what was found
//! as soon as its own names are through, whatever the others wait for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::abreast::Abreast;
use crate::env::Env;
use crate::plan::EndpointPlan;
use crate::upstream::{Address, Upstream};

/// Look-ups at once: each takes a thread of the runtime for as long as the system's resolver likes.
const LOOKUPS_MAX: usize = 16;

/// A resolver that takes longer is as good as down; the old addresses go on.
const LOOKUP_MAX: Duration = Duration::from_secs(3);

/// What the look-up of one endpoint found, or why it found nothing.
pub(crate) type Found = Result<Vec<Address>, String>;

/// Looks up every name of `upstreams`, and has each of them take over what changed.
pub(crate) async fn resolve(env: &Env, upstreams: &[Arc<Upstream>]) {
    let mut names = Vec::new();
    for (index, upstream) in upstreams.iter().enumerate() {
        let endpoints = upstream.plan.endpoints.iter().enumerate();
        names.extend(endpoints.map(|(place, endpoint)| (index, place, endpoint)));
    }
    let mut names = names.into_iter();
    let mut found: Vec<Vec<Option<Found>>> = upstreams
        .iter()
        .map(|upstream| upstream.plan.endpoints.iter().map(|_| None).collect())
        .collect();
    let mut lookups = Abreast::new();
    loop {
        while lookups.len() < LOOKUPS_MAX
            && let Some((index, place, endpoint)) = names.next()
        {
            lookups.begin(async move { (index, place, lookup(env, endpoint).await) });
        }
        let Some((index, place, addresses)) = lookups.next().await else {
            return;
        };
        found[index][place] = Some(addresses);
        if found[index].iter().all(Option::is_some) {
            let found = std::mem::take(&mut found[index]).into_iter().flatten();
            upstreams[index].take_found(env, found.collect());
        }
    }
}

/// A short name lookup; literals and sockets need none.
async fn lookup(env: &Env, endpoint: &EndpointPlan) -> Found {
    let (host, port) = match endpoint {
        EndpointPlan::Unix(path) => return Ok(vec![Address::Unix(path.clone())]),
        EndpointPlan::Host(host, port) => (host, *port),
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse() {
        return Ok(vec![Address::Tcp(SocketAddr::new(ip, port))]);
    }
    match tokio::time::timeout(LOOKUP_MAX, env.resolve(bare, port)).await {
        Ok(Ok(found)) => Ok(found.into_iter().map(Address::Tcp).collect()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer from the resolver within {LOOKUP_MAX:?}")),
    }
}
