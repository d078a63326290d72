//! `Active` and the own payments: the queue, the next proposal, and what is agreed.

use crate::wire::{MAX_PAYMENTS, Message};
use crate::{Amount, Payment, Receipt};

use super::super::effects::{Direction, Effects, Notice, PaymentWrite};
use super::super::input::{CommandId, Context, KnownPayment};
use super::super::outcome::{CommandError, CommandOutcome};
use super::super::receipts::{Pending, Proposal};
use super::{
    Active, COALESCE_AT_MOST, COALESCE_GAP_DIVISOR, COALESCE_TOTAL_DIVISOR, Coalescing, PeerLink,
    REPEAT_AFTER,
};

/// How many may wait for one payment.
const MAX_CALLERS: usize = 64;

impl Active {
    pub(super) fn pay(
        &mut self,
        caller: CommandId,
        payment: Payment,
        known: Option<KnownPayment>,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Result<(), CommandError> {
        let PeerLink { online, peer_stopped, peer_may_be_stale, .. } = self.link;
        if let Some(pending) = self.queue.find(&payment.id, self.common.receipts.proposal.as_mut()) {
            pending.payment.require_same(&payment)?;
            // It is proposed, and in this session nothing will answer it (rule 8: at once).
            if peer_stopped || peer_may_be_stale {
                return Err(CommandError::Undecided);
            }
            if !online {
                return Err(CommandError::Unanswered);
            }
            if pending.callers.len() >= MAX_CALLERS {
                return Err(CommandError::QueueFull);
            }
            pending.callers.push(caller);
            return Ok(());
        }
        if let Some(known) = known {
            effects.reply.push((caller, Ok(known.outcome(&payment)?)));
            return Ok(());
        }
        self.may_pay(payment.amount, context)?;
        self.queue.push(Pending { payment, callers: vec![caller] });
        if let Some(coalescing) = &mut self.link.coalescing {
            coalescing.until = context.now.saturating_add(coalescing.pause).min(coalescing.end);
        }
        Ok(())
    }

    pub(super) fn may_pay(&self, amount: Amount, context: &Context<'_>) -> Result<(), CommandError> {
        if amount.is_zero() {
            return Err(CommandError::ZeroAmount);
        }
        if self.finish.is_some() {
            return Err(CommandError::Closing);
        }
        if !self.link.online {
            return Err(CommandError::PeerOffline);
        }
        if self.link.peer_stopped || self.link.peer_may_be_stale {
            return Err(CommandError::PeerStopped);
        }
        if !context.chain_fresh {
            return Err(CommandError::ChainStale);
        }
        if self.queue.is_full() {
            return Err(CommandError::QueueFull);
        }
        let newest = self
            .common
            .receipts
            .proposal
            .as_ref()
            .map_or(self.common.receipts.agreed.balances(), |own| own.balances);
        let available = newest.of(self.common.role()).checked_sub(self.queue.total()).unwrap_or(Amount::ZERO);
        if amount > available {
            return Err(CommandError::InsufficientBalance { available });
        }
        Ok(())
    }

    /// Proposes what waits, if nothing is out (rule 3). Reports whether it did.
    pub(super) fn propose(&mut self, context: &Context<'_>, effects: &mut Effects) -> bool {
        let link = &self.link;
        let ready = link.synced
            && !link.peer_stopped
            && !link.peer_may_be_stale
            && self.common.is_chain_sound(context);
        if !ready || self.common.receipts.proposal.is_some() || self.queue.is_empty() || self.finish.is_some()
        {
            return false;
        }
        let (role, base) = (self.common.role(), self.common.receipts.agreed.receipt);
        let Some(nonce) = base.nonce.next_of(role) else { return false };
        let (count, total) = self.queue.next_batch();
        let Some(balances) = base.balances.pay(role, total) else { return false };
        let (payments, displaced) = self.queue.take(count, total);

        // The payments of a proposal that did not stand were one proposal, so they all fit at the
        // head of this one; they are on disk already.
        if let Some(displaced) = displaced {
            effects.write(PaymentWrite::Move { from: displaced.nonce, to: nonce });
        }
        for pending in payments.iter().skip(displaced.map_or(0, |displaced| displaced.count)) {
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

    /// The own proposal is being answered: whoever waited for it may pay again at once.
    pub(super) fn coalesce(&mut self, context: &Context<'_>) {
        let (Some(sent), Some(own)) = (self.link.proposed_at, &self.common.receipts.proposal) else { return };
        let took = context.now.saturating_sub(sent).min(COALESCE_AT_MOST * COALESCE_TOTAL_DIVISOR);
        let (pause, all) = (took / COALESCE_GAP_DIVISOR, took / COALESCE_TOTAL_DIVISOR);
        if pause > 0 {
            let payments = own.payments.len().saturating_add(self.queue.len()).min(MAX_PAYMENTS);
            let (until, end) = (context.now.saturating_add(pause), context.now.saturating_add(all));
            self.link.coalescing = Some(Coalescing { until, pause, end, payments });
        }
    }

    /// [`Self::propose`], unless more payments are expected any moment.
    pub(super) fn propose_when_coalesced(&mut self, context: &Context<'_>, effects: &mut Effects) {
        let waits = self.link.coalescing.is_some_and(|Coalescing { until, payments, .. }| {
            until > context.now && self.queue.len() < payments
        });
        if !waits {
            self.propose(context, effects);
        }
    }

    /// The own proposal is agreed: everybody who waits for it is told.
    pub(super) fn settle(&mut self, proposal: Proposal, effects: &mut Effects) {
        self.link.repeat_at = None;
        self.queue.forget_proposed(&proposal.payments);
        let nonce = proposal.nonce;
        for Pending { payment, callers } in proposal.payments {
            let done = CommandOutcome::Paid { id: payment.id.clone(), amount: payment.amount, nonce };
            effects.reply.extend(callers.into_iter().map(|caller| (caller, Ok(done.clone()))));
            effects.notify.push(Notice::Payment { direction: Direction::Out, payment, nonce });
        }
    }

    /// Fails what waits and was never proposed, or was proposed and did not stand.
    pub(super) fn fail_queue(&mut self, why: &CommandError, effects: &mut Effects) {
        let (payments, displaced) = self.queue.take_all();
        effects.persist_all(displaced.map(|displaced| PaymentWrite::Fail { nonce: displaced.nonce }));
        for pending in payments {
            effects.fail_commands(pending.callers, why);
        }
    }
}
