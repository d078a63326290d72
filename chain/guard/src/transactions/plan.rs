//! Which call gets which nonce and which fees, and when.

use thunder_protocol::onchain::CallKind;

use super::fees::{Fees, gas_limit, with_estimate};
use super::nonces::{Holder, assign};
use super::order::{Turns, end_turns, importance};
use super::pending_call::{Broadcast, Key, PendingCall, Stage};
use super::record::{Attempt, SignedCall};
use super::{CallError, CallOutcome, Conditions, Effect, Transactions, spacing};
use crate::endpoint::Millis;

/// Ticks without being mined after which a call gets higher fees.
const RAISE_AFTER: u64 = 4;
/// The same for a closing.
const RAISE_CLOSING_AFTER: u64 = 2;
/// How often fees are raised between two ticks because an endpoint wants more.
const MAX_RAISES: u8 = 6;
/// How long ordinary calls wait after a start for the channels to be read and handled, at most.
const HOLD_FOR: Millis = 10_000;
/// Ticks for which an endpoint may not show yet that one of the own has used a nonce.
pub(super) const USED_NONCE_GRACE: u64 = 2;
/// Ticks for which another program's transaction may keep ordinary calls waiting.
const FOREIGN_NONCE_GRACE: u64 = 2;
/// How many of another program's transactions are believed to wait.
const MOST_FOREIGN: u64 = 16;
/// How many attempts a call keeps.
const MAX_ATTEMPTS: usize = 64;

impl Transactions {
    /// Signs whatever can be signed now.
    pub(crate) fn plan(&mut self, around: &Conditions) {
        let Some(base) = self.base(around).filter(|_| around.has_head) else { return };
        let began = *self.began.get_or_insert(around.now);
        self.is_held = !around.is_released && around.now < began.saturating_add(HOLD_FOR);
        self.note_used(base);
        for (key, nonce) in self.assignments(base, around) {
            self.sign(key, nonce, around);
        }
        self.raise(base, around);
    }

    /// A nonce below `base` is used: by one of the own, whose receipt is looked for, or by another
    /// program.
    fn note_used(&mut self, base: u64) {
        let tick = self.tick;
        for entry in self.entries.iter_mut().filter(|entry| entry.stage == Stage::Out) {
            if entry.nonce().is_some_and(|nonce| nonce < base) {
                entry.nonce_used_at_tick.get_or_insert(tick);
            } else {
                entry.nonce_used_at_tick = None;
            }
        }
    }

    /// Calls in the order of their importance that get another nonce than they have.
    fn assignments(&mut self, base: u64, around: &Conditions) -> Vec<(Key, u64)> {
        let mut first_permit = true;
        let is_advised = self.pending.is_some_and(|(_, tick)| tick == self.tick);
        let is_unsaved = |entry: &PendingCall| entry.unsaved_at_tick == Some(self.tick);
        let ready = |entry: &&PendingCall| {
            entry.is_alive() && entry.is_ready(is_advised, around.now) && !is_unsaved(entry)
        };
        end_turns(&mut self.entries, around);
        let mut entries: Vec<&PendingCall> = self.entries.iter().filter(ready).collect();
        entries.sort_by_key(|entry| importance(entry, around));
        // A permit's nonce is right for one at a time: the first of them that is not mined.
        let permit_out = self.entries.iter().any(|entry| entry.stage == Stage::Out && entry.uses_permit());
        let counts = self.counts.iter().filter(|count| count.is_usable);
        let counted_at = counts.map(|count| count.head.unwrap_or(u64::MAX)).max().unwrap_or(u64::MAX);
        let mut overtaken = Vec::new();
        let mut holders = Vec::new();
        let (mut turns, mut waiting) = (Turns::default(), std::collections::BTreeSet::new());
        for entry in entries {
            let is_new = entry.sent.is_none();
            if is_new && entry.uses_permit() && (permit_out || !std::mem::take(&mut first_permit)) {
                continue;
            }
            let is_urgent = entry.key.is_urgent();
            let nonce = match (entry.nonce(), entry.nonce_used_at_tick) {
                (Some(nonce), Some(since)) => {
                    // What one endpoint says was refused is not made again, as long as another denies it.
                    if entry.was_reverted && !is_urgent {
                        continue;
                    }
                    // A challenge that had its effect would show in the channel's state.
                    let is_in_vain = is_urgent && entry.needed_at >= Some(counted_at);
                    // Nor has it any chance where its nonce is used, as long as an endpoint says that it is not: its turn
                    // is not spent on waiting for a receipt.
                    let is_denied = entry.is_contested() && self.is_use_denied(nonce);
                    let is_over = self.tick >= since.saturating_add(USED_NONCE_GRACE);
                    if !is_in_vain && !is_denied && !is_over {
                        waiting.extend(Some(entry.key).filter(|_| entry.is_waiting));
                        turns.keep(entry);
                        continue;
                    }
                    if !entry.is_waiting {
                        overtaken.push((entry.key, nonce));
                    }
                    None
                }
                (nonce, _) => nonce.filter(|_| !entry.is_waiting),
            };
            match is_urgent {
                false => holders.push(Holder { key: entry.key, tier: None, nonce }),
                true if let Some(tier) = turns.tier(entry) => {
                    holders.push(Holder { key: entry.key, tier: Some(tier), nonce });
                }
                true => drop(waiting.insert(entry.key)),
            }
        }
        for entry in &mut self.entries {
            entry.is_waiting = waiting.contains(&entry.key);
            let has_place = entry.is_contested() && !entry.is_waiting && entry.stage == Stage::Out;
            entry.turn_since = has_place.then(|| entry.turn_since.unwrap_or(around.now));
        }
        let changes = assign(base, self.foreign_until(base, &holders), &holders);
        for (key, nonce) in overtaken {
            let (channel, kind) = (key.channel, key.kind.0);
            self.effects.push_back(Effect::Overtaken { channel, kind, nonce });
        }
        changes
    }

