//! How other nodes are dialed, and why one can't be.

use std::collections::{HashMap, VecDeque};

use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{Multiaddr, PeerId};
use thunder_api::{ApiError, Code};
use thunder_engine::{Dial, PeerEvent, UserRequestId};

use super::Daemon;
use super::network::libp2p_peer;

/// Whether outgoing connections use the port that the node listens on, so that the other side sees that port. Windows (and
/// Wine) may refuse to share the port, and then the dial would fail.
const SHARES_PORT: bool = !cfg!(windows);

/// A `connect` that has reached nobody yet.
struct Attempt {
    request: UserRequestId,
    peer: Option<PeerId>,
    /// Addresses that were not tried yet.
    left: VecDeque<Multiaddr>,
    last_error: String,
}

/// The dials that users wait for.
#[derive(Default)]
pub(super) struct Dialing {
    attempts: HashMap<ConnectionId, Attempt>,
}

impl Dialing {
    /// The `connect` that a connection was dialed for.
    pub(super) fn reached(&mut self, connection: ConnectionId) -> Option<UserRequestId> {
        self.attempts.remove(&connection).map(|attempt| attempt.request)
    }
}

impl Daemon {
    /// Dials a peer.
    pub(super) fn dial(&mut self, dial: Dial) {
        match dial {
            Dial::Remembered { peer, address } => {
                let Some(id) = libp2p_peer(&peer) else { return };
                let known = address.parse().ok().into_iter();
                let addresses = known.chain(self.network.discovery.addresses_of(&id)).collect();
                let options = dial_options(id, PeerCondition::DisconnectedAndNotDialing, addresses);
                if let Err(error) = self.network.swarm.dial(options) {
                    tracing::debug!(%peer, %error, "can't dial");
                    self.peer_event(PeerEvent::DialFailed { peer });
                }
            }
            Dial::Requested { request, peer, addresses } => {
                let left = addresses.iter().filter_map(|address| address.parse().ok()).collect();
                let peer = peer.as_ref().and_then(libp2p_peer);
                self.dial_next(Attempt { request, peer, left, last_error: "the name has no address".into() });
            }
        }
    }

    /// Dials the next address of a `connect`.
    fn dial_next(&mut self, mut attempt: Attempt) {
        while let Some(address) = attempt.left.pop_front() {
            let options = match attempt.peer {
                Some(peer) => dial_options(peer, PeerCondition::Always, vec![address]),
                None => dial_anybody(address),
            };
            let connection = options.connection_id();
            match self.network.swarm.dial(options) {
                Ok(()) => {
                    self.network.dialing.attempts.insert(connection, attempt);
                    return;
                }
                Err(error) => attempt.last_error = explain_dial(&error, attempt.peer),
            }
        }
        let message = format!("can't reach the other node: {}", attempt.last_error);
        let hint = "check the address, and that a thunderd is running there";
        self.reply(attempt.request, Err(ApiError::new(Code::PeerUnreachable, message, hint)));
    }

    pub(super) fn on_dial_failed(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        error: &DialError,
    ) {
        if let Some(mut attempt) = self.network.dialing.attempts.remove(&connection) {
            attempt.last_error = explain_dial(error, attempt.peer);
            self.dial_next(attempt);
        }
        if let Some(peer) = peer {
            let peer = self.network.engine_peer(&peer);
            self.peer_event(PeerEvent::DialFailed { peer });
        }
    }
}

/// Dials this node, and no other that is at the addresses.
fn dial_options(peer: PeerId, condition: PeerCondition, addresses: Vec<Multiaddr>) -> DialOpts {
    let options = DialOpts::peer_id(peer).condition(condition).addresses(addresses);
    if SHARES_PORT { options } else { options.allocate_new_port() }.build()
}

/// Dials whoever is at the address.
fn dial_anybody(address: Multiaddr) -> DialOpts {
    let options = DialOpts::unknown_peer_id().address(address);
    if SHARES_PORT { options } else { options.allocate_new_port() }.build()
}

/// Why a dial failed, for a person; `named` is the node that was expected at the address.
fn explain_dial(error: &DialError, named: Option<PeerId>) -> String {
    match error {
        // An address of one's own is never tried.
        DialError::LocalPeerId { .. } | DialError::NoAddresses => "that is this node itself".into(),
        DialError::WrongPeerId { obtained, .. } => {
            let instead = named.map(|named| format!(", not {named}")).unwrap_or_default();
            format!("another node answers there: {obtained}{instead}")
        }
        DialError::Denied { cause } => cause.to_string(),
        DialError::Transport(errors) => {
            let causes: Vec<_> =
                errors.iter().map(|(address, error)| format!("{address}: {}", innermost(error))).collect();
            causes.join("; ")
        }
        other => other.to_string(),
    }
}

/// The cause at the bottom ("Connection refused"), which says more than the chain above it.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
