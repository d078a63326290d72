//! The user's payments: checked, queued, failed. [`Input::Flush`](super::Input::Flush) proposes them.

use crate::{Amount, Payment};

use super::super::command_outcome::CommandError;
use super::super::effects::{Effects, PaymentWrite};
use super::super::input::{CommandId, Context, KnownPayment};
use super::super::receipts::PendingPayment;
use super::{Active, PeerLink};

/// The most commands that may wait for one payment.
const MAX_COMMANDS: usize = 64;

impl Active {
    pub(super) fn pay(
        &mut self,
        command_id: CommandId,
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
            if pending.command_ids.len() >= MAX_COMMANDS {
                return Err(CommandError::QueueFull);
            }
            pending.command_ids.push(command_id);
            return Ok(());
        }
        if let Some(known) = known {
            effects.reply.push((command_id, Ok(known.outcome(&payment)?)));
            return Ok(());
        }
        self.may_pay(payment.amount, context)?;
        self.queue.push(PendingPayment { payment, command_ids: vec![command_id] });
        if let Some(coalescing) = &mut self.link.coalescing {
            coalescing.extend(context.now);
        }
        Ok(())
    }

    /// Why a new payment of this amount would be refused now.
    ///
    /// # Errors
    ///
    /// The error that the payment would have.
    pub fn may_pay(&self, amount: Amount, context: &Context<'_>) -> Result<(), CommandError> {
        if amount.is_zero() {
            return Err(CommandError::ZeroAmount);
        }
        if self.close_command.is_some() {
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
        let available = self.available();
        if amount > available {
            return Err(CommandError::InsufficientBalance { available });
        }
        Ok(())
    }

    /// The own share, less what is paid and not answered yet.
    pub fn available(&self) -> Amount {
        let receipts = &self.common.receipts;
        let newest = receipts.proposal.as_ref().map_or(receipts.agreed.balances(), |own| own.balances);
        newest.of(self.common.role()).checked_sub(self.queue.total()).unwrap_or(Amount::ZERO)
    }

    /// Fails what waits and was never proposed, or was proposed and did not stand.
    pub(super) fn fail_queue(&mut self, why: &CommandError, effects: &mut Effects) {
        let (payments, requeued) = self.queue.take_all();
        effects.persist_all(requeued.map(|requeued| PaymentWrite::Fail { nonce: requeued.nonce }));
        for pending in payments {
            effects.fail_commands(pending.command_ids, why);
        }
    }
}
