//! What the node bounds towards other nodes, its own users and its disk, as `docs/limits.md` lists it.
//!
//! Limits of the wire protocol are in `thunder_protocol`, and those of questions to RPC endpoints in `thunder-guard`.

pub use crate::daemon::discovery::{MAX_ADDRESSES, MAX_DISCOVERED};
pub use crate::daemon::infos::MAX_SHOWN;
pub use crate::event_feed::MAX_EVENTS;
pub use crate::history::MAX_HISTORY;
pub use crate::p2p::codec::{
    DECODED_IN_ALL, LARGE_IN_ALL, LARGE_PER_CONNECTION, SMALL_MESSAGE, WAITING_IN_ALL, WAITING_PER_CONNECTION,
};
pub use crate::p2p::swarm::{
    CONNECT_TIMEOUT, EXCHANGE_TIMEOUT, MAX_CONNECTIONS, MAX_PENDING_INCOMING, MAX_PER_PEER, MAX_STREAMS,
    PING_INTERVAL, PING_TIMEOUT,
};
pub use crate::store::sqlite::MAX_PASSING_EVENTS;
pub use thunder_engine::limits::*;
