//! `Closed`: the channel is paid out, or never came onto the chain.

use crate::onchain::{self, CallKind, ChainView, ChannelEnd, ClosePlan, EndKind, OnChain};
use crate::wire::{Message, Propose, RefuseReason};
use crate::{Amount, Balances, Nonce, PaymentId};

use super::closing::{Closing, closed_by};
use super::command_outcome::{ClosedBy, CommandError, CommandOutcome};
use super::common::Common;
use super::effects::Effects;
use super::input::{ChainInput, ChannelCommand, CommandId, Context, Input, Millis, PeerInput};
use super::opening::Opening;
use super::refusal::{NoChallenge, StateConflict};
use super::{Channel, late_proposal};

/// A channel at its end. Until the end is deep in the chain a reorganisation can take it back.
#[derive(Debug, Clone)]
pub struct Closed {
    /// What all states have in common.
    pub common: Common,
    /// Whether there were ever any receipts, and they are still kept.
    pub(super) has_receipts: bool,
    /// How this side was closing, if it was.
    pub plan: Option<ClosePlan>,
    /// Whether the closer's last proposal was taken into the history (rule 12).
    pub(super) recorded: bool,
    /// When this side saw the end, by its own clock, in milliseconds since 1970. A block's number would be the word of an
    /// endpoint.
    pub seen_at: Option<Millis>,
}

/// How a channel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it is made for one look, and mostly the larger one")]
pub enum ClosedOutcome {
    /// It never came onto the chain; nothing was paid in.
    Abandoned,
    /// It was closed on chain.
    Ended {
        /// The closing before it, if there was one.
        closing: Option<onchain::ChainClosing>,
        /// The end.
        end: ChannelEnd,
    },
}

impl Closed {
    pub(super) const fn new(common: Common) -> Self {
        Self { common, has_receipts: true, plan: None, recorded: false, seen_at: None }
    }

    /// A channel in which nothing was ever signed.
    pub(super) fn unused(common: Common) -> Self {
        Self { has_receipts: false, ..Self::new(common) }
    }

    /// The chain shows the end: whoever waited for it is told.
    pub(super) fn seen(mut self, context: &Context<'_>, effects: &mut Effects) -> Box<Self> {
        effects.persist();
        self.seen_at = Some(context.now);
        for kind in [CallKind::Close, CallKind::Challenge, CallKind::Withdraw, CallKind::Cancel] {
            let done = self.done(kind);
            self.common.waiting.reply(kind, &done, effects);
        }
        self.common.waiting.reply_all(&Err(CommandError::WrongState(StateConflict::Closed)), effects);
        self.ask_for_late_proposal(effects);
        Box::new(self)
    }

    /// The closing by the partner's proposal whose payments are not in the history yet.
    fn unrecorded(&self) -> Option<onchain::ChainClosing> {
        match self.outcome() {
            ClosedOutcome::Ended {
                closing: Some(closing),
                end: ChannelEnd { kind: EndKind::Withdrawn, .. },
            } if !self.recorded && late_proposal::is_wanted(&self.common.setup, &closing) => Some(closing),
            ClosedOutcome::Ended { .. } | ClosedOutcome::Abandoned => None,
        }
    }

    /// Whether the partner still has to show what it closed on (rule 12).
    pub(super) fn wants_late_proposal(&self) -> bool {
        self.has_receipts && self.unrecorded().is_some()
    }

    fn ask_for_late_proposal(&self, effects: &mut Effects) {
        if self.wants_late_proposal() {
            effects.send.push(self.sync(true));
        }
    }

    fn sync(&self, wants_reply: bool) -> Message {
        self.common.sync(None, true, wants_reply)
    }

    /// How it ended.
    pub const fn outcome(&self) -> ClosedOutcome {
        match self.common.view.status {
            OnChain::Closed { closing, end } => ClosedOutcome::Ended { closing, end },
            OnChain::Missing | OnChain::Empty { .. } | OnChain::Active { .. } | OnChain::Closing(_) => {
                ClosedOutcome::Abandoned
            }
        }
    }