    /// Below which nonce another program's transactions may wait. They are waited for for a while only.
    fn foreign_until(&mut self, base: u64, holders: &[Holder<Key>]) -> u64 {
        let hint = self.pending.map_or(base, |(pending, _)| pending);
        let hint = hint.clamp(base, base.saturating_add(MOST_FOREIGN));
        let own: Vec<_> = holders.iter().filter_map(|holder| holder.nonce).collect();
        let gap = (base..hint).find(|nonce| !own.contains(nonce));
        self.gap = match (gap, self.gap) {
            (Some(gap), Some((before, since))) if gap == before => Some((gap, since)),
            (Some(gap), _) => Some((gap, self.tick)),
            (None, _) => None,
        };
        let is_over = |(_, since): (u64, u64)| self.tick >= since.saturating_add(FOREIGN_NONCE_GRACE);
        if self.gap.is_some_and(is_over) { base } else { hint }
    }

    /// Signs a call under a nonce: its first transaction, or one more because its nonce is another now.
    fn sign(&mut self, key: Key, nonce: u64, around: &Conditions) {
        let is_urgent = key.is_urgent();
        let signed_before = self.entries.iter().filter_map(|entry| entry.fees_at(nonce));
        let signed_before = signed_before.max_by_key(|fees| fees.max_fee);
        let Some(entry) = self.entries.iter().find(|entry| entry.key == key) else { return };
        let market = self.market(around);
        // A challenge that was outbid under another nonce goes on from what it has offered. One that was mined in
        // vain was dear enough: it goes on from what was offered under this nonce.
        let outbids = is_urgent && entry.reverts == 0 && !entry.was_reverted;
        let offered = match outbids {
            true => entry.offer.or(entry.newest().map(|newest| newest.fees)),
            false => entry.fees_at(nonce).filter(|_| is_urgent),
        };
        let may_be_raised = entry.may_be_raised(around);
        let outbid =
            offered.and_then(|fees| if may_be_raised { fees.raised(&market, true) } else { Some(fees) });
        let offer = outbid.unwrap_or_else(|| Fees::first(&market, is_urgent));
        let mut fees = offer.above(signed_before, is_urgent);
        let gas = entry.sent.as_ref().map_or_else(
            || entry.advice.estimate.map_or(gas_limit(key.kind.0), |gas| with_estimate(key.kind.0, gas)),
            |sent| sent.gas,
        );
        fees =
            fees.affordable(around.base_fee.filter(|_| is_urgent), self.balance().filter(|_| is_urgent), gas);
        // At the cap it can't be outbid, and what nobody else outbids need not be: what was signed for this nonce is sent again.
        let own = entry.fees_at(nonce);
        let is_standing = |own: Fees| !fees.replaces(&own) || (!may_be_raised && Some(own) == signed_before);
        if own.is_some_and(|own| fees.max_fee >= own.max_fee && is_standing(own)) {
            return self.reuse(key, nonce, around);
        }
        if let Some(entry) = self.entry_mut(key).filter(|_| may_be_raised) {
            entry.raised_at = Some(around.now);
        }
        if let Some(entry) = self.entry_mut(key) {
            entry.offer = Some(offer).filter(|_| entry.is_contested());
        }
        self.attempt(key, nonce, fees, gas, around);
    }

