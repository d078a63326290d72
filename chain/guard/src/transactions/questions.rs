//! What is asked of the endpoints for transactions.
//!
//! Only the count of mined transactions is needed, and for a permit its nonce.

use thunder_protocol::{Address, B256};

use super::pending_call::{Key, PendingCall, Stage};
use super::{CallError, Conditions, Transactions};
use crate::contracts::{calls, read_number};
use crate::endpoint::Millis;
use crate::error::AskError;
use crate::question::{EndpointAnswer, Estimate, Question};

/// Why a question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransactionQuestion {
    /// How many transactions are mined; or how many there are with those that wait, where that is refused.
    Count {
        is_pending: bool,
    },
    Pending,
    Balance,
    Price,
    Permit(Key),
    Estimate(Key),
    Receipt(Key, B256),
}

/// How many receipts of one call are asked for with each head.
const MAX_RECEIPTS: usize = 8;
/// After how many ticks the suggested tip is asked for again.
const PRICE_EVERY: u64 = 4;

/// How many blocks a receipt may be ahead of what any endpoint has shown.
const AHEAD: u64 = 2;
impl Transactions {
    /// What urgent calls wait for.
    pub(crate) fn urgent_question(
        &mut self,
        endpoint: usize,
        now: Millis,
        hedge: Millis,
    ) -> Option<(TransactionQuestion, Question)> {
        let is_wanted = self.entries.iter().any(|entry| entry.is_alive() || entry.stage == Stage::Obsolete);
        let (tick, account) = (self.tick, self.account.address());
        let count = self.counts.get_mut(endpoint)?;
        let is_stale = count.counted_at_tick != Some(tick);
        let is_needed = count.count.is_none() || (is_wanted && is_stale);
        if !is_needed || !count.timer.is_ready(now, hedge) {
            return None;
        }
        count.timer.asked(now);
        let is_pending = count.by_pending;
        let question = if is_pending { Question::PendingNonce(account) } else { Question::Nonce(account) };
        Some((TransactionQuestion::Count { is_pending }, question))
    }

    /// What other calls wait for, and whether they are mined.
    pub(crate) fn question(
        &mut self,
        endpoint: usize,
        around: &Conditions,
        hedge: Millis,
        token: Address,
    ) -> Option<(TransactionQuestion, Question)> {
        let now = around.now;
        self.receipt_question(endpoint, around)
            .or_else(|| self.call_question(now, hedge, token))
            .or_else(|| self.pending_question(now, hedge))
            .or_else(|| self.price_question(around, hedge))
    }

    /// Each endpoint is asked, as one may hide what is mined.
    fn receipt_question(
        &mut self,
        endpoint: usize,
        around: &Conditions,
    ) -> Option<(TransactionQuestion, Question)> {
        let base = self.base(around)?;
        for entry in &mut self.entries {
            if !matches!(entry.stage, Stage::Out | Stage::Obsolete) {
                continue;
            }
            let hash = entry
                .perhaps_mined(base)
                .take(MAX_RECEIPTS)
                .find(|hash| !entry.receipts_asked.contains(&(endpoint, *hash)));
            if let Some(hash) = hash {
                entry.receipts_asked.push((endpoint, hash));
                return Some((TransactionQuestion::Receipt(entry.key, hash), Question::Receipt(hash)));
            }
        }
        None
    }

    fn call_question(
        &mut self,
        now: Millis,
        hedge: Millis,
        token: Address,
    ) -> Option<(TransactionQuestion, Question)> {
        let account = self.account.address();
        // One permit at a time.
        let permit_out = self.entries.iter().any(|entry| entry.stage == Stage::Out && entry.uses_permit());
        let preparing = |entry: &&mut PendingCall| entry.stage == Stage::Preparing && !permit_out;
        for entry in self.entries.iter_mut().filter(preparing) {
            if entry.lacks_permit_nonce() {
                if entry.advice.permit.is_ready(now, hedge) {
                    entry.advice.permit.asked(now);
                    let data = calls::permit_nonce(account);
                    return Some((
                        TransactionQuestion::Permit(entry.key),
                        Question::Call { to: token, data },
                    ));
                }
                return None;
            }
            if entry.wants_estimate() {
                if entry.advice.estimating.is_ready(now, hedge) {
                    entry.advice.estimating.asked(now);
                    let request = entry.request.as_ref()?;
                    let permit_nonce = entry.advice.permit_nonce.unwrap_or_default();
                    let (to, data) =
                        self.account.calldata(&request.terms, &request.call, permit_nonce).ok()?;
                    let estimate = Estimate { from: account, to, data, value: 0 };
                    let question = Question::Estimate(Box::new(estimate));
                    return Some((TransactionQuestion::Estimate(entry.key), question));
                }
                return None;
            }
        }
        None
    }

