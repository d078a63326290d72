//! How much a node may ask for in vain.

use super::allowance::Allowance;

/// So many requests in vain are borne at once: as many as may have been under way when a session
/// ended, twice.
pub const PATIENCE: u32 = 1024;
/// As many more every second.
pub const PER_SECOND: u32 = 16;
/// What a step of the handshake costs, because it costs a signature: one a second, in the long run.
pub const PER_HANDSHAKE: u32 = 16;
/// What a request costs that nothing comes of.
pub(super) const PER_REFUSAL: u32 = 1;
/// What a packet costs that speaks of channels that there are not, and an opening that is refused.
pub(super) const PER_UNKNOWN: u32 = 16;

/// What is left of the patience with a node.
#[derive(Debug)]
pub(super) struct Patience(pub(super) Allowance);

impl Default for Patience {
    fn default() -> Self {
        Self(Allowance::new(PATIENCE, PER_SECOND))
    }
}
