//! `RetryTimer`: when a question is asked again, and how often at the same time.

use crate::endpoint::Millis;

/// A question that is asked again and again: when, and how often at the same time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RetryTimer {
    in_flight: u8,
    asked_at: Millis,
    due_at: Millis,
}

/// How often the same question is asked at the same time.
pub(crate) const MAX_SAME: u8 = 8;

impl RetryTimer {
    /// Whether to ask now: it is due, and not under way, or under way for longer than usual.
    pub(crate) fn is_ready(&self, now: Millis, hedge: Millis) -> bool {
        now >= self.ready_at(hedge)
    }

    /// When to ask next.
    pub(crate) fn ready_at(&self, hedge: Millis) -> Millis {
        match self.in_flight {
            0 => self.due_at,
            MAX_SAME.. => Millis::MAX,
            _ => self.asked_at.saturating_add(hedge),
        }
    }

    /// Whether it is under way, for no longer than this.
    pub(crate) fn is_under_way(&self, now: Millis, no_longer: Millis) -> bool {
        self.in_flight > 0 && now < self.asked_at.saturating_add(no_longer)
    }

    pub(crate) fn asked(&mut self, now: Millis) {
        self.in_flight = self.in_flight.saturating_add(1);
        self.asked_at = now;
    }

    /// Takes an answer, or the end of the time for it; the question is due again at this time.
    pub(crate) fn answered(&mut self, due_at: Millis) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.due_at = due_at;
    }

    /// Makes the question due at this time, and not before.
    pub(crate) fn wait_until(&mut self, due_at: Millis) {
        self.due_at = due_at;
    }

    /// Makes the question due now.
    pub(crate) fn hurry(&mut self, now: Millis) {
        self.due_at = self.due_at.min(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_that_is_not_answered_is_asked_again_a_bounded_number_of_times() {
        let mut timer = RetryTimer::default();
        assert!(timer.is_ready(0, 200));
        timer.asked(0);
        assert!(!timer.is_ready(199, 200) && timer.is_ready(200, 200));
        (1..u64::from(MAX_SAME)).for_each(|time| timer.asked(200 * time));
        assert!(!timer.is_ready(1_000_000, 200));
        timer.answered(2_000);
        assert!(timer.is_ready(2_000, 200), "the others are still under way, for longer than usual");
    }
}