    fn pending_question(&mut self, now: Millis, hedge: Millis) -> Option<(TransactionQuestion, Question)> {
        let waits = self.entries.iter().any(|entry| entry.is_alive() && !entry.key.is_urgent());
        let is_stale = self.pending.is_none_or(|(_, tick)| tick != self.tick);
        if !waits || !is_stale || !self.pending_timer.is_ready(now, hedge) {
            return None;
        }
        self.pending_timer.asked(now);
        Some((TransactionQuestion::Pending, Question::PendingNonce(self.account.address())))
    }

    fn price_question(
        &mut self,
        around: &Conditions,
        hedge: Millis,
    ) -> Option<(TransactionQuestion, Question)> {
        let waits = self.entries.iter().any(PendingCall::is_alive);
        let is_stale =
            self.suggested_at_tick.is_none_or(|tick| self.tick >= tick.saturating_add(PRICE_EVERY) && waits);
        if !is_stale || !around.has_head || !self.suggesting.is_ready(around.now, hedge) {
            return None;
        }
        self.suggesting.asked(around.now);
        let question = if around.base_fee.is_some() { Question::Tip } else { Question::GasPrice };
        Some((TransactionQuestion::Price, question))
    }

    /// The question for the account's ether.
    pub(crate) fn balance_question(&self) -> (TransactionQuestion, Question) {
        (TransactionQuestion::Balance, Question::Balance(self.account.address()))
    }

    /// A question is answered, or not. Whatever it is, only that question is the worse for it (rule G5).
    pub(crate) fn answered(
        &mut self,
        endpoint: usize,
        question: TransactionQuestion,
        result: &Result<EndpointAnswer, AskError>,
        around: &Conditions,
    ) {
        /// The wait before a question is asked again that was not answered.
        const RETRY: Millis = 100;
        let now = around.now;
        let number = match result {
            Ok(EndpointAnswer::Number(number)) => Some(*number),
            _ => None,
        };
        let again = now.saturating_add(if number.is_some() { 0 } else { RETRY });
        match question {
            TransactionQuestion::Count { is_pending } => {
                self.counted(endpoint, is_pending, result, around);
                if let Some(count) = self.counts.get_mut(endpoint) {
                    count.timer.answered(again);
                }
            }
            TransactionQuestion::Pending => {
                self.pending_timer.answered(again);
                // Without a pending block there is no hint, and none is needed.
                let hint = number.and_then(|number| u64::try_from(number).ok());
                let is_refused = matches!(result, Err(AskError::Refused(_) | AskError::Invalid(_)));
                if hint.is_some() || is_refused {
                    self.pending = Some((hint.unwrap_or(0), self.tick));
                }
            }
            TransactionQuestion::Balance => {
                if let Some(count) = self.counts.get_mut(endpoint) {
                    count.balance = number.or(count.balance);
                }
            }
            TransactionQuestion::Price => {
                self.suggesting.answered(again);
                self.suggested_at_tick = Some(self.tick);
                if let Some(tip) = number {
                    self.suggested = Some(tip);
                }
            }
            TransactionQuestion::Permit(key) => self.permit_nonce(key, result, again),
            TransactionQuestion::Estimate(key) => self.estimated(key, result, again),
            TransactionQuestion::Receipt(key, hash) => {
                if let Ok(EndpointAnswer::Receipt(Some(receipt))) = result
                    && receipt.block <= around.newest.saturating_add(AHEAD)
                {
                    self.mined(key, hash, (receipt.block, receipt.succeeded), now);
                }
            }
        }
    }

    fn permit_nonce(&mut self, key: Key, result: &Result<EndpointAnswer, AskError>, again: Millis) {
        let Some(entry) = self.entry_mut(key) else { return };
        entry.advice.permit.answered(again);
        match result {
            Ok(EndpointAnswer::Bytes(bytes)) => match read_number(bytes) {
                Some(nonce) => entry.advice.permit_nonce = Some(nonce),
                None => entry.reason = Some("THD gives no nonce for a permit".into()),
            },
            Ok(_) => {}
            Err(error) => entry.reason = Some(error.to_string()),
        }
    }

    fn estimated(&mut self, key: Key, result: &Result<EndpointAnswer, AskError>, again: Millis) {
        let Some(entry) = self.entry_mut(key) else { return };
        entry.advice.estimating.answered(again);
        match result {
            Ok(EndpointAnswer::Number(gas)) => {
                (entry.advice.estimate, entry.advice.is_estimated) = (Some(*gas), true);
            }
            Err(error) if error.is_revert() => {
                if let AskError::Refused(refusal) = error {
                    let refusal = refusal.clone();
                    self.fail(key, CallError::Reverted(refusal));
                }
            }
            // It is not needed.
            Err(AskError::Refused(_) | AskError::Invalid(_)) => entry.advice.is_estimated = true,
            Ok(_) | Err(_) => {}
        }
    }
}
