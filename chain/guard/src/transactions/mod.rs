//! `Transactions`: contract calls that are sent until they are mined (guard rule G4).
//!
//! It is the one place that owns the account's nonces.
//!
//! Invariants, beside those of `nonces`:
//!
//! 1. What was not written to disk is never sent.
//! 2. A channel has one call of each kind under way.
//! 3. A replacement pays at least an eighth more than everything that was signed for its nonce, as far as
//!    invariant 4 allows it, unless an endpoint says that the account can't pay that.
//! 4. Nothing pays more than the cap of its kind.
//! 5. A challenge waits for no answer but the first count of mined transactions.
//! 6. A call that every endpoint refuses for good holds no nonce, unless it is a challenge or a closing:
//!    these are made anew with each block.
//! 7. A call is forgotten only when it is deep in the chain, can have no effect any more, or was refused
//!    for good.
//!
//! The same call in two transactions has no second effect: the contract's states, the salt and the
//! permit's nonce see to that.

mod broadcast;
mod counts;
mod effects;
pub mod fees;
mod nonces;
mod order;
mod pending_call;
mod plan;
mod questions;
mod record;
mod refusal;
mod sign;

use std::collections::VecDeque;

use thunder_protocol::onchain::{CHALLENGE_PERIOD, CallKind, EndKind, OnChain};
use thunder_protocol::{Address, B256};

pub use effects::{CallError, CallOutcome, CallRequest};
pub use fees::{Fees, GasFunds, gas_limit};
pub use order::{CONTESTED_AT_ONCE, NOT_TAKEN_AT_ONCE};
pub use record::{Attempt, SignedCall};
pub use sign::{CantSign, PlainSigner, PlainTransaction};

pub(crate) use effects::Effect;
pub(crate) use pending_call::Key;
pub(crate) use questions::TransactionQuestion;
pub(crate) use sign::TransactionSigner;

use crate::endpoint::Millis;
use crate::retry_timer::RetryTimer;
use crate::state::StorageState;
use counts::Count;
use fees::Market;
use pending_call::{PendingCall, Stage};

/// A transaction of the own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnTx {
    pub(crate) hash: B256,
    /// Whether it is seen in a block.
    pub(crate) is_mined: bool,
    /// Whether it is this one, if its call had the effect at all.
    pub(crate) is_certain: bool,
}

/// What is known of the chain while calls are planned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions {
    pub(crate) now: Millis,
    /// The number of the newest block at which everything that is due is read.
    pub(crate) head: u64,
    /// The number of the newest block that any endpoint shows.
    pub(crate) newest: u64,
    /// The base fee of the newest block.
    pub(crate) base_fee: Option<u128>,
    /// Whether there are blocks at all: without one nothing is signed.
    pub(crate) has_head: bool,
    /// Whether the node has handled all that was read since the start.
    pub(crate) is_released: bool,
    /// The time between two blocks: of several endpoints the one in the middle, of two the longer.
    pub(crate) block_time: Millis,
    /// The time that a block is waited for in a turn: the longest that an endpoint shows, at most 12 s.
    pub(crate) turn_block_time: Millis,
    /// How long optional advice is waited for.
    pub(crate) timeout: Millis,
}

/// The calls of one account on one chain.
#[derive(Debug)]
pub(crate) struct Transactions {
    account: TransactionSigner,
    confirmations: u64,
    entries: Vec<PendingCall>,
    next_order: u64,
    /// By endpoint: how many of the account's transactions are mined there.
    counts: Vec<Count>,
    /// How many there are with those that wait, as one endpoint said, and at which tick.
    pending: Option<(u64, u64)>,
    pending_timer: RetryTimer,
    /// The tip, or gas price, as last suggested, and at which tick.
    suggested: Option<u128>,
    suggesting: RetryTimer,
    suggested_at_tick: Option<u64>,
    /// The clock of the calls: it ticks with each new head of the chain, however many endpoints show it. The newest tick,
    /// and when it was.
    tick: u64,
    ticked_at: Millis,
    /// Since which tick the endpoints disagree on the count.
    disagreement: Option<u64>,
    /// The lowest free nonce below one of the own, and since which tick.
    gap: Option<(u64, u64)>,
    /// When there first was a block.
    began: Option<Millis>,
    /// Whether ordinary calls still wait for the node to have seen every channel: after a start a challenge
    /// goes ahead of what was under way.
    is_held: bool,
    effects: VecDeque<Effect>,
}

