//! How other nodes are dialed, and why one can't be.

use libp2p::swarm::DialError;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId};

/// Whether a connection may go out from the port that others are listened for on, so that the other side sees that
/// one. On Windows the system, or what stands in for it, may refuse to share it, and then there would be no
/// connection.
const SHARES_PORT: bool = !cfg!(windows);

/// Dials this node, and no other that is at the addresses.
pub(super) fn dial_options(peer: PeerId, condition: PeerCondition, addresses: Vec<Multiaddr>) -> DialOpts {
    let options = DialOpts::peer_id(peer).condition(condition).addresses(addresses);
    if SHARES_PORT { options } else { options.allocate_new_port() }.build()
}

/// Dials whoever is at the address.
pub(super) fn dial_anybody(address: Multiaddr) -> DialOpts {
    let options = DialOpts::unknown_peer_id().address(address);
    if SHARES_PORT { options } else { options.allocate_new_port() }.build()
}

/// Why a dial failed, for a person; `named` is the node that was expected at the address.
pub(super) fn explain_dial(error: &DialError, named: Option<PeerId>) -> String {
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
