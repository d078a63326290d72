//! How many lines of the log strangers may cause.

use tokio::time::Instant;

use super::allowance::Allowance;

/// Lines of the log about nodes that this one has no channel with: so many at once.
pub const LINES: u32 = 128;
/// As many more every second.
pub const LINES_PER_SECOND: u32 = 1;

/// What may still be said of strangers, and what was left out.
#[derive(Debug)]
pub(super) struct Chatter {
    lines: Allowance,
    left_out: u64,
}

impl Default for Chatter {
    fn default() -> Self {
        Self { lines: Allowance::new(LINES, LINES_PER_SECOND), left_out: 0 }
    }
}

impl Chatter {
    /// Whether one more line may be written. Says first how many were left out.
    pub(super) fn may_say(&mut self, now: Instant) -> bool {
        if !self.lines.spend(1, now) {
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_of_lines_ends_and_what_was_left_out_is_counted() {
        let mut chatter = Chatter::default();
        let start = Instant::now();
        assert_eq!((0..10_000).filter(|_| chatter.may_say(start)).count(), LINES as usize);
        assert_eq!(chatter.left_out, 10_000 - u64::from(LINES));
        let later = start + Duration::from_secs(1);
        assert!(chatter.may_say(later) && !chatter.may_say(later));
        assert_eq!(chatter.left_out, 1, "those before were said");
        let much_later = later + Duration::from_secs(1_000_000);
        assert_eq!((0..10_000).filter(|_| chatter.may_say(much_later)).count(), LINES as usize);
    }
}
