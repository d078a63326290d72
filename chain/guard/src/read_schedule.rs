//! Which channels to read next at one endpoint (guard rules G1 and G2).
//!
//! Every channel within four blocks, those with something under way with each block, those with something to lose
//! before the rest.

use std::collections::{BTreeSet, HashSet, VecDeque};

use thunder_protocol::Address;

use crate::endpoint::Millis;
use thunder_protocol::Stake;

/// Within how many blocks every channel is read.
pub(crate) const READ_WITHIN: u64 = 4;
/// How many calls with full batches are under way at one endpoint.
pub(crate) const MAX_BATCHES: usize = 3;
/// How many channels are read one by one at the same time, where an endpoint can't read many at once.
pub(crate) const MAX_SINGLE: usize = 6;
/// Up to this many calls, all channels are read with each block.
const ALL_IN_CALLS: usize = 2;

/// The order of reading at one endpoint.
#[derive(Debug, Default)]
pub(crate) struct ReadSchedule {
    /// Channels by stake, longest unread first.
    at_risk: VecDeque<Address>,
    others: VecDeque<Address>,
    /// To be read now, each channel once: an endpoint that has the same asked again and again makes nothing grow.
    due: VecDeque<Address>,
    is_queued: HashSet<Address>,
    /// Under way.
    in_flight: usize,
    /// The head for which `due` was filled, and whether with every channel.
    filled_for: Option<u64>,
    filled_all: bool,
    /// The number of the present round. A round is over when every channel was read in it.
    pub(crate) round: u64,
    /// How many channels are still to be read in it.
    left: usize,
    started_at: Millis,
    /// When the last round that is over was begun, and at which block.
    pub(crate) complete: Option<(Millis, u64)>,
    started_block: u64,
}

impl ReadSchedule {
    /// Begins anew with these channels.
    pub(crate) fn restart(&mut self, at_risk: Vec<Address>, others: Vec<Address>, urgent: usize) {
        let left = at_risk.len() + others.len() + urgent;
        *self = Self {
            at_risk: at_risk.into(),
            others: others.into(),
            round: self.round + 1,
            left,
            in_flight: self.in_flight,
            ..Self::default()
        };
    }

    /// A channel is to be read from now on. An urgent one is not in the rotation.
    pub(crate) fn add(&mut self, channel: Address, stake: Stake, is_new: bool) {
        match stake {
            Stake::Urgent => self.again(&[channel]),
            Stake::AtRisk => self.at_risk.push_back(channel),
            Stake::Nothing => self.others.push_back(channel),
        }
        if is_new {
            self.left += 1;
        }
    }

