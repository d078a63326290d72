//! How much a node may ask for in vain.

use tokio::time::Instant;

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
pub(super) struct Patience {
    left: u32,
    since: Instant,
}

impl Default for Patience {
    fn default() -> Self {
        Self { left: PATIENCE, since: Instant::now() }
    }
}

impl Patience {
    /// Takes some, and says whether there was enough.
    pub(super) fn spend(&mut self, cost: u32, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.since).as_secs();
        if seconds > 0 {
            let more = u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(PER_SECOND);
            self.left = self.left.saturating_add(more).min(PATIENCE);
            self.since = now;
        }
        let enough = self.left >= cost;
        self.left = self.left.saturating_sub(cost);
        enough
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn patience_ends_and_comes_back_with_time_but_never_more_than_at_first() {
        let mut patience = Patience::default();
        let start = patience.since;
        assert!((0..PATIENCE).all(|_| patience.spend(1, start)));
        assert!(!patience.spend(1, start));
        let later = start + Duration::from_secs(2);
        assert!((0..2 * PER_SECOND).all(|_| patience.spend(1, later)));
        assert!(!patience.spend(1, later));
        let much_later = later + Duration::from_secs(1_000_000);
        assert!(patience.spend(PATIENCE, much_later) && !patience.spend(1, much_later));
    }
}