    /// What somebody who asked for `kind` learns: the end counts, whoever brought it about.
    fn done(&self, kind: CallKind) -> Result<CommandOutcome, CommandError> {
        let (ClosedOutcome::Ended { end, closing }, Some(event)) = (self.outcome(), self.common.view.newest)
        else {
            return Err(CommandError::WrongState(StateConflict::NeverOpened));
        };
        let tx = event.tx;
        let own_closing = closing.filter(|closing| closing.closer == self.common.role());
        match (kind, end.kind) {
            (CallKind::Close, EndKind::Withdrawn | EndKind::Challenged)
                if let Some(closing) = own_closing =>
            {
                Ok(closed_by(&closing, self.plan.as_ref()))
            }
            (CallKind::Close, EndKind::Final) => Ok(CommandOutcome::Closing {
                tx,
                mode: ClosedBy::Cooperative,
                nonce: Nonce::FINAL,
                withdrawable_at: None,
            }),
            (CallKind::Close, EndKind::Cancelled | EndKind::Withdrawn | EndKind::Challenged)
            | (CallKind::Open | CallKind::Fund, _) => Err(CommandError::WrongState(StateConflict::Closed)),
            (CallKind::Cancel, EndKind::Final | EndKind::Withdrawn | EndKind::Challenged) => {
                Err(CommandError::WrongState(StateConflict::NotCancelled))
            }
            (CallKind::Challenge, EndKind::Cancelled | EndKind::Final | EndKind::Withdrawn) => {
                Err(CommandError::NothingToChallenge(NoChallenge::PaidOut))
            }
            (CallKind::Challenge, EndKind::Challenged)
                if closing.is_none_or(|closing| closing.closer == self.common.role()) =>
            {
                Err(CommandError::NothingToChallenge(NoChallenge::PartnerChallenged))
            }
            (CallKind::Challenge, EndKind::Challenged)
            | (CallKind::Withdraw, _)
            | (CallKind::Cancel, EndKind::Cancelled) => {
                Ok(CommandOutcome::PaidOut { tx, received: end.received(self.common.role()) })
            }
        }
    }

    pub(super) fn balances(&self) -> Balances {
        match self.outcome() {
            ClosedOutcome::Ended { end, .. } => end.paid_out,
            ClosedOutcome::Abandoned => Balances { a: Amount::ZERO, b: Amount::ZERO },
        }
    }

    pub(super) fn is_end_deep(&self, context: &Context<'_>) -> bool {
        self.outcome() == ClosedOutcome::Abandoned || self.common.is_confirmed(context)
    }

    /// Returns how many blocks have to be mined above `head` (above the one of the view, if that is unknown)
    /// until the end is `confirmations` deep. A channel that never came onto the chain has no end.
    pub fn blocks_until_deep(&self, head: Option<u64>, confirmations: u64) -> u64 {
        let head = head.unwrap_or(self.common.view.head);
        match self.outcome() {
            ClosedOutcome::Ended { .. } => {
                self.common.confirmed_at(confirmations).map_or(0, |deep| deep.saturating_sub(head))
            }
            ClosedOutcome::Abandoned => 0,
        }
    }

    pub(super) fn next_block(&self, context: &Context<'_>) -> Option<u64> {
        self.common.confirmed_at(context.confirmations).filter(|_| !self.is_end_deep(context))
    }