/// How deep a mined transaction is before it is forgotten, in blocks beyond the confirmations.
const FORGET_AFTER: u64 = 32;
/// How far the block of a reading may be from the truth.
const FAR: u64 = 64;
/// How many ticks the receipt of a call that had its effect may take to be shown.
const FIND_WITHIN: u64 = 3;
/// A transaction that no endpoint takes for this long is worth a word.
const NOT_TAKEN_FOR: Millis = 3_000;
/// After how many ticks a challenge that was mined without effect is made again, at most: a third of a challenge period.
const LONGEST_SPACING: u64 = 8;

/// After how many ticks a challenge that the contract has refused so often is made again. A closing that an endpoint
/// invents costs gas as long as the endpoint is listened to, but keeps no challenge from a true one.
fn spacing(reverts: u8) -> u64 {
    1_u64.checked_shl(u32::from(reverts)).unwrap_or(LONGEST_SPACING).min(LONGEST_SPACING)
}

impl Transactions {
    pub(crate) fn new(
        account: TransactionSigner,
        confirmations: u64,
        endpoints: usize,
        sent: Vec<SignedCall>,
    ) -> Self {
        let mut sent = sent;
        sent.sort_by_key(|sent| sent.nonce);
        let entries: Vec<_> =
            sent.into_iter().zip(0..).map(|(sent, order)| PendingCall::resumed(sent, order)).collect();
        Self {
            account,
            confirmations,
            next_order: u64::try_from(entries.len()).unwrap_or(u64::MAX),
            entries,
            counts: vec![Count::default(); endpoints],
            pending: None,
            pending_timer: RetryTimer::default(),
            suggested: None,
            suggesting: RetryTimer::default(),
            suggested_at_tick: None,
            tick: 0,
            ticked_at: 0,
            disagreement: None,
            gap: None,
            began: None,
            is_held: true,
            effects: VecDeque::new(),
        }
    }

    pub(crate) fn account(&self) -> Address {
        self.account.address()
    }

    pub(crate) const fn chain_id(&self) -> u64 {
        self.account.chain_id()
    }

    /// Makes a call, unless the same is under way. `is_believed`: whether the channel is believed to be closing.
    pub(crate) fn submit(&mut self, request: CallRequest, is_believed: bool, around: &Conditions) {
        let key = Key::new(request.terms.channel, request.call.kind());
        let Some(index) = self.entries.iter().position(|entry| entry.key == key) else {
            return self.enter(request, is_believed, around);
        };
        let Some(entry) = self.entries.get_mut(index) else { return };
        match entry.stage {
            Stage::Preparing if entry.sent.is_none() => entry.request = Some(request),
            Stage::Preparing | Stage::Out => self.replace(index, request),
            // It was mined without effect just now.
            Stage::Mined { .. } | Stage::Obsolete if key.is_urgent() && self.tick < entry.retry_at_tick => {}
            // The channel was not read since then: its effect is still to be seen. Should the chain take it
            // back, the newer order counts.
            Stage::Mined { block } if entry.needed_at.is_none_or(|read_at| read_at < block) => {
                self.replace(index, request);
            }
            // More is paid in.
            Stage::Mined { .. } | Stage::Obsolete if key.kind.0 == CallKind::Fund => {
                self.forget(index);
                self.enter(request, is_believed, around);
            }
            // It had no effect, or the chain took it back.
            Stage::Mined { .. } | Stage::Obsolete => {
                (entry.stage, entry.ordered_at_tick, entry.nonce_used_at_tick) =
                    (Stage::Out, self.tick, None);
                (entry.reason, entry.not_taken, entry.in_vain) = (None, None, None);
                self.replace(index, request);
            }
        }
    }

    fn enter(&mut self, request: CallRequest, is_believed: bool, around: &Conditions) {
        let order = self.next_order;
        self.next_order += 1;
        let until = around.now.saturating_add(around.timeout);
        let call = PendingCall::new(request, order, self.tick, until);
        self.entries.push(PendingCall { is_believed, ..call });
    }