    /// Makes the dearest attempt with this nonce the newest one.
    fn reuse(&mut self, key: Key, nonce: u64, around: &Conditions) {
        let Some(entry) = self.entry_mut(key) else { return };
        let Some(mut sent) = entry.sent.take() else { return };
        let with_nonce = |attempt: &&Attempt| sent.nonce_of(attempt) == nonce;
        let dearest = sent.attempts.iter().filter(with_nonce).max_by_key(|attempt| attempt.fees.max_fee);
        if let Some(dearest) = dearest.cloned() {
            sent.attempts.retain(|attempt| attempt.hash != dearest.hash);
            sent.attempts.push(dearest);
        }
        self.signed(key, sent, nonce, around);
    }

    /// Signs with these fees, and asks for that to be written to disk.
    fn attempt(&mut self, key: Key, nonce: u64, fees: Fees, gas: u64, around: &Conditions) {
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key) else { return };
        let unsigned = match (entry.sent.take(), &entry.request) {
            (Some(sent), _) => Ok(sent),
            (None, Some(request)) => {
                let permit_nonce = entry.advice.permit_nonce.unwrap_or_default();
                let calldata = self.account.calldata(&request.terms, &request.call, permit_nonce);
                calldata.map(|(to, data)| SignedCall {
                    channel: key.channel,
                    kind: key.kind.0,
                    to,
                    data,
                    gas,
                    nonce,
                    attempts: Vec::new(),
                    sent_at: around.head,
                    mined_at: None,
                    nonce_used_at: None,
                })
            }
            (None, None) => return,
        };
        let signed = unsigned.and_then(|mut sent| {
            let attempt = self.account.sign(&sent, nonce, fees)?;
            if sent.attempts.len() >= MAX_ATTEMPTS {
                sent.attempts.remove(0);
            }
            sent.attempts.push(attempt);
            Ok(sent)
        });
        match signed {
            Ok(sent) => self.signed(key, sent, nonce, around),
            Err(_) => self.fail(key, CallError::CantSign),
        }
    }

    /// A call's newest attempt is another one: it is written to disk, and sent.
    fn signed(&mut self, key: Key, mut sent: SignedCall, nonce: u64, around: &Conditions) {
        let (tick, endpoints) = (self.tick, self.counts.len());
        let Some(entry) = self.entry_mut(key) else { return };
        (sent.nonce, sent.sent_at) = (nonce, around.head);
        entry.sent = Some(sent.clone());
        (entry.stage, entry.is_saved) = (Stage::Out, false);
        (entry.signed_at_tick, entry.nonce_used_at_tick, entry.wants_raise) = (tick, None, false);
        entry.broadcasts = vec![Broadcast::default(); endpoints];
        self.effects.push_back(Effect::Save(sent));
    }

    /// Raises the fees of what is not mined in time, or that an endpoint wants more for.
    fn raise(&mut self, base: u64, around: &Conditions) {
        let market = self.market(around);
        let tick = self.tick;
        let due = |entry: &PendingCall| {
            let waited = tick.saturating_sub(entry.signed_at_tick);
            let timeout = match entry.key.kind.0 {
                // One that was refused before outbids nothing in a hurry: the closing may be invented.
                CallKind::Challenge if entry.reverts > 0 => RAISE_AFTER,
                CallKind::Challenge => 1,
                CallKind::Close => RAISE_CLOSING_AFTER,
                CallKind::Open | CallKind::Fund | CallKind::Cancel | CallKind::Withdraw => RAISE_AFTER,
            };
            (entry.wants_raise || entry.wants_less) && entry.raises < MAX_RAISES
                || (waited >= timeout && entry.may_be_raised(around))
        };
        let out = self.entries.iter().filter(|entry| entry.stage == Stage::Out && entry.is_saved);
        let out = out.filter(|entry| !entry.is_waiting);
        let stands = out.filter(|entry| entry.nonce().is_some_and(|nonce| nonce >= base));
        let keys: Vec<_> = stands.filter(|entry| due(entry)).map(|entry| entry.key).collect();
        for key in keys {
            let is_urgent = key.is_urgent();
            let (balance, base_fee) = (self.balance().filter(|_| is_urgent), around.base_fee);
            let Some(entry) = self.entry_mut(key) else { continue };
            let Some(sent) = &entry.sent else { continue };
            let (nonce, gas) = (sent.nonce, sent.gas);
            entry.raised_at = Some(around.now);
            let offer = entry.offer.and_then(|offer| offer.raised(&market, entry.reverts == 0));
            entry.offer = offer.or(entry.offer);
            entry.raises += u8::from(entry.wants_raise || entry.wants_less);
            let lowered = entry.newest().filter(|_| entry.wants_less).and_then(|it| it.fees.lowered(&market));
            (entry.wants_raise, entry.wants_less) = (false, false);
            if let Some(fees) = lowered {
                self.attempt(key, nonce, fees, gas, around);
                continue;
            }
            let in_hurry = is_urgent && entry.reverts == 0;
            let raised = entry.newest().and_then(|newest| newest.fees.raised(&market, in_hurry));
            match raised.map(|fees| fees.affordable(base_fee.filter(|_| is_urgent), balance, gas)) {
                // What a poor account can offer may be no more than it has offered.
                Some(fees) if entry.newest().is_some_and(|newest| fees.replaces(&newest.fees)) => {
                    self.attempt(key, nonce, fees, gas, around);
                }
                Some(_) | None => entry.signed_at_tick = tick,
            }
        }
    }

    /// It is not made: its nonce is free, and whoever waits is told.
    pub(super) fn fail(&mut self, key: Key, error: CallError) {
        let (channel, kind) = (key.channel, key.kind.0);
        self.effects.push_back(Effect::Outcome(CallOutcome::Failed {
            channel,
            kind,
            error,
            is_retried: false,
        }));
        if let Some(index) = self.entries.iter().position(|entry| entry.key == key) {
            self.forget(index);
        }
    }

    /// One of its transactions is in a block.
    pub(super) fn mined(&mut self, key: Key, tx: thunder_protocol::B256, seen: (u64, bool), now: Millis) {
        let (block, succeeded) = seen;
        let (channel, kind) = (key.channel, key.kind.0);
        let Some(entry) = self.entry_mut(key) else { return };
        // A refusal that is known already stops no newer attempt.
        if entry.stage == (Stage::Mined { block }) || (!succeeded && entry.refused.contains(&tx)) {
            return;
        }
        let was_pointless = entry.stage == Stage::Obsolete;
        let nonce = entry.sent.as_ref().and_then(|sent| sent.nonce_with(&tx));
        let (is_certain, tick) = (self.is_used_everywhere(nonce), self.tick);
        let Some(entry) = self.entry_mut(key) else { return };
        if succeeded {
            // One endpoint's word ends no challenge.
            if key.is_urgent() && !is_certain {
                return;
            }
            entry.stage = Stage::Mined { block };
            (entry.reason, entry.nonce_used_at_tick, entry.mined_tx) = (None, None, Some(tx));
            if let Some(sent) = &mut entry.sent {
                sent.mined_at = Some(block);
                let sent = sent.clone();
                self.effects.push_back(Effect::Save(sent));
            }
            self.effects.push_back(Effect::Outcome(CallOutcome::Mined { channel, kind, tx, block }));
            return;
        }
        if was_pointless && !key.is_urgent() {
            return self.remove(key);
        }
        entry.was_reverted = true;
        // Nor is it a reason to tell that an opening has failed, which may still be mined.
        if !is_certain {
            return;
        }
        entry.reverts = entry.reverts.saturating_add(1);
        (entry.turn_since, entry.turn_ended_at) = (None, Some(now));
        entry.refused.insert(tx);
        let error = CallError::MinedAndReverted(tx);
        if !key.is_urgent() {
            // The channel's state tells whether somebody else was faster, or the call has failed.
            (entry.stage, entry.in_vain) = (Stage::Mined { block }, Some(tx));
            return;
        }
        // The closing may have been taken back, and be there again; or the chain counts gas otherwise.
        entry.stage = Stage::Mined { block };
        entry.retry_at_tick = tick.saturating_add(spacing(entry.reverts));
        if let Some(sent) = &mut entry.sent {
            sent.gas = sent.gas.saturating_mul(2).min(4 * gas_limit(kind));
        }
        if !was_pointless {
            let outcome = CallOutcome::Failed { channel, kind, error, is_retried: true };
            self.effects.push_back(Effect::Outcome(outcome));
        }
    }

    fn remove(&mut self, key: Key) {
        if let Some(index) = self.entries.iter().position(|entry| entry.key == key) {
            self.forget(index);
        }
    }
}
