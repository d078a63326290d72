//! The network: libp2p's events become the engine's, and the engine's requests and responses go out.

use std::collections::HashMap;

use futures::{FutureExt, StreamExt};
use libp2p::request_response;
use libp2p::swarm::{self, SwarmEvent};
use libp2p::{PeerId, Swarm};
use thunder_engine::{
    ConnectionId, Event, InboundRequestId, OutboundRequestId, PeerEvent, PeerId as EnginePeer,
};
use thunder_protocol::wire::{Request, Response};
use tokio::time::Instant;

use super::Daemon;
use super::dial::Dialing;
use super::discovery::Discovery;
use crate::p2p::{self, Behaviour, BehaviourEvent, Held, ResponseChannel};

/// What comes out of the swarm.
pub(super) type NetworkEvent = SwarmEvent<BehaviourEvent>;

/// The swarm, and what the engine's numbers stand for in it.
pub(super) struct Network {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) discovery: Discovery,
    pub(super) dialing: Dialing,
    /// The peers that are connected, as the engine has them.
    peers: HashMap<PeerId, EnginePeer>,
    connections: HashMap<swarm::ConnectionId, ConnectionId>,
    /// Requests of peers that get their responses at the end of the batch.
    inbound: HashMap<InboundRequestId, (PeerId, ResponseChannel)>,
    /// Requests that are not answered, and since when.
    outbound: HashMap<request_response::OutboundRequestId, (OutboundRequestId, Instant)>,
    last_number: u64,
}

/// A peer id as the engine has it.
pub(super) fn engine_peer(peer: &PeerId) -> EnginePeer {
    EnginePeer::new(&peer.to_bytes(), &peer.to_base58())
}

/// A peer id as libp2p has it.
pub(super) fn libp2p_peer(peer: &EnginePeer) -> Option<PeerId> {
    PeerId::from_bytes(peer.as_bytes()).ok()
}

impl Network {
    pub(super) fn new(swarm: Swarm<Behaviour>) -> Self {
        Self {
            swarm,
            discovery: Discovery::default(),
            dialing: Dialing::default(),
            peers: HashMap::new(),
            connections: HashMap::new(),
            inbound: HashMap::new(),
            outbound: HashMap::new(),
            last_number: 0,
        }
    }

    pub(super) fn own_id(&self) -> &PeerId {
        self.swarm.local_peer_id()
    }

    pub(super) fn listeners(&self) -> Vec<String> {
        p2p::shown_addresses(self.swarm.listeners())
    }

    /// The next event. Safe to drop while it waits.
    pub(super) async fn next(&mut self) -> NetworkEvent {
        self.swarm.select_next_some().await
    }

    /// An event that is there without waiting.
    pub(super) fn ready(&mut self) -> Option<NetworkEvent> {
        self.swarm.next().now_or_never().flatten()
    }

    pub(super) fn engine_peer(&self, peer: &PeerId) -> EnginePeer {
        self.peers.get(peer).cloned().unwrap_or_else(|| engine_peer(peer))
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Responds to a peer's request. Returns the response if it can't be delivered any more.
    pub(super) fn respond(
        &mut self,
        id: InboundRequestId,
        response: Response,
    ) -> Option<(EnginePeer, Response)> {
        let (peer, channel) = self.inbound.remove(&id)?;
        let sent = self.swarm.behaviour_mut().messages.send_response(channel, response.into());
        sent.err().map(|held| (self.engine_peer(&peer), held.take()))
    }

    /// Drops the requests that get no response.
    pub(super) fn drop_unanswered(&mut self) {
        self.inbound.clear();
    }

    pub(super) fn send(&mut self, id: OutboundRequestId, peer: &EnginePeer, request: Request) {
        let Some(peer) = libp2p_peer(peer) else { return };
        let sent = self.swarm.behaviour_mut().messages.send_request(&peer, request.into());
        self.outbound.insert(sent, (id, Instant::now()));
    }

    pub(super) fn disconnect(&mut self, peer: &EnginePeer) {
        if let Some(peer) = libp2p_peer(peer) {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }
}

impl Daemon {
    /// Something happened in the network.
    pub(super) fn on_network(&mut self, event: NetworkEvent) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Messages(event)) => self.on_exchange(event),
            SwarmEvent::Behaviour(BehaviourEvent::Local(event)) => self.on_discovery(event),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping)) => {
                if let Err(error) = ping.result {
                    tracing::debug!(peer = %ping.peer, %error, "no answer to a ping");
                    self.network.swarm.close_connection(ping.connection);
                }
            }
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let peer = engine_peer(&peer_id);
                self.network.peers.insert(peer_id, peer.clone());
                let connection = ConnectionId(self.network.next_number());
                self.network.connections.insert(connection_id, connection);
                let address = endpoint.get_remote_address().to_string();
                let request = self.network.dialing.reached(connection_id);
                let is_dialer = endpoint.is_dialer();
                self.peer_event(PeerEvent::Connected { peer, connection, address, is_dialer, request });
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, .. } => {
                let peer = self.network.engine_peer(&peer_id);
                if num_established == 0 {
                    self.network.peers.remove(&peer_id);
                }
                let Some(connection) = self.network.connections.remove(&connection_id) else { return };
                self.peer_event(PeerEvent::Disconnected { peer, connection, others: num_established });
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                self.on_dial_failed(connection_id, peer_id, &error);
            }
            SwarmEvent::NewListenAddr { address, .. } => tracing::debug!(%address, "listening"),
            SwarmEvent::ListenerClosed { reason: Err(error), addresses, .. } => {
                tracing::error!(%error, ?addresses, "a listener is gone");
            }
            _ => {}
        }
    }

    pub(super) fn peer_event(&mut self, event: PeerEvent) {
        self.handle(Event::Peer(event));
    }

    fn on_exchange(&mut self, event: request_response::Event<Held<Request>, Held<Response>>) {
        use request_response::{Event, Message};
        match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                let id = InboundRequestId(self.network.next_number());
                self.network.inbound.insert(id, (peer, channel));
                let peer = self.network.engine_peer(&peer);
                self.peer_event(PeerEvent::Request { peer, id, request: request.take() });
            }
            Event::Message { peer, message: Message::Response { request_id, response }, .. } => {
                let Some((id, sent)) = self.network.outbound.remove(&request_id) else { return };
                let response = response.take();
                if matches!(response, Response::Packet(_)) {
                    self.metrics.answered(sent);
                }
                let peer = self.network.engine_peer(&peer);
                self.peer_event(PeerEvent::Response { peer, id, response });
            }
            Event::OutboundFailure { peer, request_id, error, .. } => {
                tracing::debug!(%peer, %error, "a request failed");
                let Some((id, _)) = self.network.outbound.remove(&request_id) else { return };
                let (peer, is_unsupported) = (self.network.engine_peer(&peer), p2p::is_unsupported(&error));
                self.peer_event(PeerEvent::RequestFailed { peer, id, is_unsupported });
            }
            Event::InboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, %error, "a response was not delivered");
                let peer = self.network.engine_peer(&peer);
                self.peer_event(PeerEvent::ResponseFailed { peer });
            }
            Event::ResponseSent { .. } => {}
        }
    }
}
