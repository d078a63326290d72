//! Payments that wait for the own proposal to be answered (rule 3).

use std::collections::{BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::wire::{MAX_PAYMENT_TEXT, MAX_PAYMENTS};
use crate::{Amount, Nonce, PaymentId};

use super::receipts::{PendingPayment, Proposal};

/// The most payments that may wait.
const MAX_QUEUE: usize = 1 << 16;

/// The queue. It is not on disk: what was never proposed was never promised. Only payments of a
/// proposal that did not stand are on disk, under that proposal's nonce, and are moved or failed in
/// the very step that puts them here.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    payments: VecDeque<PendingPayment>,
    total: Amount,
    requeued: Option<RequeuedHead>,
    /// The number of the first payment here. Payments are numbered in the order in which they came; those
    /// of the own proposal, which were taken from the head, have the numbers below.
    first: u64,
    /// Each payment here and in the own proposal, by the hash of its id, with its number: at most
    /// [`MAX_QUEUE`] and [`MAX_PAYMENTS`].
    index: BTreeSet<(u64, u64)>,
}

/// Where the payment with this number is in a list whose first one has the number `first`.
fn place(number: u64, first: u64) -> Option<usize> {
    usize::try_from(number.checked_sub(first)?).ok()
}

/// Equal for equal ids; two ids with one hash cost a comparison.
fn hash(id: &PaymentId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

/// The head of the queue, where it comes from an own proposal that did not stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequeuedHead {
    /// That proposal's nonce.
    pub(super) nonce: Nonce,
    /// How many payments it had.
    pub(super) count: usize,
}

impl Queue {
    /// An empty queue behind a proposal that was read from disk.
    pub(super) fn behind(proposal: Option<&Proposal>) -> Self {
        let mut queue = Self::default();
        for pending in proposal.iter().flat_map(|proposal| &proposal.payments) {
            queue.index.insert((hash(&pending.payment.id), queue.first));
            queue.first += 1;
        }
        queue
    }

