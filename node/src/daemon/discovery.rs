//! Nodes of the local network (mDNS).
//!
//! Anybody there can say anything, so what is found is only listed, and tried for nodes that are wanted anyway: the
//! connection proves whether it is them.

use std::collections::{BTreeMap, VecDeque};

use libp2p::mdns;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use thunder_api::Discovered;

use thunder_engine::PeerEvent;

use super::Daemon;

/// How many nodes of the local network are listed.
pub const MAX_DISCOVERED: usize = 64;
/// How many addresses are kept of each.
pub const MAX_ADDRESSES: usize = 4;

/// What was found, and has not expired.
#[derive(Default)]
pub(super) struct Discovery {
    found: BTreeMap<PeerId, VecDeque<Multiaddr>>,
}

impl Discovery {
    /// Keeps the newest addresses of a node. Says whether there is room for the node.
    fn add(&mut self, peer: PeerId, address: Multiaddr) -> bool {
        if self.found.len() >= MAX_DISCOVERED && !self.found.contains_key(&peer) {
            return false;
        }
        let addresses = self.found.entry(peer).or_default();
        addresses.retain(|known| *known != address);
        addresses.push_front(address);
        addresses.truncate(MAX_ADDRESSES);
        true
    }

    fn remove(&mut self, peer: &PeerId, address: &Multiaddr) {
        let Some(addresses) = self.found.get_mut(peer) else { return };
        addresses.retain(|known| known != address);
        if addresses.is_empty() {
            self.found.remove(peer);
        }
    }

    /// Where a node may be.
    pub(super) fn addresses_of(&self, peer: &PeerId) -> impl Iterator<Item = Multiaddr> {
        self.found.get(peer).into_iter().flatten().cloned()
    }

    /// For people: the newest address of each.
    pub(super) fn all(&self) -> Vec<Discovered> {
        let newest = self.found.iter().filter_map(|(peer, addresses)| Some((*peer, addresses.front()?)));
        let shown = newest.map(|(peer, address)| Discovered {
            peer_id: peer.to_string(),
            address: address.clone().with(Protocol::P2p(peer)).to_string(),
        });
        shown.collect()
    }
}

impl Daemon {
    pub(super) fn on_discovery(&mut self, event: mdns::Event) {
        match event {
            mdns::Event::Discovered(found) => {
                for (peer, address) in found {
                    if self.network.discovery.add(peer, bare(address)) {
                        let peer = self.network.engine_peer(&peer);
                        self.peer_event(PeerEvent::AddressFound { peer });
                    }
                }
            }
            mdns::Event::Expired(gone) => {
                gone.into_iter()
                    .for_each(|(peer, address)| self.network.discovery.remove(&peer, &bare(address)));
            }
        }
    }
}

/// The multiaddr without the peer id at its end.
fn bare(mut address: Multiaddr) -> Multiaddr {
    if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
        address.pop();
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: usize) -> Multiaddr {
        format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap()
    }

    #[test]
    fn a_crowd_in_the_local_network_is_not_remembered() {
        let mut discovery = Discovery::default();
        let first = PeerId::random();
        assert!((1..=100).all(|port| discovery.add(first, at(port))));
        assert_eq!(discovery.addresses_of(&first).collect::<Vec<_>>(), [at(100), at(99), at(98), at(97)]);
        let added = (0..1000).filter(|_| discovery.add(PeerId::random(), at(1))).count();
        assert_eq!((added, discovery.all().len()), (MAX_DISCOVERED - 1, MAX_DISCOVERED));
        (97..=100).for_each(|port| discovery.remove(&first, &at(port)));
        assert_eq!(discovery.all().len(), MAX_DISCOVERED - 1);
    }
}
