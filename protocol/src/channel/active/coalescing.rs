//! How long the next proposal waits for more payments after the own one was answered.
//!
//! Those whose payments were just answered often pay again at once. Over a slow network one receipt then serves
//! all of them, and not half of them each time; over a fast one the wait is no time at all.

use crate::channel::Millis;

/// The proposal goes out once no payment has come for the time that the answer took, divided by this.
const GAP_DIVISOR: u64 = 8;
/// The proposal waits no longer than the time that the answer took, divided by this.
const TOTAL_DIVISOR: u64 = 2;
/// The proposal never waits longer than this.
const AT_MOST: Millis = 50;

/// The next proposal waits for more payments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coalescing {
    /// When the proposal goes out if no other payment comes.
    pub(super) until: Millis,
    /// By how much each payment that comes moves `until`, at most to `end`.
    gap: Millis,
    /// When the proposal goes out at the latest.
    end: Millis,
    /// With how many payments the proposal goes out at once.
    enough: usize,
}

impl Coalescing {
    /// Returns the wait after an answer that took so long, until so many payments are there; `None` if the
    /// answer came so fast that waiting is not worthwhile.
    pub(super) fn after(took: Millis, enough: usize, now: Millis) -> Option<Self> {
        let took = took.min(AT_MOST * TOTAL_DIVISOR);
        let gap = took / GAP_DIVISOR;
        let end = now.saturating_add(took / TOTAL_DIVISOR);
        (gap > 0).then(|| Self { until: now.saturating_add(gap), gap, end, enough })
    }

    /// A payment has come.
    pub(super) fn extend(&mut self, now: Millis) {
        self.until = now.saturating_add(self.gap).min(self.end);
    }

    /// Whether the proposal still waits, with so many payments in the queue.
    pub(super) const fn is_waiting(&self, queued: usize, now: Millis) -> bool {
        self.until > now && queued < self.enough
    }
}
