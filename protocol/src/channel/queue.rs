//! Payments that wait for the own proposal to be answered (rule 3).

use std::collections::VecDeque;

use crate::wire::{MAX_PAYMENT_TEXT, MAX_PAYMENTS};
use crate::{Amount, Nonce};

use super::books::{Pending, Proposal};

/// The most payments that may wait.
const MAX_QUEUE: usize = 1 << 16;

/// The queue. It is not on disk: what was never proposed was never promised. Only payments of a
/// proposal that did not stand are on disk, under that proposal's nonce, and are moved or failed in
/// the very step that puts them here.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    payments: VecDeque<Pending>,
    total: Amount,
    displaced: Option<Displaced>,
}

/// The head of the queue, where it comes from an own proposal that did not stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Displaced {
    /// That proposal's nonce.
    pub(super) nonce: Nonce,
    /// How many payments it had.
    pub(super) count: usize,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.payments.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.payments.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.payments.len() >= MAX_QUEUE
    }

    pub(super) const fn is_displaced(&self) -> bool {
        self.displaced.is_some()
    }

    pub(super) const fn total(&self) -> Amount {
        self.total
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Pending> {
        self.payments.iter_mut()
    }

    pub(super) fn push(&mut self, pending: Pending) {
        self.total = self.total.checked_add(pending.payment.amount).unwrap_or(Amount::MAX);
        self.payments.push_back(pending);
    }

    /// Puts the payments of a proposal that did not stand at the head (rule 5).
    pub(super) fn put_back(&mut self, proposal: Proposal) {
        self.displaced = Some(Displaced { nonce: proposal.nonce, count: proposal.payments.len() });
        self.total = self.total.checked_add(proposal.total()).unwrap_or(Amount::MAX);
        for pending in proposal.payments.into_iter().rev() {
            self.payments.push_front(pending);
        }
    }

    /// How many payments the next proposal takes, and what they come to.
    pub(super) fn next_batch(&self) -> (usize, Amount) {
        let (mut count, mut text, mut total) = (0, 0, Amount::ZERO);
        for Pending { payment, .. } in self.payments.iter().take(MAX_PAYMENTS) {
            text += payment.id.as_str().len() + payment.memo.as_str().len();
            let Some(sum) = total.checked_add(payment.amount).filter(|_| text <= MAX_PAYMENT_TEXT) else {
                break;
            };
            (count, total) = (count + 1, sum);
        }
        (count, total)
    }

    /// Takes the first `count` payments, which come to `total`.
    pub(super) fn take(&mut self, count: usize, total: Amount) -> (Vec<Pending>, Option<Displaced>) {
        self.total = self.total.checked_sub(total).unwrap_or(Amount::ZERO);
        (self.payments.drain(..count).collect(), self.displaced.take())
    }

    /// Takes everything.
    pub(super) fn take_all(&mut self) -> (Vec<Pending>, Option<Displaced>) {
        let total = self.total;
        self.take(self.payments.len(), total)
    }
}
