//! One channel's state out of what several endpoints show of it (guard rule G6).

use crate::state::StorageState;

/// A channel's state as one endpoint shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The block that it was first read at in this state.
    pub(crate) since: u64,
    /// The block that it was last read at.
    pub(crate) block: u64,
    /// The state.
    pub(crate) state: StorageState,
}

impl Reading {
    /// Takes a newer reading of the same endpoint.
    pub(crate) fn next(earlier: Option<&Self>, block: u64, state: StorageState) -> Self {
        let since = match earlier {
            Some(earlier) if earlier.state == state => earlier.since.min(block),
            _ => block,
        };
        Self { since, block, state }
    }

    /// The first block at which the channel was in this state for certain.
    fn begins(&self) -> u64 {
        match self.state {
            StorageState::Closing { block, .. } => block.min(self.since),
            _ => self.since,
        }
    }

    /// Whether both can't be true: they show different states at the same block.
    fn contradicts(&self, other: &Self) -> bool {
        self.state != other.state && self.begins() <= other.block && other.begins() <= self.block
    }
}

/// What the endpoints show together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nobody has read it.
    Unread,
    /// All show the same.
    Agreed(Reading),
    /// They differ, and some of them may just be behind: wait.
    Behind,
    /// They contradict each other.
    Contradiction {
        /// What is believed: what most of them show, or, if the contradiction lasts, what costs least if
        /// it is false.
        believed: Option<Reading>,
    },
}

/// Judges the readings of the endpoints that are up to date. `is_late`: whether those that are only behind have had
/// time to catch up. `lasts`: whether the contradiction, if there is one, has lasted for a while.
pub(crate) fn reconcile(readings: &[Reading], is_late: bool, lasts: bool) -> Verdict {
    let Some(newest) = readings.iter().max_by_key(|reading| reading.block) else { return Verdict::Unread };
    if readings.iter().all(|reading| reading.state == newest.state) {
        let since = readings.iter().map(|reading| reading.since).min().unwrap_or(newest.since);
        return Verdict::Agreed(Reading { since, ..*newest });
    }
    let contradict = readings
        .iter()
        .enumerate()
        .any(|(index, one)| readings[index + 1..].iter().any(|other| one.contradicts(other)));
    if !contradict && !is_late {
        return Verdict::Behind;
    }
    let votes = |state: &StorageState| readings.iter().filter(|reading| reading.state == *state).count();
    let majority = readings.iter().find(|reading| 2 * votes(&reading.state) > readings.len()).copied();
    Verdict::Contradiction { believed: majority.or_else(|| lasts.then(|| least_harm(readings)).flatten()) }
}

/// The state to go on with where the endpoints are divided for long. Nothing is signed over the channel
/// meanwhile. Before a channel is in use, the earlier state: nothing is built on an opening that is
/// doubted. After that what was believed before: a closing that is doubted is answered without being
/// believed, and an end that is doubted ends nothing.
fn least_harm(readings: &[Reading]) -> Option<Reading> {
    const ACTIVE: u8 = 2;
    if readings.iter().any(|reading| reading.state.stage() > ACTIVE) {
        return None;
    }
    readings.iter().min_by_key(|reading| reading.state.stage()).copied()
}

#[cfg(test)]
mod tests {
    use thunder_protocol::{Amount, Balances, Nonce, Role};

    use super::*;

    fn shares() -> Balances {
        Balances { a: Amount::ONE_THD, b: Amount::ZERO }
    }

    fn active(since: u64, block: u64) -> Reading {
        Reading { since, block, state: StorageState::Active { paid_in: shares() } }
    }

    fn closing(at: u64, since: u64, block: u64) -> Reading {
        let state =
            StorageState::Closing { closer: Role::A, nonce: Nonce::ZERO, balances: shares(), block: at };
        Reading { since, block, state }
    }

    fn missing(since: u64, block: u64) -> Reading {
        Reading { since, block, state: StorageState::Missing }
    }

    #[test]
    fn g6_one_endpoint_is_believed_as_far_as_it_answers_at_all() {
        assert_eq!(reconcile(&[], false, false), Verdict::Unread);
        assert_eq!(reconcile(&[active(1, 9)], false, false), Verdict::Agreed(active(1, 9)));
    }

    #[test]
    fn g6_who_is_behind_contradicts_nobody() {
        assert_eq!(reconcile(&[active(1, 9), closing(10, 10, 10)], false, true), Verdict::Behind);
        assert_eq!(reconcile(&[active(1, 9), active(3, 8)], false, false), Verdict::Agreed(active(1, 9)));
    }

    #[test]
    fn g6_a_closing_that_one_endpoint_hides_is_believed_by_majority_only() {
        let hides = active(1, 10);
        let shows = closing(10, 11, 11);
        assert_eq!(reconcile(&[hides, shows], false, false), Verdict::Contradiction { believed: None });
        assert_eq!(
            reconcile(&[hides, shows], false, true),
            Verdict::Contradiction { believed: None },
            "a claim"
        );
        assert_eq!(
            reconcile(&[hides, shows, closing(10, 12, 12)], false, false),
            Verdict::Contradiction { believed: Some(shows) }
        );
        assert_eq!(
            reconcile(&[hides, shows, active(1, 12)], false, true),
            Verdict::Contradiction { believed: Some(hides) },
            "most of them say that it is open"
        );
    }

    #[test]
    fn g6_a_closing_in_a_block_that_is_far_away_outvotes_nobody_for_long() {
        let far = closing(u64::from(u32::MAX), 1 << 40, 1 << 40);
        let shows = closing(10, 11, 12);
        assert_eq!(reconcile(&[shows, shows, far], false, false), Verdict::Behind);
        assert_eq!(
            reconcile(&[shows, shows, far], true, false),
            Verdict::Contradiction { believed: Some(shows) }
        );
    }

    #[test]
    fn g6_nothing_is_built_on_an_opening_that_another_endpoint_does_not_show() {
        let (not, yes) = (missing(1, 12), active(10, 12));
        assert_eq!(reconcile(&[not, yes], false, true), Verdict::Contradiction { believed: Some(not) });
    }

    #[test]
    fn a_state_lasts_from_when_it_was_first_read() {
        let first = Reading::next(None, 5, StorageState::Missing);
        let second = Reading::next(Some(&first), 7, StorageState::Missing);
        assert_eq!((second.since, second.block), (5, 7));
        assert_eq!(Reading::next(Some(&second), 8, active(0, 0).state).since, 8);
    }
}
