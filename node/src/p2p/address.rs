//! Where another node is, as people write it.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

/// `ip:port`, `host:port`, or a multiaddr with or without `/p2p/…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerAddress {
    /// A host and a port.
    Host {
        /// An IP address or a name.
        host: String,
        /// The TCP port.
        port: u16,
    },
    /// A multiaddr without its `/p2p/…`.
    Multiaddr {
        /// Where.
        address: Multiaddr,
        /// Who is expected there.
        peer: Option<PeerId>,
    },
}

/// A text is not an address of a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address of a node")]
pub struct InvalidPeerAddress(String);

impl FromStr for PeerAddress {
    type Err = InvalidPeerAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidPeerAddress(text.into());
        if text.starts_with('/') {
            let address: Multiaddr = text.parse().map_err(|_| invalid())?;
            let peer = match address.iter().last() {
                Some(Protocol::P2p(peer)) => Some(peer),
                _ => None,
            };
            let address = without_peer(&address);
            return if address.is_empty() { Err(invalid()) } else { Ok(Self::Multiaddr { address, peer }) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(invalid)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(inner) if inner.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) => inner,
            Some(_) => return Err(invalid()),
            None => host,
        };
        let is_name = |host: &str| {
            host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        };
        if host.is_empty() || (bracketed.is_none() && !is_name(host)) {
            return Err(invalid());
        }
        Ok(Self::Host { host: host.into(), port })
    }
}

/// What to write instead of a text that is not an address of a node.
pub fn how_to_write(text: &str) -> String {
    let v6 = |host: &str| host.parse::<Ipv6Addr>().is_ok();
    match text.rsplit_once(':') {
        // A text like ::1:2002 is an IPv6 address, too.
        Some((host, port)) if v6(host) && port.parse::<u16>().is_ok_and(|port| port > 0) => {
            format!("write an IPv6 address in brackets: thunder-cli connect [{host}]:{port}")
        }
        _ if v6(text) => format!("write an IPv6 address in brackets, and the port: [{text}]:2001"),
        None if format!("{text}:2001").parse::<PeerAddress>().is_ok() => {
            format!("write the port, too: {text}:2001, for instance")
        }
        _ => "write ip:port, host:port or a multiaddr like /ip4/1.2.3.4/tcp/2001".into(),
    }
}

/// The address without the peer id at its end.
pub fn without_peer(address: &Multiaddr) -> Multiaddr {
    let mut address = address.clone();
    if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
        address.pop();
    }
    address
}

impl PeerAddress {
    /// Who is expected there.
    pub fn peer(&self) -> Option<PeerId> {
        match self {
            Self::Host { .. } => None,
            Self::Multiaddr { peer, .. } => *peer,
        }
    }

    /// The multiaddrs to dial, names looked up.
    pub async fn resolve(&self) -> std::io::Result<Vec<Multiaddr>> {
        match self {
            Self::Host { host, port } => {
                let found = tokio::net::lookup_host((host.as_str(), *port)).await?;
                Ok(found.map(|at| Multiaddr::from(at.ip()).with(Protocol::Tcp(at.port()))).collect())
            }
            Self::Multiaddr { address, .. } => resolve_multiaddr(address).await,
        }
    }
}

/// Replaces a leading `/dns…` by the addresses that the name has.
async fn resolve_multiaddr(address: &Multiaddr) -> std::io::Result<Vec<Multiaddr>> {
    let mut parts = address.iter();
    let (name, wanted): (_, fn(&IpAddr) -> bool) = match parts.next() {
        Some(Protocol::Dns(name)) => (name, |_| true),
        Some(Protocol::Dns4(name)) => (name, IpAddr::is_ipv4),
        Some(Protocol::Dns6(name)) => (name, IpAddr::is_ipv6),
        _ => return Ok(vec![address.clone()]),
    };
    let rest: Multiaddr = parts.collect();
    let found = tokio::net::lookup_host((name.as_ref(), 0)).await?;
    let found = found.map(|at| at.ip()).filter(wanted);
    Ok(found.map(|ip| Multiaddr::from(ip).iter().chain(rest.iter()).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> (String, u16) {
        match text.parse().unwrap() {
            PeerAddress::Host { host, port } => (host, port),
            PeerAddress::Multiaddr { .. } => panic!("{text} is a multiaddr"),
        }
    }

    #[test]
    fn the_form_that_works_is_named() {
        assert_eq!(
            how_to_write("::1:2002"),
            "write an IPv6 address in brackets: thunder-cli connect [::1]:2002"
        );
        assert!(how_to_write("::1").ends_with("[::1]:2001"));
        assert!(how_to_write("10.0.0.1").contains("10.0.0.1:2001"));
        assert!(how_to_write("what is it").starts_with("write ip:port"));
    }

    #[test]
    fn addresses_are_read_as_people_write_them() {
        assert_eq!(host("127.0.0.1:2001"), ("127.0.0.1".into(), 2001));
        assert_eq!(host("[::1]:2001"), ("::1".into(), 2001));
        assert_eq!(host("node.example:2001"), ("node.example".into(), 2001));
        let full = "/ip4/10.0.0.1/udp/2001/quic-v1/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
        let parsed: PeerAddress = full.parse().unwrap();
        assert!(parsed.peer().is_some());
        for bad in [
            "",
            "2001",
            "host",
            "host:",
            "host:0",
            "host:99999",
            ":2001",
            "[::1",
            "[x]:1",
            "::1:2001",
            "/nope/x",
            "a b:1",
        ] {
            assert!(bad.parse::<PeerAddress>().is_err(), "{bad:?}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn names_are_looked_up() {
        let resolved = "/dns4/localhost/tcp/2001".parse::<PeerAddress>().unwrap().resolve().await.unwrap();
        assert_eq!(resolved, ["/ip4/127.0.0.1/tcp/2001".parse().unwrap()]);
    }
}
