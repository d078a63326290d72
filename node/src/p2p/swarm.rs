//! The swarm and its limits.
#![expect(missing_docs, reason = "the derived event type has no place for them")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::upgrade::{NegotiationError, Version};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{self, OutboundFailure, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{Multiaddr, StreamProtocol, Swarm, identify, mdns, noise, ping, tcp, yamux};
use thunder_protocol::wire::PROTOCOL;

use super::codec::WireCodec;

/// An exchange that takes longer has failed.
pub const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that takes longer to be set up has failed.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How many exchanges one connection may have under way.
pub const MAX_STREAMS: usize = 512;
/// How often a connection is probed.
pub const PING_INTERVAL: Duration = Duration::from_secs(10);
/// A probe that is not answered in this time ends the connection.
pub const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// The most connections with one node. Both sides may dial at the same time.
pub const MAX_PER_PEER: u32 = 4;
/// Connections that are being set up from outside.
pub const MAX_PENDING_INCOMING: u32 = 256;
/// All connections, as far as the system gives that many files.
pub const MAX_CONNECTIONS: u32 = 4096;
/// Files for everything else: the RPC endpoint, the local socket, the database.
const OTHER_FILES: u64 = 256;

/// What runs on every connection.
#[derive(NetworkBehaviour)]
pub struct Behaviour {
    limits: connection_limits::Behaviour,
    /// Nodes of the local network, if wanted.
    local: Toggle<mdns::tokio::Behaviour>,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    /// The channel protocol.
    pub messages: request_response::Behaviour<WireCodec>,
}

/// The network can't be started.
#[derive(Debug, thiserror::Error)]
#[error("can't start the network: {0}")]
pub struct NetworkError(String);

/// Makes the swarm of the node with this key. It does not listen yet. With `discover` it asks the
/// local network for other nodes, and answers them.
pub fn build(keypair: Keypair, discover: bool) -> Result<Swarm<Behaviour>, NetworkError> {
    let failed = |error: &dyn std::fmt::Display| NetworkError(error.to_string());
    let own_id = keypair.public().to_peer_id();
    let local = discover.then(|| mdns::tokio::Behaviour::new(mdns::Config::default(), own_id));
    let local = local.transpose().map_err(|error| failed(&error))?.into();
    let max_connections = max_connections();
    let limits = ConnectionLimits::default()
        .with_max_established_per_peer(Some(MAX_PER_PEER))
        .with_max_pending_incoming(Some(MAX_PENDING_INCOMING))
        // Strangers never take the last places: those are for nodes that this one dials.
        .with_max_established_incoming(Some(max_connections - max_connections / 4))
        .with_max_established(Some(max_connections));
    let exchanges = request_response::Config::default()
        .with_request_timeout(EXCHANGE_TIMEOUT)
        .with_max_concurrent_streams(MAX_STREAMS);
    let swarm = libp2p::SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(|error| failed(&error))?
        .with_quic()
        .with_behaviour(|key| Behaviour {
            limits: connection_limits::Behaviour::new(limits),
            local,
            identify: identify::Behaviour::new(
                identify::Config::new(PROTOCOL.into(), key.public())
                    .with_agent_version(format!("thunderd/{}", env!("CARGO_PKG_VERSION"))),
            ),
            ping: ping::Behaviour::new(
                ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_TIMEOUT),
            ),
            messages: request_response::Behaviour::with_codec(
                WireCodec::default(),
                [(StreamProtocol::new(PROTOCOL), ProtocolSupport::Full)],
                exchanges,
            ),
        })
        .map_err(|error| failed(&error))?
        // A connection is kept for as long as both sides are there.
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(Duration::MAX)
                // A request names its protocol and goes out at once: waiting for the other side to
                // agree first would take each exchange a round trip more.
                .with_substream_upgrade_protocol_override(Version::V1Lazy)
        })
        .with_connection_timeout(CONNECT_TIMEOUT)
        .build();
    Ok(swarm)
}

/// Whether a request failed because the other node does not speak the protocol. As its name goes out
/// together with the request, this shows when the answer is read.
pub fn is_unsupported(failure: &OutboundFailure) -> bool {
    match failure {
        OutboundFailure::UnsupportedProtocols => true,
        OutboundFailure::Io(error) => {
            let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<NegotiationError>());
            matches!(cause, Some(NegotiationError::Failed))
        }
        OutboundFailure::DialFailure | OutboundFailure::Timeout | OutboundFailure::ConnectionClosed => false,
    }
}

/// As many connections as there are files for, so that no stranger can use up those that the chain
/// is reached by. Asks the system for as many as it gives.
fn max_connections() -> u32 {
    let files = rlimit::increase_nofile_limit(u64::from(MAX_CONNECTIONS) + OTHER_FILES).unwrap_or(1024);
    let left = files.saturating_sub(OTHER_FILES).max(16);
    u32::try_from(left).unwrap_or(MAX_CONNECTIONS).min(MAX_CONNECTIONS)
}

/// Where to listen: TCP, and QUIC on the same UDP port; on all interfaces unless told otherwise.
pub fn listen_addresses(ip: Option<IpAddr>, port: u16) -> Vec<Multiaddr> {
    let all = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let ips = ip.map_or_else(|| all.to_vec(), |ip| vec![ip]);
    ips.into_iter()
        .flat_map(|ip| {
            let base = Multiaddr::from(ip);
            let tcp = base.clone().with(Protocol::Tcp(port));
            [tcp, base.with(Protocol::Udp(port)).with(Protocol::QuicV1)]
        })
        .collect()
}

/// Addresses for people: TCP before QUIC, IPv4 before IPv6, without those that hold on one wire only.
pub fn shown_addresses<'a>(addresses: impl Iterator<Item = &'a Multiaddr>) -> Vec<String> {
    let rank = |address: &Multiaddr| {
        let is_link_local =
            |part: &Protocol<'_>| matches!(part, Protocol::Ip6(ip) if ip.is_unicast_link_local());
        let is_ip6 = address.iter().any(|part| matches!(part, Protocol::Ip6(_)));
        let is_quic = address.iter().any(|part| matches!(part, Protocol::QuicV1));
        (!address.iter().any(|part| is_link_local(&part))).then_some((is_quic, is_ip6))
    };
    let mut shown: Vec<_> =
        addresses.filter_map(|address| Some((rank(address)?, address.to_string()))).collect();
    shown.sort();
    shown.into_iter().map(|(_, address)| address).collect()
}
