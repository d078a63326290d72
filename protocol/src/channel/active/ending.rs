//! The ways out of `Active`: a FINAL receipt (rule 11), closing alone (rule 10), and what the chain shows.

use crate::onchain::{CallKind, ChainView, ClosePlan, Evidence, OnChain};
use crate::wire::{Final, RefuseReason};
use crate::{Nonce, Receipt};

use super::super::Channel;
use super::super::closing::Closing;
use super::super::command_outcome::CommandError;
use super::super::cooperative_closing::CooperativeClosing;
use super::super::effects::{ChannelNotice, Effects, Risk};
use super::super::input::{CloseMode, CommandId, Context};
use super::super::opening::Opening;
use super::super::refusal::StateConflict;
use super::super::rules::{FinalBase, judge_final};
use super::Active;

impl Active {
    pub(super) fn on_final(
        mut self: Box<Self>,
        final_receipt: Final,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        match judge_final(&self.common.setup, &self.common.receipts, &final_receipt, context.crypto) {
            Err(why) => {
                effects.misbehaviour = Some(why);
                Channel::Active(self)
            }
            Ok(FinalBase::Neither) => {
                effects.send.push(self.common.receipts.refuse(Nonce::FINAL, RefuseReason::Stale));
                Channel::Active(self)
            }
            // Not deep enough, or nothing was heard of the chain: a reorganisation could change what
            // was paid in.
            Ok(FinalBase::Agreed)
                if self.common.receipts.proposal.is_none() && !self.common.is_chain_sound(context) =>
            {
                effects.send.push(self.common.receipts.refuse(Nonce::FINAL, RefuseReason::NotNow));
                Channel::Active(self)
            }
            Ok(FinalBase::Agreed) if self.common.receipts.proposal.is_none() => {
                self.fail_queue(&CommandError::Closing, effects);
                let (command_id, is_partner_stale) = (self.close_command, self.link.peer_may_be_stale);
                CooperativeClosing::answering(
                    self.common,
                    final_receipt,
                    command_id,
                    is_partner_stale,
                    context,
                    effects,
                )
            }
            // With an own proposal out this side can't sign a FINAL, but the partner's is as good.
            Ok(FinalBase::Agreed | FinalBase::Proposal) => {
                let Final { base_nonce, balances, signature } = final_receipt;
                let command_id = self.close_command.take();
                self.start_closing(ClosePlan::Final { base_nonce, balances, signature }, command_id, effects)
            }
        }
    }

    /// Signs FINAL once the cooperative close that somebody asked for is possible.
    pub(super) fn sign_final_if_ready(
        mut self: Box<Self>,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        if self.common.receipts.proposal.is_some()
            || !self.link.synced
            || !self.common.is_chain_sound(context)
        {
            return Channel::Active(self);
        }
        let Some(command_id) = self.close_command.take() else { return Channel::Active(self) };
        self.fail_queue(&CommandError::Closing, effects);
        CooperativeClosing::asking(self.common, command_id, context, effects)
    }

    pub(super) fn close(
        mut self: Box<Self>,
        command_id: CommandId,
        mode: CloseMode,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        let refused = match mode {
            _ if !matches!(self.common.view.status, OnChain::Active { .. }) => {
                CommandError::WrongState(StateConflict::OpeningTakenBack)
            }
            CloseMode::Alone => {
                let plan = self.common.receipts.close_plan(self.common.role());
                return self.start_closing(plan, Some(command_id), effects);
            }
            CloseMode::Receipt(evidence) => {
                if let Some(plan) = self.chosen_plan(evidence, context) {
                    return self.start_closing(plan, Some(command_id), effects);
                }
                CommandError::BadReceipt
            }
            CloseMode::Cooperative if !self.link.online => CommandError::PeerOffline,
            CloseMode::Cooperative if self.link.peer_stopped || self.link.peer_may_be_stale => {
                CommandError::PeerStopped
            }
            CloseMode::Cooperative if self.close_command.is_some() => CommandError::UnderWay,
            CloseMode::Cooperative => {
                self.close_command = Some(command_id);
                self.fail_queue(&CommandError::Closing, effects);
                return self.sign_final_if_ready(context, effects);
            }
        };
        effects.reply.push((command_id, Err(refused)));
        Channel::Active(self)
    }

    pub(super) fn chosen_plan(&self, evidence: Evidence, context: &Context<'_>) -> Option<ClosePlan> {
        let partner = self.common.role().other();
        let Receipt { nonce, balances } = evidence.receipt;
        let valid = match evidence.signature {
            None => {
                nonce == Nonce::ZERO
                    && matches!(self.common.view.status, OnChain::Active { paid_in } if paid_in == balances)
            }
            Some(signature) => {
                nonce > Nonce::ZERO
                    && nonce < Nonce::FINAL
                    && self.common.setup.adds_up(balances)
                    && self.common.setup.verify(&evidence.receipt, &signature, partner, context.crypto)
            }
        };
        valid.then_some(ClosePlan::Receipt(evidence))
    }

    /// Rule 10: from here on nothing is signed, whatever becomes of the transaction.
    pub(super) fn start_closing(
        mut self: Box<Self>,
        plan: ClosePlan,
        command_id: Option<CommandId>,
        effects: &mut Effects,
    ) -> Channel {
        self.stop_paying(effects);
        command_id.into_iter().for_each(|command_id| self.common.waiting.push(command_id, CallKind::Close));
        Closing::begin(self.common, plan, effects)
    }

    /// The chain took back what somebody had paid in, so that receipts are worth nothing: what is
    /// still there comes back.
    pub(super) fn cancel(mut self: Box<Self>, command_id: CommandId, effects: &mut Effects) -> Channel {
        self.stop_paying(effects);
        Closing::cancel(self.common, command_id, effects)
    }

    pub(super) fn stop_paying(&mut self, effects: &mut Effects) {
        self.fail_queue(&CommandError::Closing, effects);
        effects.fail_commands(self.close_command.take(), &CommandError::Closing);
        if let Some(own) = &mut self.common.receipts.proposal {
            effects.fail_commands(own.take_command_ids(), &CommandError::Undecided);
        }
    }

    pub(super) fn chain_view(
        mut self: Box<Self>,
        view: ChainView,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        self.common.take_view(view, effects);
        let receipts = &self.common.receipts;
        let untouched = receipts.agreed.nonce() == Nonce::ZERO && receipts.proposal.is_none();
        match view.status {
            OnChain::Active { paid_in } => {
                self.common.take_paid_in(paid_in, effects);
                self.propose(context, effects);
                self.sign_final_if_ready(context, effects)
            }
            OnChain::Missing | OnChain::Empty { .. } if untouched => {
                self.fail_queue(&CommandError::NotConfirmed, effects);
                effects.fail_commands(self.close_command.take(), &CommandError::NotConfirmed);
                let Self { common, deposit, link, .. } = *self;
                Channel::Opening(Box::new(Opening::new(common, deposit, link.online)))
            }
            OnChain::Missing | OnChain::Empty { .. } => {
                effects.notify.push(ChannelNotice::AtRisk(Risk::OpeningTakenBack));
                Channel::Active(self)
            }
            OnChain::Closing(_) | OnChain::Closed { .. } => {
                self.stop_paying(effects);
                self.common.into_closing_or_closed(context, effects)
            }
        }
    }
}