    /// A call that is signed already is ordered again. If it is to do something else now (close on another
    /// receipt), it is signed anew, at a higher fee where the old transaction may still wait.
    fn replace(&mut self, index: usize, request: CallRequest) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        let is_replaced = matches!(entry.key.kind.0, CallKind::Challenge | CallKind::Close);
        if let Some(sent) = entry.sent.as_mut().filter(|_| is_replaced)
            && let Ok((to, data)) = self.account.calldata(&request.terms, &request.call, 0)
            && (sent.to, &sent.data) != (to, &data)
        {
            (sent.to, sent.data) = (to, data);
            (entry.wants_raise, entry.raises, entry.raised_at) = (true, 0, None);
        }
        entry.request = Some(request);
    }

    /// An endpoint has a new head: what was asked for the last may be asked again. The same block at other
    /// endpoints is no further step of the clock.
    pub(crate) fn on_head(&mut self, endpoint: usize, around: &Conditions) {
        let is_one_of_several = self.counts.len() > 1;
        let Some(count) = self.counts.get_mut(endpoint) else { return };
        // One that was away, or came later, goes on from where the others are.
        count.ticks = count.ticks.max(self.tick.saturating_sub(1)).saturating_add(1);
        // Nor is one that makes blocks faster than the others, or than it says.
        let is_early = is_one_of_several && around.now < self.ticked_at.saturating_add(around.block_time / 2);
        if count.ticks <= self.tick || (is_early && self.tick > 0) {
            count.ticks = count.ticks.min(self.tick);
            return;
        }
        (self.tick, self.ticked_at) = (count.ticks, around.now);
        let deep = self.confirmations.saturating_add(FORGET_AFTER);
        let base = self.base(around);
        for entry in &mut self.entries {
            entry.receipts_asked.clear();
            entry.raises = 0;
            alarm(entry, self.tick, &mut self.effects);
        }
        let mut index = 0;
        while let Some(entry) = self.entries.get(index) {
            let is_deep = match entry.stage {
                Stage::Mined { block } => around.head >= block.saturating_add(deep),
                // Its nonces are used, so that none of its transactions can be mined any more; if one of
                // them is, there was time to find it.
                Stage::Obsolete => {
                    let is_used = |sent: &SignedCall| base.is_some_and(|base| sent.highest_nonce() < base);
                    let waited = self.tick.saturating_sub(entry.nonce_used_at_tick.unwrap_or(self.tick));
                    entry.sent.as_ref().is_none_or(|sent| is_used(sent) && waited >= FIND_WITHIN)
                }
                Stage::Preparing | Stage::Out => false,
            };
            if is_deep { self.forget(index) } else { index += 1 }
        }
    }

    /// Blocks from this height on were taken back: what was mined there has to be seen again.
    pub(crate) fn on_reorganisation(&mut self, first: u64) {
        self.counts.iter_mut().for_each(|count| count.used_below = 0);
        for entry in &mut self.entries {
            entry.refused.clear();
            if matches!(entry.stage, Stage::Mined { block } if block >= first) {
                (entry.stage, entry.in_vain) = (Stage::Out, None);
                entry.receipts_asked.clear();
                if let Some(sent) = &mut entry.sent {
                    sent.mined_at = None;
                }
                self.effects
                    .push_back(Effect::TakenBack { channel: entry.key.channel, kind: entry.key.kind.0 });
            }
        }
    }

    /// A channel's state was read at this height, which other endpoints may contest: a call may have had its
    /// effect, or can have none any more.
    pub(crate) fn on_state(&mut self, channel: Address, state: &StorageState, head: u64, is_contested: bool) {
        let tick = self.tick;
        let mut failed = Vec::new();
        for entry in self.entries.iter_mut().filter(|entry| entry.key.channel == channel) {
            entry.is_believed = matches!(state, StorageState::Closing { .. });
            if let (Stage::Mined { block }, Some(tx)) = (entry.stage, entry.in_vain) {
                if head >= block {
                    match is_pointless(entry.key.kind.0, state, head) {
                        true => (entry.stage, entry.in_vain) = (Stage::Obsolete, None),
                        false => failed.push((entry.key, tx)),
                    }
                }
                continue;
            }
            if !is_pointless(entry.key.kind.0, state, head) {
                entry.needed_at = entry.needed_at.max(Some(head));
                // What is said to be mined has had no effect: it is made again.
                entry.is_new_closing(state_block(state));
                if matches!(entry.stage, Stage::Mined { block } if is_seen_after(block, head))
                    && would_show(entry.key.kind.0, state)
                    && (tick >= entry.retry_at_tick || !is_contested)
                {
                    (entry.stage, entry.nonce_used_at_tick) = (Stage::Out, None);
                }
                if !is_contested {
                    entry.reverts = 0;
                }
            } else if entry.is_alive() {
                (entry.stage, entry.reason, entry.nonce_used_at_tick) = (Stage::Obsolete, None, Some(tick));
            }
        }
        self.entries.retain(|entry| entry.stage != Stage::Obsolete || entry.sent.is_some());
        for (key, tx) in failed {
            self.fail(key, CallError::MinedAndReverted(tx));
        }
    }

    /// An endpoint shows, at this height, a closing of the partner's that others contradict (rule G6). A challenge
    /// that is said to be mined has not answered it: it is made again, though not with every block if the contract
    /// has refused it, because the closing may be invented.
    pub(crate) fn on_claim(&mut self, channel: Address, closing_block: u64, shown_at: u64) {
        let tick = self.tick;
        let challenge = |entry: &&mut PendingCall| {
            entry.key.channel == channel && entry.key.kind.0 == CallKind::Challenge
        };
        for entry in self.entries.iter_mut().filter(challenge) {
            entry.needed_at = entry.needed_at.max(Some(shown_at));
            entry.is_new_closing(Some(closing_block));
            let Stage::Mined { block } = entry.stage else { continue };
            if is_seen_after(block, shown_at) && tick >= entry.retry_at_tick {
                (entry.stage, entry.nonce_used_at_tick) = (Stage::Out, None);
                entry.retry_at_tick = tick.saturating_add(spacing(entry.reverts));
            }
        }
    }

    /// The own transaction that may have brought a channel's state about by one of these calls.
    pub(crate) fn own_tx(&self, channel: Address, kinds: &[CallKind]) -> Option<OwnTx> {
        let entries = self.entries.iter().rev().filter(|entry| entry.key.channel == channel);
        let mut sent = entries.filter(|entry| kinds.contains(&entry.key.kind.0)).filter_map(|entry| {
            let sent = entry.sent.as_ref()?;
            let is_mined = matches!(entry.stage, Stage::Mined { .. });
            let is_certain = sent.attempts.len() == 1 || is_mined;
            Some(OwnTx {
                hash: entry.mined_tx.or(sent.newest().map(|newest| newest.hash))?,
                is_mined,
                is_certain,
            })
        });
        sent.next()
    }

    /// How many transactions are not mined.
    pub(crate) fn unmined(&self) -> usize {
        self.entries.iter().filter(|entry| entry.is_alive()).count()
    }

    /// Why calls are not taken by the endpoints.
    pub(crate) fn refused(&self, now: Millis) -> impl Iterator<Item = (Address, &str)> {
        let alive = self.entries.iter().filter(|entry| entry.is_alive());
        let lately = move |since: Millis| now < since.saturating_add(NOT_TAKEN_FOR);
        alive.filter_map(move |entry| {
            let not_taken = entry.not_taken.as_ref().filter(|(since, _)| !lately(*since));
            let reason = entry.reason.as_deref().or(not_taken.map(|(_, answer)| answer.as_str()))?;
            Some((entry.key.channel, reason))
        })
    }

    /// What the account has for gas, and what a unit costs.
    pub(crate) fn funds(&self, around: &Conditions) -> Option<GasFunds> {
        let fees = Fees::first(&self.market(around), false);
        let price = around.base_fee.map_or(fees.max_fee, |base| base.saturating_add(fees.tip.unwrap_or(0)));
        Some(GasFunds { balance: self.balance()?, price })
    }

    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn market(&self, around: &Conditions) -> Market {
        Market { base_fee: around.base_fee, suggested: self.suggested }
    }

    fn forget(&mut self, index: usize) {
        let entry = self.entries.remove(index);
        self.effects.extend(entry.sent.map(Effect::Forget));
    }

    fn entry_mut(&mut self, key: Key) -> Option<&mut PendingCall> {
        self.entries.iter_mut().find(|entry| entry.key == key)
    }
}

