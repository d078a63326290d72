//! Transactions on their way to the endpoints, and what they answer.

use std::sync::Arc;

use thunder_protocol::B256;
use thunder_protocol::onchain::CallKind;

use super::fees::shortage;
use super::pending_call::{Key, PendingCall, Stage};
use super::refusal::BroadcastAnswer;
use super::{CallError, CallOutcome, Conditions, Effect, Transactions};
use crate::endpoint::Millis;
use crate::error::{AskError, bounded};

/// Ticks after which the same transaction is sent again, in case it was dropped.
const SEND_AGAIN_AFTER: u64 = 2;
/// How long other transactions wait for a challenge's arrival at an endpoint.
const FIRST_WITHIN: Millis = 2_000;
/// The wait before a transaction is sent again to an endpoint that gave no answer.
const RETRY: Millis = 100;

impl Transactions {
    /// Writing a call to disk has succeeded, or not. A challenge is sent even if the disk takes nothing
    /// more: made a second time it has no second effect.
    pub(crate) fn saved(&mut self, key: Key, result: Result<(), String>) {
        let tick = self.tick;
        let Some(entry) = self.entry_mut(key) else { return };
        match result {
            Ok(()) => entry.is_saved = true,
            Err(_) if key.is_urgent() => entry.is_saved = true,
            // That it is mined, which the chain tells again; nothing was to be sent.
            Err(_) if matches!(entry.stage, Stage::Mined { .. }) => {}
            Err(_) if entry.may_be_out => {
                // The earlier attempts are on disk, and stand.
                entry.unsaved_at_tick = Some(tick);
                if let Some(sent) = &mut entry.sent {
                    sent.attempts.pop();
                    sent.nonce = sent.attempts.last().and_then(|attempt| attempt.nonce).unwrap_or(sent.nonce);
                }
                entry.is_saved = true;
            }
            Err(reason) => {
                entry.sent = None;
                self.fail(key, CallError::Refused(format!("nothing was sent: {reason}")));
            }
        }
    }

    /// The next transaction to be sent to an endpoint. `has_room` says whether there is room for one that is urgent, or
    /// is not.
    pub(crate) fn next_send(
        &mut self,
        endpoint: usize,
        now: Millis,
        hedge: Millis,
        has_room: impl Fn(bool) -> bool,
    ) -> Option<(Key, B256, Arc<[u8]>)> {
        let tick = self.tick;
        // A challenge that is on its way there arrives first.
        let is_first = |entry: &PendingCall| {
            let broadcast = entry.broadcasts.get(endpoint).filter(|_| entry.key.is_urgent());
            broadcast.is_some_and(|broadcast| {
                broadcast.answer.is_none() && broadcast.timer.is_under_way(now, FIRST_WITHIN)
            })
        };
        let is_held = self.is_held || self.entries.iter().any(is_first);
        let ready = |entry: &PendingCall| {
            let broadcast = entry.broadcasts.get(endpoint);
            entry.stage == Stage::Out
                && !entry.is_waiting
                && (entry.key.is_urgent() || !is_held)
                && has_room(entry.key.is_urgent())
                && entry.is_saved
                && entry.nonce_used_at_tick.is_none()
                && broadcast.is_none_or(|broadcast| match &broadcast.answer {
                    None | Some(BroadcastAnswer::NoAnswer) => broadcast.timer.is_ready(now, hedge),
                    Some(answer) => {
                        let wait = if *answer == BroadcastAnswer::Full { 1 } else { SEND_AGAIN_AFTER };
                        tick >= broadcast.sent_at_tick.saturating_add(wait)
                            && broadcast.timer.is_ready(now, hedge)
                    }
                })
        };
        let endpoints = self.counts.len();
        let mut candidates: Vec<_> = self.entries.iter_mut().filter(|entry| ready(entry)).collect();
        // The lowest nonce first: mempools take those above only after it.
        candidates.sort_by_key(|entry| (!entry.key.is_urgent(), entry.nonce()));
        let entry = candidates.into_iter().next()?;
        if entry.broadcasts.len() < endpoints {
            entry.broadcasts.resize_with(endpoints, Default::default);
        }
        let (hash, raw) = entry.newest().map(|newest| (newest.hash, Arc::from(newest.raw.as_slice())))?;
        let broadcast = entry.broadcasts.get_mut(endpoint)?;
        broadcast.timer.asked(now);
        broadcast.sent_at_tick = tick;
        Some((entry.key, hash, raw))
    }

