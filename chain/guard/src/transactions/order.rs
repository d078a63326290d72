//! Which challenges come first, and how many are out at once (guard rules G4 and G6).
//!
//! An endpoint can invent a closing of each channel: that must neither fill a mempool's places for the account before
//! a true closing's challenge gets one, nor keep any challenge waiting for ever.

use std::cmp::Reverse;

use super::Conditions;
use super::pending_call::{PendingCall, rank};
use crate::endpoint::Millis;

/// How many challenges of contested closings are out at once.
pub const CONTESTED_AT_ONCE: usize = 12;
/// For how many blocks' time, a fraction, one of these is out while others wait. Whether the contract has refused it, an
/// endpoint that counts too few transactions can leave open for ever. While counts differ, half a block's time may pass
/// until the true one is believed; a block comes within the next one; and a quarter is for sending.
const TURN: (Millis, Millis) = (7, 4);
/// How many challenges that no endpoint has taken yet are out at once: mempools may give an account no more places.
pub const NOT_TAKEN_AT_ONCE: usize = 16;
/// How many challenges are of the same importance. Those in the lowest nonces are within the places that a mempool
/// guarantees an account.
const SAME: usize = 8;
/// For how many blocks' time a turn counts. A claim that comes again later is as good as new.
const REMEMBERED: u64 = 24;

/// The order of calls, the first first: challenges before closings before the rest; of challenges those of closings
/// that are believed, then those that had no turn of late (so that each has its turn before another has its second), the
/// one with the turn longest ago first; among equals the channel that holds the most.
pub(super) fn importance(entry: &PendingCall, around: &Conditions) -> (u8, bool, u64, Reverse<u128>, u64) {
    let held = entry.request.as_ref().map_or(0, |request| request.terms.amount.base_units());
    let remembered = around.turn_block_time.saturating_mul(REMEMBERED);
    let had_turn = entry.turn_ended_at.filter(|at| at.saturating_add(remembered) > around.now);
    (rank(entry.key.kind.0), entry.is_contested(), had_turn.unwrap_or(0), Reverse(held), entry.order)
}

/// Ends the turns of contested challenges that were out for long enough, if others wait.
pub(super) fn end_turns(entries: &mut [PendingCall], around: &Conditions) {
    if !entries.iter().any(|entry| entry.is_waiting) {
        return;
    }
    let lasts = around.turn_block_time.saturating_mul(TURN.0) / TURN.1;
    for entry in entries {
        if entry.turn_since.is_some_and(|since| around.now >= since.saturating_add(lasts)) {
            (entry.turn_since, entry.turn_ended_at) = (None, Some(around.now));
        }
    }
}

/// Hands out tiers to challenges that come in the order of their importance.
#[derive(Debug, Default)]
pub(super) struct Turns {
    tier: usize,
    in_tier: usize,
    last: Option<(bool, bool)>,
    contested: usize,
    not_taken: usize,
}

impl Turns {
    /// The call keeps its place, though it has no nonce now.
    pub(super) fn keep(&mut self, entry: &PendingCall) {
        self.contested += usize::from(entry.turn_since.is_some());
    }

    /// The tier of the next challenge; `None` if it has to wait.
    pub(super) fn tier(&mut self, entry: &PendingCall) -> Option<usize> {
        let is_contested = entry.is_contested();
        let is_taken = !entry.takers.is_empty();
        let lacks_room = !is_taken && self.not_taken >= NOT_TAKEN_AT_ONCE;
        if lacks_room || (is_contested && self.contested >= CONTESTED_AT_ONCE) {
            return None;
        }
        self.contested += usize::from(is_contested);
        self.not_taken += usize::from(!is_taken);
        // A challenge that was refused before is raised slowly: none that is raised fast stands above it.
        let group = (is_contested, entry.reverts > 0);
        if self.in_tier >= SAME || self.last.is_some_and(|last| last != group) {
            (self.tier, self.in_tier) = (self.tier + 1, 0);
        }
        (self.last, self.in_tier) = (Some(group), self.in_tier + 1);
        Some(self.tier)
    }
}
