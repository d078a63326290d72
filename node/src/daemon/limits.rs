//! What the daemon bounds in its dealings with other nodes, as `docs/limits.md` lists it.

pub use super::discovery::{MAX_ADDRESSES, MAX_DISCOVERED};
pub use super::infos::MAX_SHOWN;
pub use super::queries::MAX_HISTORY;
pub use thunder_engine::limits::*;
