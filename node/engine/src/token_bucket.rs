//! Token buckets: how many refused requests a peer may make, and how many log lines strangers may cause.

use thunder_protocol::channel::Millis;

/// Tokens that a peer has at first: twice the number of requests that may be in flight (and refused) when a session ends.
pub const BUDGET: u32 = 1024;
/// Tokens that a peer gets every second, up to [`BUDGET`].
pub const BUDGET_PER_SECOND: u32 = 16;
/// The price of a step of the handshake, which takes a signature: one a second in the long run.
pub const HANDSHAKE_COST: u32 = 16;
/// The price of a refused request.
pub(crate) const REFUSAL_COST: u32 = 1;
/// The price of a packet about unknown channels, and of a refused opening.
pub const UNKNOWN_CHANNEL_COST: u32 = 16;

/// The most log lines about strangers at once.
pub const STRANGER_LINES: u32 = 128;
/// Log lines about strangers that are added every second, up to [`STRANGER_LINES`].
pub const STRANGER_LINES_PER_SECOND: u32 = 1;

/// A token bucket, filled once a second.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    capacity: u32,
    per_second: u32,
    tokens: u32,
    /// When tokens were added last; `None` before the first use.
    filled_at: Option<Millis>,
}

impl TokenBucket {
    /// A full bucket.
    pub(crate) const fn new(capacity: u32, per_second: u32) -> Self {
        Self { capacity, per_second, tokens: capacity, filled_at: None }
    }

    /// Takes tokens. Returns whether there were enough; if not, the bucket is empty.
    pub(crate) fn try_take(&mut self, cost: u32, now: Millis) -> bool {
        let filled_at = *self.filled_at.get_or_insert(now);
        let seconds = now.saturating_sub(filled_at) / 1000;
        if seconds > 0 {
            let more = u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(self.per_second);
            self.tokens = self.tokens.saturating_add(more).min(self.capacity);
            self.filled_at = Some(now);
        }
        let is_enough = self.tokens >= cost;
        self.tokens = self.tokens.saturating_sub(cost);
        is_enough
    }
}

/// A peer's budget of refused requests.
#[derive(Debug)]
pub(crate) struct PeerBudget(pub(crate) TokenBucket);

impl Default for PeerBudget {
    fn default() -> Self {
        Self(TokenBucket::new(BUDGET, BUDGET_PER_SECOND))
    }
}

/// Limits the log lines about peers that this node has no channel with.
#[derive(Debug)]
pub(crate) struct LogLimiter {
    lines: TokenBucket,
    left_out: u64,
}

impl Default for LogLimiter {
    fn default() -> Self {
        Self { lines: TokenBucket::new(STRANGER_LINES, STRANGER_LINES_PER_SECOND), left_out: 0 }
    }
}

impl LogLimiter {
    /// Whether one more line may be written. Logs first how many were left out before.
    pub(crate) fn may_log(&mut self, now: Millis) -> bool {
        if !self.lines.try_take(1, now) {
            self.left_out += 1;
            return false;
        }
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            tracing::warn!(left_out, "strangers keep this node busy; not every line about them was written");
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_refills_with_time_and_never_holds_more_than_at_first() {
        let mut bucket = TokenBucket::new(1024, 16);
        assert!((0..1024).all(|_| bucket.try_take(1, 5000)));
        assert!(!bucket.try_take(1, 5000));
        assert!((0..2 * 16).all(|_| bucket.try_take(1, 7000)));
        assert!(!bucket.try_take(1, 7000));
        let much_later = 1_000_000_000;
        assert!(bucket.try_take(1024, much_later) && !bucket.try_take(1, much_later));
    }

    #[test]
    fn a_flood_of_log_lines_ends_and_the_lines_left_out_are_counted() {
        let mut limiter = LogLimiter::default();
        assert_eq!((0..10_000).filter(|_| limiter.may_log(0)).count(), STRANGER_LINES as usize);
        assert_eq!(limiter.left_out, 10_000 - u64::from(STRANGER_LINES));
        assert!(limiter.may_log(1000) && !limiter.may_log(1000));
        assert_eq!(limiter.left_out, 1, "the lines before were reported");
        let much_later = 1_000_000_000;
        assert_eq!((0..10_000).filter(|_| limiter.may_log(much_later)).count(), STRANGER_LINES as usize);
    }
}
