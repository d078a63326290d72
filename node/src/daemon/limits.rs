//! What the daemon bounds in its dealings with other nodes, as `docs/limits.md` lists it.

pub use super::asks::MAX_HISTORY;
pub use super::chatter::{LINES, LINES_PER_SECOND};
pub use super::discovery::{MAX_ADDRESSES, MAX_DISCOVERED};
pub use super::infos::MAX_SHOWN;
pub use super::opening::{ANSWER_WITHIN, MAX_AWAITED, MAX_AWAITED_IN_ALL};
pub use super::patience::{PATIENCE, PER_HANDSHAKE, PER_SECOND};
pub use super::peers::{FIRST_RETRY, LAST_RETRY, MAX_STRANGERS, PROVE_WITHIN};
