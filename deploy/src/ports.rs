//! Free ports, for programs that have to be told theirs.

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// How often the system is asked for a port that is free for UDP, too.
const TRIES: u32 = 64;

/// A port on which nobody listens, for TCP and UDP (a node uses both). Somebody else may take it
/// before it is used, but the system hands out others first.
pub fn free() -> io::Result<u16> {
    let mut last = io::ErrorKind::AddrInUse.into();
    for _ in 0..TRIES {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let port = listener.local_addr()?.port();
        match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}
