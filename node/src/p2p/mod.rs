//! The network between nodes: libp2p over TCP (noise, yamux) and QUIC.
//!
//! A request-response behaviour carries the channel protocol.

mod address;
pub(crate) mod codec;
pub(crate) mod swarm;

pub use address::{InvalidPeerAddress, PeerAddress, how_to_write, without_peer};
pub use codec::{Held, WireCodec};
pub use swarm::{
    Behaviour, BehaviourEvent, NetworkError, build, is_unsupported, listen_addresses, shown_addresses,
};

/// Through which a request is answered.
pub type ResponseChannel = libp2p::request_response::ResponseChannel<Held<thunder_protocol::wire::Response>>;
