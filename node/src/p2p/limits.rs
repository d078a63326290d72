//! The limits of the network, as `docs/limits.md` lists them.

pub use super::codec::{LARGE_IN_ALL, LARGE_PER_CONNECTION, SMALL_MESSAGE};
pub use super::swarm::{
    CONNECT_TIMEOUT, EXCHANGE_TIMEOUT, MAX_CONNECTIONS, MAX_PENDING_INCOMING, MAX_PER_PEER, MAX_STREAMS,
    PING_INTERVAL, PING_TIMEOUT,
};
