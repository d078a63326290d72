//! What the engine tells the guard to watch: a channel, what is known of it, and how urgent it is to read it.

use crate::channel::Terms;
use crate::onchain::ChainView;

/// How much depends on reading a channel in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stake {
    /// Something is under way: it is read with every block.
    Urgent,
    /// A closing on an old receipt could cost something: it is read before the rest.
    AtRisk,
    /// Nothing can be lost by a closing.
    Nothing,
}

/// A channel that the guard is to watch, and what is known of it.
#[derive(Debug, Clone)]
pub struct WatchRequest {
    /// Which.
    pub terms: Terms,
    /// What is known of it.
    pub view: ChainView,
    /// How much depends on it.
    pub stake: Stake,
    /// Whether to make sure, once it is there, that it is what was agreed on.
    pub verify: bool,
    /// Its events are not older than this block.
    pub first_block: u64,
}
