//! `now_ms`: the time since 1970 as a clock that never goes back.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use thunder_guard::Millis;

/// Returns the milliseconds since 1970 by a clock that never goes back. When the system's clock is set back, this one
/// goes on, so that no timer stalls; and unlike [`Instant`] it counts the time for which the machine was suspended, so
/// that what was read before is not taken for fresh (guard rule G8).
pub fn now_ms() -> Millis {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    /// The largest difference so far between the system's clock and the time since the start.
    static AHEAD: AtomicU64 = AtomicU64::new(0);
    let millis = |elapsed: Duration| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let running = millis(BEGUN.get_or_init(Instant::now).elapsed());
    let clock = millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    let ahead = clock.saturating_sub(running);
    running.saturating_add(AHEAD.fetch_max(ahead, Ordering::Relaxed).max(ahead))
}