    pub(super) fn apply(
        mut self: Box<Self>,
        input: Input,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        match input {
            Input::Command(command_id, command) => self.command(command_id, command, effects),
            Input::Peer(PeerInput::Message { message, repeated }) => {
                self.message(&message, &repeated, context, effects);
            }
            Input::Peer(PeerInput::Connected { .. }) => self.ask_for_late_proposal(effects),
            Input::Chain(ChainInput::View(view)) => return self.chain_view(view, context, effects),
            // An end may be invented, too.
            Input::Chain(ChainInput::Claimed(closing)) if self.has_receipts => {
                self.common.challenge_claimed(&closing, context, effects);
            }
            Input::Peer(PeerInput::Disconnected)
            | Input::Chain(
                ChainInput::Block
                | ChainInput::CallFailed { .. }
                | ChainInput::Claimed(_)
                | ChainInput::Invalid(_),
            )
            | Input::Tick
            | Input::Resume
            | Input::Flush => {}
        }
        Channel::Closed(self)
    }

    fn command(&self, command_id: CommandId, command: ChannelCommand, effects: &mut Effects) {
        let outcome = match command {
            ChannelCommand::Pay { payment, known, .. } => known
                .map_or(Err(CommandError::WrongState(StateConflict::Closed)), |known| {
                    known.outcome(&payment)
                }),
            ChannelCommand::Fund { .. } => Err(CommandError::WrongState(StateConflict::Closed)),
            ChannelCommand::Close(_) | ChannelCommand::SignFinal => {
                Err(CommandError::WrongState(StateConflict::ClosedAlready))
            }
            ChannelCommand::ImportReceipt(_) => Err(CommandError::WrongState(StateConflict::ImportTooLate)),
            ChannelCommand::Cancel => self.done(CallKind::Cancel),
            ChannelCommand::Challenge => self.done(CallKind::Challenge),
            ChannelCommand::Withdraw => self.done(CallKind::Withdraw),
        };
        effects.reply.push((command_id, outcome));
    }

    fn message(
        &mut self,
        message: &Message,
        repeated: &[PaymentId],
        context: &Context<'_>,
        effects: &mut Effects,
    ) {
        let refused = match message {
            Message::Sync(sync) => {
                if let Some(propose) = &sync.proposal {
                    self.record(propose, repeated, context, effects);
                }
                if self.has_receipts && sync.wants_reply {
                    effects.send.push(self.sync(false));
                }
                return;
            }
            Message::Propose(propose) => propose.nonce,
            Message::Final(_) => Nonce::FINAL,
            Message::Answer(_) | Message::Refuse(_) => return,
        };
        effects.send.push(self.common.receipts.refuse(refused, RefuseReason::Stopped));
    }

    /// Rule 12: the closer's last proposal is accepted for the record.
    fn record(
        &mut self,
        propose: &Propose,
        repeated: &[PaymentId],
        context: &Context<'_>,
        effects: &mut Effects,
    ) {
        if let Some(closing) = self.unrecorded().filter(|_| self.has_receipts) {
            self.recorded =
                late_proposal::record(&self.common, &closing, propose, repeated, context, effects);
        }
    }

    fn chain_view(
        mut self: Box<Self>,
        view: ChainView,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        let before = self.common.view.status;
        let was_closed = matches!(before, OnChain::Closed { .. });
        self.common.take_view(view, effects);
        match view.status {
            OnChain::Missing if was_closed && self.has_receipts => Channel::Closing(Closing::reopened(*self)),
            OnChain::Closed { .. } | OnChain::Missing => {
                if view.status != before {
                    self.ask_for_late_proposal(effects);
                }
                Channel::Closed(self)
            }
            // The chain took the end back, or an opening that had failed is there after all.
            OnChain::Empty { .. } | OnChain::Active { .. } | OnChain::Closing(_) if self.has_receipts => {
                Closing::reopened(*self).on_chain(None, context, effects)
            }
            OnChain::Empty { .. } | OnChain::Active { .. } | OnChain::Closing(_) => {
                let common =
                    Common { may_be_stale: self.common.may_be_stale, ..Common::new(self.common.setup) };
                let opening = Box::new(Opening::new(common, None, true));
                opening.apply(Input::Chain(ChainInput::View(view)), context, effects)
            }
        }
    }
}
