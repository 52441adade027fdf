//! The addresses that the gateway listens on, and a spare descriptor of each socket there.
//!
//! The sockets themselves are with the cores. The spare ones are what another process is handed; they are dropped
//! before the cores leave an address, so that it is the last core that closes it, with its queue looked through.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::env::Bound;
use crate::gateway::{Renamed, follow};
use crate::inherited::Handed;
use crate::plan::{ListenAddress, ListenerPlan};
use crate::running::Listener;

/// See the module's header.
#[derive(Debug, Default)]
pub(crate) struct Places(Vec<Place>);

/// Where one listener listens.
#[derive(Debug)]
struct Place {
    name: Arc<str>,
    asked: ListenAddress,
    /// What it got, if it is TCP.
    address: Option<SocketAddr>,
    spare: Vec<Bound>,
}

impl Places {
    /// Notes where a listener listens. `sockets` are those that its cores are about to have.
    pub(crate) fn add(&mut self, plan: &ListenerPlan, sockets: &[Bound]) {
        let address = sockets.first().and_then(|socket| socket.address().ok().flatten());
        self.0.push(Place {
            name: Arc::clone(&plan.name),
            asked: plan.address.clone(),
            address,
            // In a simulation there are none, and nobody to hand them to.
            spare: sockets
                .iter()
                .filter_map(|socket| socket.try_clone().ok())
                .collect(),
        });
    }

    /// Whether this listener listens at this address already.
    pub(crate) fn has(&self, name: &str, asked: &ListenAddress) -> bool {
        self.0
            .iter()
            .any(|place| *place.name == *name && place.asked == *asked)
    }

    /// Whether any does.
    pub(crate) fn has_address(&self, asked: &ListenAddress) -> bool {
        self.0.iter().any(|place| place.asked == *asked)
    }

    /// The listeners that are bound under another name. Names that were taken before are not given on: open
    /// connections go by them.
    pub(crate) fn renamed(&self, listeners: &[Arc<Listener>]) -> Arc<[Renamed]> {
        let is_planned = |name: &str| listeners.iter().any(|listener| *listener.plan.name == *name);
        let mut free: Vec<_> = self.0.iter().filter(|place| !is_planned(&place.name)).collect();
        let mut renamed = Vec::new();
        for plan in listeners.iter().map(|listener| &listener.plan) {
            if self.0.iter().any(|place| place.name == plan.name) {
                continue;
            }
            if let Some(index) = free.iter().position(|place| place.asked == plan.address) {
                renamed.push((Arc::clone(&free.swap_remove(index).name), Arc::clone(&plan.name)));
            }
        }
        renamed.into()
    }

    pub(crate) fn rename(&mut self, renamed: &[Renamed]) {
        for place in &mut self.0 {
            follow(renamed, &mut place.name);
        }
    }

    /// Forgets a listener, and says whether it was known.
    pub(crate) fn forget(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|place| *place.name != *name);
        self.0.len() < before
    }

    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.0.iter().map(|place| Arc::clone(&place.name)).collect()
    }

    pub(crate) fn addresses(&self) -> Vec<(Arc<str>, Option<SocketAddr>)> {
        let addresses = self
            .0
            .iter()
            .map(|place| (Arc::clone(&place.name), place.address));
        addresses.collect()
    }

    /// Gives the spare descriptors up: from now on the sockets end with the cores that accept on them.
    pub(crate) fn drop_spares(&mut self) {
        self.0.iter_mut().for_each(|place| place.spare.clear());
    }

    /// Descriptors of all sockets, for another process.
    ///
    /// # Errors
    /// Whatever `dup` says.
    pub(crate) fn handed(&self) -> std::io::Result<Vec<Handed>> {
        let handed = |place: &Place| {
            Ok(Handed {
                name: Arc::clone(&place.name),
                asked: place.asked.clone(),
                sockets: place
                    .spare
                    .iter()
                    .filter_map(|socket| Some(socket.descriptor()?.try_clone_to_owned()))
                    .collect::<std::io::Result<_>>()?,
            })
        };
        self.0.iter().map(handed).collect()
    }
}
