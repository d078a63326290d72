//! The network of a simulation: connections that break, and requests and responses that come late, out of order and
//! twice.

use thunder_engine::{Event, InboundRequestId, OutboundRequestId, PeerEvent, PeerId, UserRequestId};
use thunder_protocol::wire::{Packet, Request, Response};

use crate::world::{Fault, World};

/// How far a request or a response can be overtaken.
const WINDOW: usize = 3;

/// Something on its way between two nodes.
#[derive(Debug, Clone)]
pub(crate) enum Flight {
    Request { from: usize, to: usize, id: OutboundRequestId, request: Request },
    Response { from: usize, to: usize, id: OutboundRequestId, response: Response },
}

impl Flight {
    const fn is_between(&self, a: usize, b: usize) -> bool {
        let (Self::Request { from, to, .. } | Self::Response { from, to, .. }) = self;
        (*from == a && *to == b) || (*from == b && *to == a)
    }
}

impl World {
    pub(crate) fn number_of(&self, peer: &PeerId) -> Option<usize> {
        self.nodes.iter().position(|node| node.peer_id == *peer)
    }

    pub(crate) fn is_connected(&self, a: usize, b: usize) -> bool {
        self.links.contains_key(&(a.min(b), a.max(b)))
    }

    pub(crate) fn peer_event(&mut self, node: usize, event: PeerEvent) {
        let now = self.now;
        self.nodes[node].handle(Event::Peer(event), now);
    }

    /// A node dials another.
    pub(crate) fn connect(&mut self, from: usize, peer: &PeerId, request: Option<UserRequestId>) {
        let Some(to) = self.number_of(peer) else { return };
        if from == to || self.is_connected(from, to) {
            return;
        }
        let is_there = |node: usize| self.nodes[node].is_alive() && !self.nodes[node].is_mute;
        if !is_there(from) || !is_there(to) {
            return self.peer_event(from, PeerEvent::DialFailed { peer: peer.clone() });
        }
        let ends = [from, to].map(|node| self.nodes[node].next_connection());
        let (low, high) = if from < to { (ends[0], ends[1]) } else { (ends[1], ends[0]) };
        self.links.insert((from.min(to), from.max(to)), (low, high));
        for (node, other, connection, is_dialer) in [(from, to, ends[0], true), (to, from, ends[1], false)] {
            let peer = self.nodes[other].peer_id.clone();
            let address = format!("/node/{other}");
            let request = request.filter(|_| is_dialer);
            self.peer_event(node, PeerEvent::Connected { peer, connection, address, is_dialer, request });
        }
    }

    /// A connection breaks; what is on its way is lost.
    pub(crate) fn disconnect(&mut self, a: usize, b: usize) {
        let Some((low, high)) = self.links.remove(&(a.min(b), a.max(b))) else { return };
        let (lost, left): (Vec<_>, Vec<_>) =
            self.flights.drain(..).partition(|flight| flight.is_between(a, b));
        self.flights = left;
        for flight in lost {
            match flight {
                Flight::Request { from, to, id, .. } => {
                    let peer = self.nodes[to].peer_id.clone();
                    self.peer_event(from, PeerEvent::RequestFailed { peer, id, is_unsupported: false });
                }
                Flight::Response { from, to, id, .. } => {
                    let [responder, requester] = [from, to].map(|node| self.nodes[node].peer_id.clone());
                    self.peer_event(from, PeerEvent::ResponseFailed { peer: requester });
                    let failed = PeerEvent::RequestFailed { peer: responder, id, is_unsupported: false };
                    self.peer_event(to, failed);
                }
            }
        }
        for (node, other, connection) in [(a.min(b), a.max(b), low), (a.max(b), a.min(b), high)] {
            let peer = self.nodes[other].peer_id.clone();
            self.peer_event(node, PeerEvent::Disconnected { peer, connection, others: 0 });
        }
    }

    /// One of the oldest things on their way arrives.
    pub(crate) fn deliver(&mut self) {
        if self.flights.is_empty() {
            return;
        }
        let at = if self.is_well { 0 } else { self.random.index(self.flights.len().min(WINDOW)) };
        match self.flights.remove(at) {
            Flight::Request { from, to, id: theirs, request } => {
                if let Request::Packet(packet) = &request {
                    self.on_packet(from, to, packet);
                }
                let id = InboundRequestId(self.nodes[to].next_number());
                self.nodes[to].inbound.insert(id, (from, theirs));
                let peer = self.nodes[from].peer_id.clone();
                self.peer_event(to, PeerEvent::Request { peer, id, request });
                // The daemon's batches are of several events, or of one.
                if self.random.one_in(2) || self.is_well {
                    self.flush(to);
                }
            }
            Flight::Response { from, to, id, response } => {
                if let Response::Packet(packet) = &response {
                    self.nodes[to].collect_proposals(packet);
                }
                let peer = self.nodes[from].peer_id.clone();
                self.peer_event(to, PeerEvent::Response { peer, id, response });
                if self.random.one_in(2) || self.is_well {
                    self.flush(to);
                }
            }
        }
        if self.fault == Some(Fault::SessionsMixedUp) && self.random.one_in(4) {
            self.mix_up();
        }
    }

    /// A packet arrives: the adversary looks into it, and now and then it arrives once more.
    fn on_packet(&mut self, from: usize, to: usize, packet: &Packet) {
        self.sessions.insert((from, to), packet.session);
        self.nodes[to].collect_proposals(packet);
        if self.fault == Some(Fault::SessionsMixedUp) && !packet.messages.is_empty() {
            self.delivered.push((to, packet.clone()));
        }
        if !self.is_well && self.random.one_in(10) {
            self.send_copy(from, to, packet.clone());
        }
    }

    /// A packet whose response nobody waits for.
    fn send_copy(&mut self, from: usize, to: usize, packet: Packet) {
        let request = Request::Packet(packet);
        self.flights.push(Flight::Request { from, to, id: OutboundRequestId(u64::MAX), request });
    }

    /// What a node does that mixes up its sessions: it takes a packet of one peer for another's.
    fn mix_up(&mut self) {
        if self.delivered.is_empty() {
            return;
        }
        let (to, mut packet) = self.delivered.swap_remove(self.random.index(self.delivered.len()));
        let from = self.random.index(self.nodes.len());
        let Some(session) = self.sessions.get(&(from, to)).filter(|_| self.is_connected(from, to)) else {
            return;
        };
        packet.session = *session;
        self.send_copy(from, to, packet);
    }

    pub(crate) fn deliver_all(&mut self) {
        for _ in 0..2000 {
            self.flush_all();
            if self.flights.is_empty() {
                return;
            }
            self.deliver();
        }
    }
}