/// The block of a closing.
const fn state_block(state: &StorageState) -> Option<u64> {
    match state {
        StorageState::Closing { block, .. } => Some(*block),
        _ => None,
    }
}

/// Rule G7: a challenge that is not mined is an alarm after 3 blocks, and again after twice as many.
fn alarm(entry: &mut PendingCall, tick: u64, effects: &mut VecDeque<Effect>) {
    let blocks = tick.saturating_sub(entry.ordered_at_tick);
    if !entry.key.is_urgent() || !entry.is_alive() || blocks < entry.alarm_at {
        return;
    }
    entry.alarm_at = entry.alarm_at.saturating_mul(2);
    let offered = match (&entry.sent, entry.newest()) {
        (None, _) if entry.is_waiting => "nothing yet: others go before it".to_owned(),
        (Some(sent), Some(newest)) => format!(
            "{} transactions, the newest {} with nonce {} and at most {} wei for a unit of gas",
            sent.attempts.len(),
            newest.hash,
            sent.nonce,
            newest.fees.max_fee
        ),
        _ => "nothing, because no endpoint has said how many transactions of the wallet are mined".to_owned(),
    };
    let answer = entry.reason.as_ref().or(entry.not_taken.as_ref().map(|(_, answer)| answer));
    let reason = answer.map(|answer| format!("; an endpoint answers: {answer}"));
    let tried = offered + &reason.unwrap_or_default();
    effects.push_back(Effect::Late { channel: entry.key.channel, blocks, tried });
}

