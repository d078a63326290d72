//! Proposals, the own and the partner's (rules 1 to 7): made, countersigned, answered, refused.

use crate::wire::{Answer, MAX_PAYMENTS, Message, Propose, Refuse, RefuseReason};
use crate::{AgreedReceipt, PaymentId, Receipt, Signature, Signatures};

use super::super::command_outcome::{CommandError, CommandOutcome};
use super::super::effects::{ChannelNotice, Direction, Effects, Misbehaviour, PaymentWrite};
use super::super::input::{Context, Millis};
use super::super::receipts::{PendingPayment, Proposal};
use super::super::rules::check_proposal;
use super::coalescing::Coalescing;
use super::{Active, REPEAT_AFTER};

/// A proposal that the partner was not ready for is repeated after this long.
const NOT_NOW_DELAY: Millis = 100;

impl Active {
    /// [`Self::propose`], unless more payments are expected any moment.
    pub(super) fn propose_when_coalesced(&mut self, context: &Context<'_>, effects: &mut Effects) {
        let queued = self.queue.len();
        let waits = self.link.coalescing.is_some_and(|coalescing| coalescing.is_waiting(queued, context.now));
        if !waits {
            self.propose(context, effects);
        }
    }

    /// Proposes what waits, if nothing is out (rule 3). Reports whether it did.
    pub(super) fn propose(&mut self, context: &Context<'_>, effects: &mut Effects) -> bool {
        let link = &self.link;
        let ready = link.synced
            && !link.peer_stopped
            && !link.peer_may_be_stale
            && self.common.is_chain_sound(context);
        if !ready
            || self.common.receipts.proposal.is_some()
            || self.queue.is_empty()
            || self.close_command.is_some()
        {
            return false;
        }
        let (role, base) = (self.common.role(), self.common.receipts.agreed.receipt);
        let Some(nonce) = base.nonce.next_of(role) else { return false };
        let (count, total) = self.queue.next_batch();
        let Some(balances) = base.balances.pay(role, total) else { return false };
        let (payments, requeued) = self.queue.take(count, total);

        // The payments of a proposal that did not stand were one proposal, so they all fit at the
        // head of this one; they are on disk already.
        if let Some(requeued) = requeued {
            effects.write(PaymentWrite::Move { from: requeued.nonce, to: nonce });
        }
        for pending in payments.iter().skip(requeued.map_or(0, |requeued| requeued.count)) {
            let payment = pending.payment.clone();
            effects.write(PaymentWrite::Insert {
                direction: Direction::Out,
                payment,
                nonce,
                time: context.now,
            });
        }
        let signature = self.common.setup.sign(&Receipt { nonce, balances }, context.crypto);
        let proposal = Proposal { base_nonce: base.nonce, nonce, balances, signature, payments };
        effects.persist();
        effects.send.push(Message::Propose(proposal.message()));
        self.common.receipts.proposal = Some(proposal);
        self.link.repeat_at = Some(context.now.saturating_add(REPEAT_AFTER));
        (self.link.proposed_at, self.link.coalescing) = (Some(context.now), None);
        true
    }

