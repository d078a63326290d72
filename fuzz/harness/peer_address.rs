//! Any text into the parser of peers' addresses, multiaddrs among them.

use super::PeerAddress;

/// Nothing panics, and what is parsed is parsed the same when it is shown.
pub fn peer_address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(parsed) = text.parse::<PeerAddress>() else { return };
    let shown = match &parsed {
        PeerAddress::Host { host, port } => {
            assert!(*port > 0 && !host.is_empty() && !host.starts_with('/'), "{text:?}");
            assert!(!host.chars().any(|c| c.is_whitespace() || c.is_control()), "{text:?}");
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
        }
        PeerAddress::Multiaddr { address, peer } => {
            assert!(!address.is_empty(), "{text:?}");
            peer.iter().fold(address.to_string(), |shown, peer| format!("{shown}/p2p/{peer}"))
        }
    };
    assert_eq!(shown.parse(), Ok(parsed), "{text:?} shown as {shown:?}");
}
