//! `Common`: what all states of a channel have.
//!
//! Its receipts, the chain's view of it, and who waits for contract calls.

use crate::onchain::{self, Call, CallKind, ChainView, OnChain};
use crate::wire::{Final, Message, Sync};
use crate::{Balances, Role};

use super::Channel;
use super::closed::Closed;
use super::closing::Closing;
use super::command_outcome::{CommandError, CommandOutcome};
use super::effects::{ChannelNotice, Effects, Risk};
use super::input::{CommandId, Context};
use super::receipts::{Proposal, Receipts};
use super::refusal::StateConflict;
use super::terms::Setup;

/// The terms, the receipts, what the chain last said, and who waits for the chain.
#[derive(Debug, Clone)]
pub struct Common {
    /// Who, where and how much.
    pub setup: Setup,
    /// The receipts. Before the first receipt can be signed they say nothing: see [`Channel::receipts`].
    pub receipts: Receipts,
    /// What the chain last said.
    pub view: ChainView,
    /// Whether the receipts may be older than what this side has signed: data was lost, or the channel
    /// comes out of a backup (rule 9).
    pub may_be_stale: bool,
    pub(super) waiting: CallWaiters,
}

impl Common {
    /// A channel that the chain does not know.
    pub(super) fn new(setup: Setup) -> Self {
        let (receipts, view) = (Receipts::unused(), ChainView::missing(0));
        Self { setup, receipts, view, may_be_stale: false, waiting: CallWaiters::default() }
    }

    pub(super) const fn role(&self) -> Role {
        self.setup.role()
    }

    /// The newest block that counts: the last one that was fully processed, or, until there is one, the
    /// one of the view. Only the former moves with every block, and never runs ahead of the chain because
    /// one view was read from an endpoint that did.
    pub(super) fn head(&self, context: &Context<'_>) -> u64 {
        context.head.unwrap_or(self.view.head)
    }

    /// Whether the newest event is deep enough in the chain.
    pub(super) fn is_confirmed(&self, context: &Context<'_>) -> bool {
        ChainView { head: self.head(context), ..self.view }.is_confirmed(context.confirmations)
    }

    /// The block with which the newest event is deep enough; `None` while there is no event.
    pub(super) fn confirmed_at(&self, confirmations: u64) -> Option<u64> {
        self.view.newest.map(|event| event.block.saturating_add(confirmations).saturating_sub(1))
    }

    /// [`Self::confirmed_at`], unless the newest event is deep enough already.
    pub(super) fn next_confirmation(&self, context: &Context<'_>) -> Option<u64> {
        self.confirmed_at(context.confirmations).filter(|_| !self.is_confirmed(context))
    }

    /// Whether the chain shows the channel ACTIVE, deep enough, and was heard of recently (rule 7).
    pub(super) fn is_chain_sound(&self, context: &Context<'_>) -> bool {
        self.is_confirmed(context)
            && context.chain_fresh
            && matches!(self.view.status, OnChain::Active { .. })
    }

    /// The block with which an ACTIVE channel's chain may be sound; `None` if it is already.
    pub(super) fn next_sound_block(&self, context: &Context<'_>) -> Option<u64> {
        if self.is_chain_sound(context) || !matches!(self.view.status, OnChain::Active { .. }) {
            return None;
        }
        // Not deep enough, or the chain was silent for too long: then the next block says more.
        let deep = self.confirmed_at(context.confirmations)?;
        Some(deep.max(self.head(context).saturating_add(1)))
    }

    /// Takes what the chain says now; on disk if it is something new.
    pub(super) fn take_view(&mut self, view: ChainView, effects: &mut Effects) {
        if view.newest != self.view.newest || view.status != self.view.status {
            effects.persist();
        }
        self.view = view;
    }

    /// As long as nothing is signed, receipt 0 is what the chain says was paid in. Reports whether it has
    /// changed.
    pub(super) fn take_paid_in(&mut self, paid_in: Balances, effects: &mut Effects) -> bool {
        let changed = self.receipts.take_paid_in(paid_in);
        if changed {
            effects.persist();
        }
        changed
    }

    /// Leaves a state in which the channel was open: the chain shows a closing, or the end.
    pub(super) fn into_closing_or_closed(mut self, context: &Context<'_>, effects: &mut Effects) -> Channel {
        if matches!(self.view.status, OnChain::Closed { .. }) {
            return Channel::Closed(Closed::new(self).seen(context, effects));
        }
        let denied = CommandError::WrongState(StateConflict::PartnerClosedAlone);
        self.waiting.reply_all(&Err(denied), effects);
        Closing::seen_from(self, context, effects)
    }

    /// Challenges a closing that one endpoint shows and another contradicts (guard rule G6), if it is on
    /// an old receipt. Nothing is taken for true.
    pub(super) fn challenge_claimed(
        &self,
        closing: &onchain::ChainClosing,
        context: &Context<'_>,
        effects: &mut Effects,
    ) {
        let Some(evidence) = self.receipts.challenge_evidence(self.role(), closing) else { return };
        if context.auto_challenge {
            effects.submit.push(Call::Challenge(evidence));
        } else {
            effects.notify.push(ChannelNotice::AtRisk(Risk::OldReceiptClosedOn));
        }
    }

    /// Where this side stands, for the partner.
    pub(super) fn sync(&self, final_receipt: Option<&Final>, closing: bool, wants_reply: bool) -> Message {
        let sync = Sync {
            agreed: self.receipts.agreed,
            proposal: self.receipts.proposal.as_ref().map(Proposal::message),
            own_final: final_receipt.cloned(),
            closing,
            lost: self.may_be_stale,
            wants_reply,
        };
        Message::Sync(sync.into())
    }
}

/// A command that waits for the effect of a contract call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallWaiter {
    pub(crate) command_id: CommandId,
    pub(crate) kind: CallKind,
}

/// The commands that wait for contract calls, answered when the chain shows the effect or the call fails.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallWaiters(Vec<CallWaiter>);

impl CallWaiters {
    pub(crate) fn push(&mut self, command_id: CommandId, kind: CallKind) {
        self.0.push(CallWaiter { command_id, kind });
    }

    pub(crate) fn is_waiting_for(&self, kind: CallKind) -> bool {
        self.0.iter().any(|waiting| waiting.kind == kind)
    }

    /// Takes out the commands that wait for `kind`.
    pub(crate) fn take(&mut self, kind: CallKind) -> Vec<CommandId> {
        let (taken, left) = self.0.drain(..).partition::<Vec<_>, _>(|waiting| waiting.kind == kind);
        self.0 = left;
        taken.into_iter().map(|waiting| waiting.command_id).collect()
    }

    /// Replies to the commands that wait for `kind`.
    pub(crate) fn reply(
        &mut self,
        kind: CallKind,
        reply: &Result<CommandOutcome, CommandError>,
        effects: &mut Effects,
    ) {
        effects.reply.extend(self.take(kind).into_iter().map(|command_id| (command_id, reply.clone())));
    }

    /// Replies to all commands.
    pub(crate) fn reply_all(&mut self, reply: &Result<CommandOutcome, CommandError>, effects: &mut Effects) {
        effects.reply.extend(self.0.drain(..).map(|waiting| (waiting.command_id, reply.clone())));
    }
}