    pub(super) fn on_propose(
        &mut self,
        propose: Propose,
        repeated: &[PaymentId],
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Result<(), Misbehaviour> {
        let agreed = self.common.receipts.agreed;
        if propose.nonce == agreed.nonce() {
            return self.repeat_answer(&propose, context, effects);
        }
        if propose.nonce < agreed.nonce() {
            effects.send.push(self.common.receipts.refuse(propose.nonce, RefuseReason::Stale));
            return Ok(());
        }
        let own = self.common.receipts.proposal.as_ref().map(Proposal::receipt);
        let (base, crossing) = match own {
            // A proposal on the own unanswered one is its answer (rule 5).
            Some(own) if propose.base_nonce == own.nonce => (own, None),
            _ if propose.base_nonce == agreed.nonce() => (agreed.receipt, own),
            _ if propose.base_nonce > agreed.nonce() => return Err(Misbehaviour::UnknownBase),
            _ => {
                effects.send.push(self.common.receipts.refuse(propose.nonce, RefuseReason::Stale));
                return Ok(());
            }
        };
        let partner = self.common.role().other();
        let receipt = check_proposal(&self.common.setup, &base, &propose, partner, repeated, context.crypto)?;
        if crossing.is_some_and(|own| own.nonce > receipt.nonce) {
            effects.send.push(self.common.receipts.refuse(propose.nonce, RefuseReason::Crossed));
            return Ok(());
        }
        if !self.common.is_chain_sound(context) {
            effects.send.push(self.common.receipts.refuse(propose.nonce, RefuseReason::NotNow));
            return Ok(());
        }
        self.countersign(receipt, propose, crossing.is_some(), context, effects);
        Ok(())
    }

    /// Signs the partner's proposal. Everything that follows from it is one write (rule 4).
    pub(super) fn countersign(
        &mut self,
        receipt: Receipt,
        propose: Propose,
        crossed: bool,
        context: &Context<'_>,
        effects: &mut Effects,
    ) {
        let own_signature = self.common.setup.sign(&receipt, context.crypto);
        let signatures = Signatures::from_roles(self.common.role(), own_signature, propose.signature);
        self.common.receipts.agreed = AgreedReceipt::signed(receipt, signatures);
        if let Some(own) = self.common.receipts.proposal.take() {
            if crossed { self.queue.requeue(own) } else { self.complete_payments(own, effects) }
        }
        self.link.repeat_at = None;
        let nonce = receipt.nonce;
        for payment in propose.payments {
            effects.notify.push(ChannelNotice::Payment {
                direction: Direction::In,
                payment: payment.clone(),
                nonce,
            });
            effects.write(PaymentWrite::Insert {
                direction: Direction::In,
                payment,
                nonce,
                time: context.now,
            });
        }
        // With payments of its own waiting a side answers by a proposal on the one it answers;
        // otherwise one side of a busy channel starves (rule 5).
        if !self.propose(context, effects) {
            effects.send.push(Message::Answer(Answer { nonce, signature: own_signature }));
            if self.queue.is_requeued() {
                // Nothing may be left on disk under the nonce of a proposal that does not stand.
                self.fail_queue(&CommandError::PeerStopped, effects);
            }
        }
    }

    pub(super) fn repeat_answer(
        &mut self,
        propose: &Propose,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Result<(), Misbehaviour> {
        let (agreed, role) = (self.common.receipts.agreed, self.common.role());
        let receipt = Receipt { nonce: propose.nonce, balances: propose.balances };
        let Some(signatures) = agreed.signatures else { return Err(Misbehaviour::WrongParity) };
        if receipt != agreed.receipt {
            let signed = self.common.setup.verify(&receipt, &propose.signature, role.other(), context.crypto);
            return Err(if signed { Misbehaviour::TwoReceiptsOneNonce } else { Misbehaviour::BadSignature });
        }
        // A proposal on it is its answer. A plain one beside it could overtake it, and let the partner
        // propose again, and again first, while payments wait here (rule 5).
        effects.send.push(match &self.common.receipts.proposal {
            Some(own) if own.base_nonce == agreed.nonce() => Message::Propose(own.message()),
            Some(_) | None => {
                Message::Answer(Answer { nonce: agreed.nonce(), signature: *signatures.of(role) })
            }
        });
        Ok(())
    }

    pub(super) fn on_answer(
        &mut self,
        answer: &Answer,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Result<(), Misbehaviour> {
        if answer.nonce <= self.common.receipts.agreed.nonce() {
            return Ok(());
        }
        let Some(own) = self.common.receipts.proposal.as_ref().filter(|own| own.nonce == answer.nonce) else {
            return Err(Misbehaviour::UnknownBase);
        };
        let (receipt, partner) = (own.receipt(), self.common.role().other());
        if !self.common.setup.verify(&receipt, &answer.signature, partner, context.crypto) {
            return Err(Misbehaviour::BadSignature);
        }
        self.coalesce(context);
        self.accept_answer(answer.signature, effects);
        self.propose_when_coalesced(context, effects);
        Ok(())
    }

    /// The own proposal is being answered: those who waited for it may pay again at once.
    fn coalesce(&mut self, context: &Context<'_>) {
        let (Some(sent), Some(own)) = (self.link.proposed_at, &self.common.receipts.proposal) else { return };
        let payments = own.payments.len().saturating_add(self.queue.len()).min(MAX_PAYMENTS);
        let took = context.now.saturating_sub(sent);
        if let Some(coalescing) = Coalescing::after(took, payments, context.now) {
            self.link.coalescing = Some(coalescing);
        }
    }

    /// The own proposal has the partner's signature.
    pub(super) fn accept_answer(&mut self, signature: Signature, effects: &mut Effects) {
        let Some(agreed) = self.common.receipts.answered_by(signature, self.common.role()) else { return };
        self.common.receipts.agreed = agreed;
        effects.persist();
        if let Some(own) = self.common.receipts.proposal.take() {
            self.complete_payments(own, effects);
        }
    }

    /// The own proposal is agreed: everybody who waits for it is told.
    pub(super) fn complete_payments(&mut self, proposal: Proposal, effects: &mut Effects) {
        self.link.repeat_at = None;
        self.queue.forget_proposed(&proposal.payments);
        let nonce = proposal.nonce;
        for PendingPayment { payment, command_ids } in proposal.payments {
            let done = CommandOutcome::Paid { id: payment.id.clone(), amount: payment.amount, nonce };
            effects.reply.extend(command_ids.into_iter().map(|command_id| (command_id, Ok(done.clone()))));
            effects.notify.push(ChannelNotice::Payment { direction: Direction::Out, payment, nonce });
        }
    }

    pub(super) fn on_refuse(&mut self, refuse: &Refuse, context: &Context<'_>, effects: &mut Effects) {
        if self.common.receipts.proposal.as_ref().is_none_or(|own| own.nonce != refuse.nonce) {
            return;
        }
        match refuse.reason {
            RefuseReason::NotNow => self.link.repeat_at = Some(context.now.saturating_add(NOT_NOW_DELAY)),
            // The partner is ahead, or its own proposal is on the way: both sides show where they
            // stand.
            RefuseReason::Stale | RefuseReason::Crossed => {
                if refuse.agreed_nonce > self.common.receipts.agreed.nonce() && !self.link.asked {
                    self.send_sync(context, effects);
                }
            }
            RefuseReason::Stopped | RefuseReason::Lost => {
                self.link.peer_stopped = true;
                self.peer_stops(effects);
                effects.notify.push(ChannelNotice::Refused(refuse.reason));
            }
        }
    }
}