/// Whether a channel in this state would be in another, had the call had its effect.
const fn would_show(kind: CallKind, state: &StorageState) -> bool {
    match kind {
        CallKind::Challenge => matches!(state, StorageState::Closing { .. }),
        CallKind::Close => matches!(state, StorageState::Active { .. }),
        CallKind::Withdraw => matches!(state, StorageState::Closing { .. }),
        CallKind::Cancel => matches!(state, StorageState::Empty { .. }),
        CallKind::Open | CallKind::Fund => false,
    }
}

/// Whether a state that was read at a height is as the transaction of this block has left it. The block of a false
/// receipt may be one that nobody has reached yet.
const fn is_seen_after(block: u64, height: u64) -> bool {
    height > block || block > height.saturating_add(plan::USED_NONCE_GRACE)
}

/// Whether a call can have no effect (any more) on a channel that was in this state at this height.
const fn is_pointless(kind: CallKind, state: &StorageState, head: u64) -> bool {
    match kind {
        CallKind::Challenge => match state {
            StorageState::Closing { block, .. } => {
                head >= block.saturating_add(CHALLENGE_PERIOD).saturating_add(FAR)
            }
            StorageState::Closed { .. } => true,
            StorageState::Missing | StorageState::Empty { .. } | StorageState::Active { .. } => false,
        },
        CallKind::Open => !matches!(state, StorageState::Missing),
        CallKind::Fund => matches!(
            state,
            StorageState::Active { .. } | StorageState::Closing { .. } | StorageState::Closed { .. }
        ),
        CallKind::Cancel => matches!(
            state,
            StorageState::Active { .. } | StorageState::Closing { .. } | StorageState::Closed { .. }
        ),
        CallKind::Close => matches!(state, StorageState::Closing { .. } | StorageState::Closed { .. }),
        CallKind::Withdraw => matches!(state, StorageState::Closed { .. }),
    }
}

/// The kinds of calls that bring this state about.
pub(crate) const fn brings_about(status: &OnChain) -> &'static [CallKind] {
    match status {
        OnChain::Missing => &[],
        OnChain::Empty { .. } => &[CallKind::Fund, CallKind::Open],
        OnChain::Active { .. } => &[CallKind::Open, CallKind::Fund],
        OnChain::Closing(_) => &[CallKind::Close],
        OnChain::Closed { end, .. } => match end.kind {
            EndKind::Final => &[CallKind::Close],
            EndKind::Cancelled => &[CallKind::Cancel],
            EndKind::Withdrawn => &[CallKind::Withdraw],
            EndKind::Challenged => &[CallKind::Challenge],
        },
    }
}