    /// The payment with this id, here or in the own proposal.
    pub(super) fn find<'a>(
        &'a mut self,
        id: &PaymentId,
        proposal: Option<&'a mut Proposal>,
    ) -> Option<&'a mut PendingPayment> {
        let proposed = proposal.map_or(&mut [][..], |proposal| &mut proposal.payments);
        let (hash, before) = (hash(id), self.first.saturating_sub(proposed.len() as u64));
        let mut same_hash = self.index.range((hash, 0)..=(hash, u64::MAX)).map(|(_, number)| *number);
        let number = same_hash.find(|number| {
            let pending = match place(*number, self.first) {
                Some(place) => self.payments.get(place),
                None => place(*number, before).and_then(|place| proposed.get(place)),
            };
            pending.is_some_and(|pending| pending.payment.id == *id)
        })?;
        match place(number, self.first) {
            Some(place) => self.payments.get_mut(place),
            None => place(number, before).and_then(|place| proposed.get_mut(place)),
        }
    }

    /// The own proposal, with these payments, was agreed on.
    pub(super) fn forget_proposed(&mut self, payments: &[PendingPayment]) {
        self.forget(self.first.saturating_sub(payments.len() as u64), payments);
    }

    /// Payments that are neither here nor proposed any more, and the number of the first.
    fn forget(&mut self, first: u64, payments: &[PendingPayment]) {
        for (number, pending) in (first..).zip(payments) {
            self.index.remove(&(hash(&pending.payment.id), number));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.payments.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.payments.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.payments.len() >= MAX_QUEUE
    }

    pub(super) const fn is_requeued(&self) -> bool {
        self.requeued.is_some()
    }

    pub(super) const fn total(&self) -> Amount {
        self.total
    }

    pub(super) fn push(&mut self, pending: PendingPayment) {
        self.total = self.total.checked_add(pending.payment.amount).unwrap_or(Amount::MAX);
        let number = self.first.saturating_add(self.payments.len() as u64);
        self.index.insert((hash(&pending.payment.id), number));
        self.payments.push_back(pending);
    }

    /// Puts the payments of a proposal that did not stand at the head (rule 5).
    pub(super) fn requeue(&mut self, proposal: Proposal) {
        self.requeued = Some(RequeuedHead { nonce: proposal.nonce, count: proposal.payments.len() });
        self.total = self.total.checked_add(proposal.total()).unwrap_or(Amount::MAX);
        self.first = self.first.saturating_sub(proposal.payments.len() as u64);
        for pending in proposal.payments.into_iter().rev() {
            self.payments.push_front(pending);
        }
    }

    /// How many payments the next proposal takes, and what they come to.
    pub(super) fn next_batch(&self) -> (usize, Amount) {
        let (mut count, mut text, mut total) = (0, 0, Amount::ZERO);
        for PendingPayment { payment, .. } in self.payments.iter().take(MAX_PAYMENTS) {
            text += payment.id.as_str().len() + payment.memo.as_str().len();
            let Some(sum) = total.checked_add(payment.amount).filter(|_| text <= MAX_PAYMENT_TEXT) else {
                break;
            };
            (count, total) = (count + 1, sum);
        }
        (count, total)
    }

    /// Takes the first `count` payments, which come to `total`, for the own proposal.
    pub(super) fn take(
        &mut self,
        count: usize,
        total: Amount,
    ) -> (Vec<PendingPayment>, Option<RequeuedHead>) {
        self.total = self.total.checked_sub(total).unwrap_or(Amount::ZERO);
        self.first = self.first.saturating_add(count as u64);
        (self.payments.drain(..count).collect(), self.requeued.take())
    }

    /// Takes everything, for good.
    pub(super) fn take_all(&mut self) -> (Vec<PendingPayment>, Option<RequeuedHead>) {
        let payments = Vec::from(std::mem::take(&mut self.payments));
        self.forget(self.first, &payments);
        self.total = Amount::ZERO;
        (payments, self.requeued.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Balances, Memo, Payment, Signature};

    fn pending(number: u64) -> PendingPayment {
        let id = PaymentId::new(number.to_string()).unwrap();
        Payment { id, amount: Amount::ONE_THD, memo: Memo::default() }.into()
    }

    fn proposal(payments: Vec<PendingPayment>) -> Proposal {
        let (base_nonce, nonce) = (Nonce::ZERO, Nonce::new(1).unwrap());
        let balances = Balances { a: Amount::ZERO, b: Amount::ZERO };
        Proposal { base_nonce, nonce, balances, signature: Signature::from_bytes([0; 65]), payments }
    }

    fn queue(count: u64) -> Queue {
        let mut queue = Queue::default();
        (0..count).for_each(|number| queue.push(pending(number)));
        queue
    }

    /// Takes the first `count` into a proposal.
    fn propose(queue: &mut Queue, count: usize) -> Proposal {
        let total = Amount::from_base_units(Amount::ONE_THD.base_units() * count as u128).unwrap();
        proposal(queue.take(count, total).0)
    }

    /// The numbers of those that are found, of `0..all`; each as itself.
    fn found(queue: &mut Queue, mut proposal: Option<&mut Proposal>, all: u64) -> Vec<u64> {
        let is_found = |number: &u64| {
            let wanted = pending(*number).payment.id;
            let found = queue.find(&wanted, proposal.as_deref_mut());
            found.is_some_and(|found| found.payment.id == wanted)
        };
        (0..all).filter(is_found).collect()
    }

    fn all(numbers: std::ops::Range<u64>) -> Vec<u64> {
        numbers.collect()
    }

    #[test]
    fn a_payment_is_found_wherever_it_waits_and_no_longer() {
        let mut queue = queue(10);
        assert_eq!(found(&mut queue, None, 12), all(0..10));
        let mut first = propose(&mut queue, 4);
        assert_eq!(found(&mut queue, Some(&mut first), 12), all(0..10));
        assert_eq!(found(&mut queue, None, 12), all(4..10), "the proposal is not asked");
        queue.push(pending(10));
        assert_eq!(found(&mut queue, Some(&mut first), 12), all(0..11));
        queue.requeue(first);
        assert_eq!(found(&mut queue, None, 12), all(0..11));
        let mut second = propose(&mut queue, 6);
        assert_eq!(found(&mut queue, Some(&mut second), 12), all(0..11));
        queue.forget_proposed(&second.payments);
        assert_eq!(found(&mut queue, Some(&mut second), 12), all(6..11));
        let mut third = propose(&mut queue, 3);
        assert_eq!(found(&mut queue, Some(&mut third), 12), all(6..11));
        queue.take_all();
        assert_eq!(found(&mut queue, Some(&mut third), 12), all(6..9), "what is proposed is still open");
        queue.forget_proposed(&third.payments);
        assert!(queue.index.is_empty(), "nothing is kept of what is done");
    }

    #[test]
    fn a_proposal_from_disk_is_found_and_can_be_put_back() {
        let mut read = proposal((0..3).map(pending).collect());
        let mut queue = Queue::behind(Some(&read));
        queue.push(pending(3));
        assert_eq!(found(&mut queue, Some(&mut read), 5), all(0..4));
        queue.requeue(read);
        assert_eq!(found(&mut queue, None, 5), all(0..4));
        assert_eq!((queue.len(), queue.index.len()), (4, 4));
    }

    /// The proposal is gone, or another: nothing else is taken for the payment.
    #[test]
    fn what_is_not_where_it_was_is_not_found() {
        let mut queue = queue(6);
        propose(&mut queue, 4);
        assert_eq!(found(&mut queue, None, 6), all(4..6));
        let mut other = proposal(vec![pending(7)]);
        assert_eq!(found(&mut queue, Some(&mut other), 6), all(4..6));
    }
}
