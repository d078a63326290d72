//! So much at once, so much more every second, and never more than at first.

use tokio::time::Instant;

/// What is left of it.
#[derive(Debug)]
pub(super) struct Allowance {
    most: u32,
    per_second: u32,
    left: u32,
    since: Instant,
}

impl Allowance {
    pub(super) fn new(most: u32, per_second: u32) -> Self {
        Self { most, per_second, left: most, since: Instant::now() }
    }

    /// Takes some, and says whether there was enough.
    pub(super) fn spend(&mut self, cost: u32, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.since).as_secs();
        if seconds > 0 {
            let more = u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(self.per_second);
            self.left = self.left.saturating_add(more).min(self.most);
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
    fn it_ends_and_comes_back_with_time_but_never_more_than_at_first() {
        let mut allowance = Allowance::new(1024, 16);
        let start = allowance.since;
        assert!((0..1024).all(|_| allowance.spend(1, start)));
        assert!(!allowance.spend(1, start));
        let later = start + Duration::from_secs(2);
        assert!((0..2 * 16).all(|_| allowance.spend(1, later)));
        assert!(!allowance.spend(1, later));
        let much_later = later + Duration::from_secs(1_000_000);
        assert!(allowance.spend(1024, much_later) && !allowance.spend(1, much_later));
    }
}