    /// A channel that was not read in this round is not watched any more.
    pub(crate) fn forget_unread(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    /// The endpoint has a new head: fills what is due. `is_in(channel, stake)` tells whether a channel
    /// still belongs into the rotation of this stake.
    pub(crate) fn fill(
        &mut self,
        head: u64,
        now: Millis,
        batch: usize,
        urgent: &BTreeSet<Address>,
        is_in: impl Fn(&Address, Stake) -> bool,
    ) {
        let passed = match self.filled_for {
            None => READ_WITHIN,
            Some(before) => head.abs_diff(before).clamp(1, READ_WITHIN),
        };
        if self.filled_for.is_none() {
            (self.started_at, self.started_block) = (now, head);
        }
        (self.filled_for, self.filled_all) = (Some(head), false);
        // What was not read since the last head is read before more is added, the urgent ones first.
        let waiting = self.due.len();
        let mut due: VecDeque<_> = urgent.iter().copied().collect();
        due.extend(self.due.drain(..).filter(|channel| !urgent.contains(channel)));
        self.due = due;
        self.is_queued.extend(urgent);
        if waiting > batch.max(1) * MAX_BATCHES {
            return;
        }
        let all = self.at_risk.len() + self.others.len();
        let share = if all <= batch * ALL_IN_CALLS { READ_WITHIN } else { passed };
        self.rotate(share, is_in);
    }

    /// The head stays what it is: what is left of the round is read without waiting for the next.
    pub(crate) fn fill_rest(&mut self, head: u64, is_in: impl Fn(&Address, Stake) -> bool) {
        let is_read = self.is_over() || self.complete.is_some_and(|(_, block)| block == head);
        if is_read || self.filled_all || self.is_due() || self.in_flight > 0 {
            return;
        }
        self.filled_all = true;
        self.rotate(READ_WITHIN, is_in);
    }

    /// Makes this share of each rotation due.
    fn rotate(&mut self, share: u64, is_in: impl Fn(&Address, Stake) -> bool) {
        for stake in [Stake::AtRisk, Stake::Nothing] {
            let rotation = match stake {
                Stake::AtRisk => &mut self.at_risk,
                Stake::Urgent | Stake::Nothing => &mut self.others,
            };
            let length = u64::try_from(rotation.len()).unwrap_or(u64::MAX);
            let count = length.saturating_mul(share).div_ceil(READ_WITHIN);
            for _ in 0..count {
                let Some(channel) = rotation.pop_front() else { break };
                if !is_in(&channel, stake) {
                    continue;
                }
                rotation.push_back(channel);
                if self.is_queued.insert(channel) {
                    self.due.push_back(channel);
                }
            }
        }
    }

    /// Takes up to `most` channels that are due and still watched.
    pub(crate) fn take(&mut self, most: usize, is_watched: impl Fn(&Address) -> bool) -> Vec<Address> {
        let mut taken = Vec::new();
        while taken.len() < most
            && let Some(channel) = self.due.pop_front()
        {
            self.is_queued.remove(&channel);
            if is_watched(&channel) {
                taken.push(channel);
            }
        }
        if !taken.is_empty() {
            self.in_flight += 1;
        }
        taken
    }

    /// The same channels are asked for once more.
    pub(crate) fn asked_again(&mut self) {
        self.in_flight += 1;
    }

    /// An answer came, or none.
    pub(crate) fn answered(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    pub(crate) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(crate) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// These could not be read: they are the first to be read again.
    pub(crate) fn again(&mut self, channels: &[Address]) {
        if channels.iter().any(|channel| self.is_queued.contains(channel)) {
            let again: HashSet<_> = channels.iter().collect();
            self.due.retain(|channel| !again.contains(channel));
        }
        self.is_queued.extend(channels);
        channels.iter().rev().for_each(|channel| self.due.push_front(*channel));
    }

    /// A channel was read for the first time in this round, or can't be read at all. Returns whether the
    /// round is over.
    pub(crate) fn read(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left == 0
    }

    /// Whether what is due at this head was made due.
    pub(crate) fn is_filled_for(&self, head: u64) -> bool {
        self.filled_for == Some(head)
    }

    /// Whether every channel was read in this round.
    pub(crate) const fn is_over(&self) -> bool {
        self.left == 0 && self.filled_for.is_some()
    }

    /// The round is over; the next begins, with so many channels.
    pub(crate) fn next_round(&mut self, channels: usize, head: u64, now: Millis) {
        self.complete = Some((self.started_at, self.started_block));
        self.round += 1;
        (self.left, self.started_at, self.started_block) = (channels, now, head);
    }

    /// The head is still the same as when all was read: it is as good as read now.
    pub(crate) fn confirm(&mut self, head: u64, now: Millis) {
        if let Some((at, block)) = &mut self.complete
            && *block == head
        {
            *at = now;
        }
    }

    /// When all was last read at this endpoint.
    pub(crate) fn read_at(&self) -> Option<Millis> {
        self.complete.map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(from: u64, count: u64) -> Vec<Address> {
        (from..from + count).map(|n| Address::left_padding_from(&n.to_be_bytes())).collect()
    }

    fn drain(schedule: &mut ReadSchedule) -> Vec<Address> {
        let taken = schedule.take(usize::MAX, |_| true);
        schedule.answered();
        taken
    }

    #[test]
    fn g1_every_channel_is_read_within_four_blocks_and_those_at_risk_first() {
        let mut schedule = ReadSchedule::default();
        schedule.restart(channels(0, 5_000), channels(10_000, 5_000), 0);
        let mut seen = HashSet::new();
        let none = BTreeSet::new();
        schedule.fill(100, 0, 767, &none, |_, _| true);
        assert_eq!(drain(&mut schedule).len(), 10_000, "all, after a start");
        for head in 101..=104 {
            schedule.fill(head, 0, 767, &none, |_, _| true);
            let due = drain(&mut schedule);
            assert_eq!(due.len(), 2_500);
            assert!(due[..1_250].iter().all(|channel| *channel < channels(10_000, 1)[0]), "at risk first");
            seen.extend(due);
        }
        assert_eq!(seen.len(), 10_000);
        schedule.fill(120, 0, 767, &none, |_, _| true);
        assert_eq!(drain(&mut schedule).len(), 10_000, "blocks that were missed count");
    }

    #[test]
    fn g1_what_fits_into_two_calls_is_read_with_each_block() {
        let mut schedule = ReadSchedule::default();
        schedule.restart(channels(0, 34), channels(100, 1_500), 0);
        for head in 0..3 {
            schedule.fill(head, 0, 767, &BTreeSet::new(), |_, _| true);
            assert_eq!(drain(&mut schedule).len(), 1_534);
        }
    }

    #[test]
    fn g2_what_can_not_be_read_in_time_keeps_nothing_urgent_waiting() {
        let mut schedule = ReadSchedule::default();
        schedule.restart(vec![], channels(0, 10_000), 1);
        let urgent: BTreeSet<_> = channels(50_000, 1).into_iter().collect();
        for head in 0..50 {
            schedule.fill(head, 0, 100, &urgent, |_, _| true);
            assert_eq!(schedule.take(1, |_| true), channels(50_000, 1));
        }
        assert!(schedule.due.len() <= 10_000, "no channel is due twice");
    }

    #[test]
    fn g5_what_is_to_be_read_again_is_due_once_and_first() {
        let mut schedule = ReadSchedule::default();
        schedule.restart(channels(0, 1_000), vec![], 0);
        schedule.fill(1, 0, 767, &BTreeSet::new(), |_, _| true);
        // Answers of no use to eight copies of a question.
        (0..8).for_each(|_| schedule.again(&channels(900, 100)));
        assert_eq!((schedule.due.len(), schedule.is_queued.len()), (1_000, 1_000));
        assert_eq!(schedule.take(100, |_| true), channels(900, 100));
        schedule.fill(2, 0, 767, &BTreeSet::new(), |_, _| true);
        assert_eq!(schedule.due.len(), 1_000);
    }

    #[test]
    fn g7_a_round_is_over_when_every_channel_was_read_in_it() {
        let mut schedule = ReadSchedule::default();
        schedule.restart(channels(0, 2), vec![], 1);
        schedule.fill(7, 1000, 767, &BTreeSet::new(), |_, _| true);
        assert!(!schedule.read() && !schedule.read() && schedule.read());
        assert_eq!(schedule.read_at(), None);
        schedule.next_round(3, 8, 2000);
        assert_eq!((schedule.read_at(), schedule.complete), (Some(1000), Some((1000, 7))));
        schedule.confirm(8, 3000);
        assert_eq!(schedule.read_at(), Some(1000), "there were blocks since");
        schedule.confirm(7, 3000);
        assert_eq!(schedule.read_at(), Some(3000));
    }

    #[test]
    fn a_channel_that_changes_its_stake_leaves_its_rotation() {
        let mut schedule = ReadSchedule::default();
        schedule.restart(channels(0, 3), vec![], 0);
        schedule.add(channels(0, 1)[0], Stake::Nothing, false);
        let is_in =
            |channel: &Address, stake: Stake| (*channel == channels(0, 1)[0]) == (stake == Stake::Nothing);
        schedule.fill(1, 0, 767, &BTreeSet::new(), is_in);
        assert_eq!(drain(&mut schedule).len(), 3);
        assert_eq!((schedule.at_risk.len(), schedule.others.len()), (2, 1));
    }
}