    /// An endpoint has answered to a transaction, or not.
    pub(crate) fn sent<T>(
        &mut self,
        endpoint: usize,
        key: Key,
        hash: B256,
        result: &Result<T, AskError>,
        around: &Conditions,
    ) {
        let answer = BroadcastAnswer::of(result);
        let Some(entry) = self.entry_mut(key) else { return };
        if matches!(answer, BroadcastAnswer::Taken | BroadcastAnswer::NoAnswer) {
            entry.may_be_out = true;
        }
        if entry.newest().is_none_or(|newest| newest.hash != hash) {
            return;
        }
        let is_first =
            !entry.broadcasts.iter().any(|broadcast| broadcast.answer == Some(BroadcastAnswer::Taken));
        let Some(broadcast) = entry.broadcasts.get_mut(endpoint) else { return };
        broadcast.timer.answered(around.now.saturating_add(RETRY));
        broadcast.answer = Some(answer.clone());
        let lacks_ether = matches!(answer, BroadcastAnswer::NoEther(_));
        if answer == BroadcastAnswer::Taken {
            entry.takers.insert(endpoint);
            entry.not_taken = None;
        } else if is_first && let Err(error) = result {
            let since = entry.not_taken.take().map_or(around.now, |(since, _)| since);
            entry.not_taken = Some((since, bounded(&error.to_string())));
        }
        if is_first && answer == BroadcastAnswer::Taken {
            let (channel, kind) = (key.channel, key.kind.0);
            entry.reason = None;
            self.effects.push_back(Effect::Taken { channel, kind, tx: hash });
            return;
        }
        match answer {
            BroadcastAnswer::Taken | BroadcastAnswer::NoAnswer | BroadcastAnswer::Full => {}
            BroadcastAnswer::NonceUsed => {
                let used_below = entry.nonce().map_or(0, |nonce| nonce.saturating_add(1));
                if let Some(count) = self.counts.get_mut(endpoint) {
                    count.used_below = used_below.max(count.used_below);
                    (count.counted_at_tick, count.timer) = (None, Default::default());
                }
            }
            BroadcastAnswer::Underpriced => entry.wants_raise = true,
            BroadcastAnswer::NoEther(reason) | BroadcastAnswer::Refused(reason) => {
                entry.wants_less = key.is_urgent() && lacks_ether && !entry.takers.contains(&endpoint);
                entry.reason = Some(reason);
                self.judge(key);
            }
        }
    }

    /// If no endpoint takes a call, it is given up, or, if money depends on it, made anew with the next
    /// head.
    fn judge(&mut self, key: Key) {
        let usable: Vec<_> = self.counts.iter().map(|count| count.is_usable).collect();
        let Some(entry) = self.entry_mut(key) else { return };
        let mut asked = entry.broadcasts.iter().zip(&usable).filter(|(_, usable)| **usable).peekable();
        let is_refused = asked.peek().is_some()
            && asked.all(|(broadcast, _)| {
                matches!(broadcast.answer, Some(BroadcastAnswer::Refused(_) | BroadcastAnswer::NoEther(_)))
            });
        let Some(reason) = entry.reason.clone().filter(|_| is_refused && !entry.may_be_out) else { return };
        let lacks_ether = entry
            .broadcasts
            .iter()
            .any(|broadcast| matches!(broadcast.answer, Some(BroadcastAnswer::NoEther(_))));
        let cost = entry.sent.as_ref().zip(entry.newest()).map(|(sent, newest)| newest.fees.cost(sent.gas));
        let missing = cost.zip(self.balance()).and_then(|(cost, balance)| shortage(cost, balance));
        let error = match missing.filter(|_| lacks_ether) {
            Some(missing) => CallError::NoEther(missing),
            None => CallError::Refused(reason),
        };
        let (channel, kind) = (key.channel, key.kind.0);
        if matches!(kind, CallKind::Challenge | CallKind::Close) {
            let Some(entry) = self.entry_mut(key) else { return };
            let is_first = entry.sent.as_ref().is_some_and(|sent| sent.attempts.len() == 1);
            if is_first {
                let outcome = CallOutcome::Failed { channel, kind, error, is_retried: true };
                self.effects.push_back(Effect::Outcome(outcome));
            }
            return;
        }
        self.fail(key, error);
    }
}
