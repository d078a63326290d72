//! How many of the account's transactions are mined, and how much ether it has, as the endpoints say.

use super::pending_call::{PendingCall, Stage};
use super::plan::USED_NONCE_GRACE;
use super::{Conditions, Transactions};
use crate::endpoint::Millis;
use crate::error::AskError;
use crate::question::EndpointAnswer;
use crate::retry_timer::RetryTimer;

/// What one endpoint says of the account's mined transactions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Count {
    pub(super) count: Option<u64>,
    /// A count that does not go on from that one, said once.
    pub(super) candidate: Option<u64>,
    pub(super) timer: RetryTimer,
    /// Whether the count at the newest block was refused, so that the one with what waits is asked for.
    pub(super) by_pending: bool,
    /// At which tick of the calls' clock it was taken last.
    pub(super) counted_at_tick: Option<u64>,
    /// When it was answered; and, once a question for the newest block was asked after that, the highest of
    /// the endpoint's heads that the count can be of.
    pub(super) at: Millis,
    pub(super) head: Option<u64>,
    pub(super) is_usable: bool,
    /// The account's ether.
    pub(super) balance: Option<u128>,
    /// The endpoint has refused a transaction because its nonce and all below are used: those below this one.
    pub(super) used_below: u64,
    /// The tick of the calls' clock that the endpoint's newest head stands for.
    pub(super) ticks: u64,
}

/// How many transactions may be mined between two counts.
const MOST_MINED: u64 = 16;

impl Count {
    /// Whether a count is taken for true: it goes on from the last one, or is said twice in a row.
    fn is_believed(&mut self, count: u64) -> bool {
        let goes_on =
            self.count.is_some_and(|before| (before..=before.saturating_add(MOST_MINED)).contains(&count));
        let is_believed = goes_on || self.candidate == Some(count);
        self.candidate = Some(count);
        is_believed
    }
}

impl Transactions {
    /// The lowest account nonce that is not mined. Endpoints that are behind say less; where they
    /// disagree for longer, each is believed in turn, so that a challenge reaches the honest ones.
    pub(super) fn base(&self, around: &Conditions) -> Option<u64> {
        let counts = self.different_counts();
        let highest = *counts.last()?;
        let turns = u64::try_from(counts.len()).unwrap_or(1);
        if !self.counts_take_turns() {
            return Some(highest);
        }
        // By the time, and not by ticks, of which an endpoint may make more or fewer: none waits for longer than half a block.
        let lasts = (around.turn_block_time / 2 / turns.saturating_sub(1).max(1)).max(1);
        counts.get(usize::try_from(around.now / lasts % turns).unwrap_or(0)).copied()
    }

    /// What the endpoints say, the lowest first.
    fn different_counts(&self) -> Vec<u64> {
        let usable = self.counts.iter().filter(|count| count.is_usable);
        let mut counts: Vec<_> = usable.filter_map(|count| count.count).collect();
        counts.sort_unstable();
        counts.dedup();
        counts
    }

    /// Whether the endpoints disagree for so long that each is believed in turn.
    fn counts_take_turns(&self) -> bool {
        self.disagreement.is_some_and(|since| self.tick >= since.saturating_add(2))
    }

    /// Whether an endpoint that is believed in turn with others says that this nonce is not used.
    pub(super) fn is_use_denied(&self, nonce: u64) -> bool {
        self.counts_take_turns() && self.different_counts().first().is_some_and(|least| nonce >= *least)
    }

    /// Notes how far the endpoints agree on the count.
    pub(super) fn note_disagreement(&mut self) {
        let usable = self.counts.iter().filter(|count| count.is_usable);
        let mut counts = usable.filter_map(|count| count.count);
        let first = counts.next();
        let differ = first.is_some_and(|first| counts.any(|count| count != first));
        self.disagreement = if differ { self.disagreement.or(Some(self.tick)) } else { None };
    }

    /// Takes an endpoint's count of mined transactions, or, where that is refused, of mined and waiting ones: of these
    /// the own ones are not mined.
    pub(super) fn counted(
        &mut self,
        endpoint: usize,
        is_pending: bool,
        result: &Result<EndpointAnswer, AskError>,
        around: &Conditions,
    ) {
        let used_below = self.counts.get(endpoint).map_or(0, |count| count.used_below);
        let (tick, lowest_own) = (self.tick, self.lowest_unmined(used_below));
        let Some(count) = self.counts.get_mut(endpoint) else { return };
        match result {
            Ok(EndpointAnswer::Number(number)) => {
                count.by_pending = false;
                let lowest = lowest_own.filter(|_| is_pending).unwrap_or(u64::MAX);
                if let Ok(number) = u64::try_from(*number).map(|number| number.min(lowest))
                    && count.is_believed(number)
                {
                    (count.count, count.counted_at_tick) = (Some(number), Some(tick));
                    (count.at, count.head) = (around.now, None);
                }
            }
            Err(AskError::Refused(_) | AskError::Invalid(_)) => count.by_pending = !is_pending,
            Ok(_) | Err(_) => {}
        }
        self.note_disagreement();
    }

    /// The lowest nonce of an own transaction that is not known to be mined, and that the endpoint does not say is
    /// used.
    fn lowest_unmined(&self, used_below: u64) -> Option<u64> {
        let waits = |entry: &&PendingCall| match entry.stage {
            Stage::Out => true,
            Stage::Obsolete => entry.mined_tx.is_none(),
            Stage::Preparing | Stage::Mined { .. } => false,
        };
        self.entries
            .iter()
            .filter(|entry| !entry.is_waiting)
            .filter(waits)
            .filter_map(PendingCall::nonce)
            .filter(|nonce| *nonce >= used_below)
            .min()
    }

    /// Whether no endpoint counts so few transactions that one with this nonce is not mined. An endpoint that has not
    /// answered of late is left out.
    pub(super) fn is_used_everywhere(&self, nonce: Option<u64>) -> bool {
        let is_fresh = |asked: u64| self.tick <= asked.saturating_add(USED_NONCE_GRACE);
        let counts =
            self.counts.iter().filter(|count| count.is_usable && count.counted_at_tick.is_some_and(is_fresh));
        counts.into_iter().all(|count| count.count > nonce)
    }

    /// The account's ether: the most that an endpoint says. One that says less would have challenges offer less.
    pub(super) fn balance(&self) -> Option<u128> {
        self.counts.iter().filter(|count| count.is_usable).filter_map(|count| count.balance).max()
    }

    /// An endpoint has said what its newest block is, to a question that was asked at this time.
    pub(crate) fn on_polled(&mut self, endpoint: usize, asked_at: Millis, head: u64) {
        if let Some(count) = self.counts.get_mut(endpoint).filter(|count| asked_at >= count.at) {
            count.head.get_or_insert(head);
        }
    }

    /// Which endpoints show the chain of this account now.
    pub(crate) fn set_usable(&mut self, endpoint: usize, is_usable: bool) {
        if let Some(count) = self.counts.get_mut(endpoint)
            && count.is_usable != is_usable
        {
            count.is_usable = is_usable;
            self.note_disagreement();
        }
    }
}
