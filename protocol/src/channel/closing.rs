//! `Closing`: a closing was begun here or seen on the chain (rule 10); nothing is signed any more.

use crate::onchain::{self, Call, CallKind, ChainView, ClosePlan, Evidence, OnChain};
use crate::wire::{Message, Propose, RefuseReason, Sync};
use crate::{AgreedReceipt, Balances, Nonce};

use super::closed::Closed;
use super::command_outcome::{ClosedBy, CommandError, CommandOutcome};
use super::common::Common;
use super::effects::{ChannelNotice, Effects, Risk};
use super::input::{ChainInput, ChannelCommand, CloseMode, CommandId, Context, Input, PeerInput};
use super::receipts::Proposal;
use super::refusal::{NoChallenge, StateConflict};
use super::rules::{Claim, judge_claim};
use super::{Channel, late_proposal};

/// A channel on its way to CLOSED.
#[derive(Debug, Clone)]
pub struct Closing {
    /// What all states have in common.
    pub common: Common,
    /// How this side closes, if it does.
    pub plan: Option<ClosePlan>,
    /// Whether the closer's last proposal was taken into the history (rule 12).
    pub(super) recorded: bool,
    /// Whether the user asked for the challenge, which this side does not make by itself then.
    told_to_challenge: bool,
}

impl Closing {
    /// This side closes. The flag is on disk before the transaction goes out.
    pub(super) fn begin(common: Common, plan: ClosePlan, effects: &mut Effects) -> Channel {
        Self::new(common, Some(plan)).announce(Call::Close(plan), effects)
    }

    /// The chain took back what somebody had paid in: what is still there comes back.
    pub(super) fn cancel(mut common: Common, command_id: CommandId, effects: &mut Effects) -> Channel {
        common.waiting.push(command_id, CallKind::Cancel);
        Self::new(common, None).announce(Call::Cancel, effects)
    }

    fn announce(self, call: Call, effects: &mut Effects) -> Channel {
        effects.persist();
        effects.submit.push(call);
        effects.send.push(self.sync(false));
        Channel::Closing(Box::new(self))
    }

    pub(super) const fn new(common: Common, plan: Option<ClosePlan>) -> Self {
        Self { common, plan, recorded: false, told_to_challenge: false }
    }

    /// The chain shows a closing, of a channel that may have lost data.
    pub(super) fn seen_from(common: Common, context: &Context<'_>, effects: &mut Effects) -> Channel {
        effects.persist();
        Box::new(Self::new(common, None)).on_chain(None, context, effects)
    }

    /// The closing on the chain.
    pub const fn seen(&self) -> Option<&onchain::ChainClosing> {
        match &self.common.view.status {
            OnChain::Closing(closing) => Some(closing),
            OnChain::Missing | OnChain::Empty { .. } | OnChain::Active { .. } | OnChain::Closed { .. } => {
                None
            }
        }
    }

    /// The receipt that punishes the closing on the chain, if the partner closed on an old one.
    pub fn challenge_evidence(&self) -> Option<Evidence> {
        self.common.receipts.challenge_evidence(self.common.role(), self.seen()?)
    }

    /// Whether a transaction sent now can still be in time for a challenge.
    fn in_challenge_period(&self, context: &Context<'_>) -> bool {
        let next = self.common.head(context).saturating_add(1);
        self.seen().is_some_and(|closing| next < closing.withdrawable_at())
    }

    pub(super) fn next_block(&self, context: &Context<'_>) -> Option<u64> {
        let (head, last) = (self.common.head(context), self.seen()?.withdrawable_at().saturating_sub(1));
        // Also when the time seems to be over: an endpoint may have shown a block that there is none of.
        if self.challenge_evidence().is_some() {
            return Some(head.saturating_add(1));
        }
        (head < last).then_some(last)
    }

    /// Whether a challenge is due that this side is to make: it is asked for again with each block
    /// until it is mined, whatever became of it.
    fn challenges(&self, context: &Context<'_>) -> bool {
        let wanted = context.auto_challenge || self.told_to_challenge;
        wanted && self.challenge_evidence().is_some() && self.in_challenge_period(context)
    }

    pub(super) fn apply(
        mut self: Box<Self>,
        input: Input,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        match input {
            Input::Command(command_id, command) => self.command(command_id, command, context, effects),
            Input::Peer(PeerInput::Connected { initiator }) => {
                if initiator {
                    effects.send.push(self.sync(true));
                }
            }
            Input::Peer(PeerInput::Message { message, repeated }) => {
                self.message(message, &repeated, context, effects);
            }
            Input::Chain(ChainInput::View(view)) => return self.chain_view(view, context, effects),
            Input::Chain(ChainInput::CallFailed { kind, reason }) => {
                if kind == CallKind::Challenge && self.challenges(context) {
                    effects.notify.push(ChannelNotice::AtRisk(Risk::ChallengeFailed));
                }
                self.common.waiting.reply(kind, &Err(CommandError::CallFailed { kind, reason }), effects);
            }
            Input::Chain(ChainInput::Block) => self.block(context, effects),
            Input::Chain(ChainInput::Claimed(closing)) => {
                self.common.challenge_claimed(&closing, context, effects);
            }
            Input::Flush => {}
            Input::Resume => self.resume(context, effects),
            Input::Peer(PeerInput::Disconnected) | Input::Chain(ChainInput::Invalid(_)) | Input::Tick => {}
        }
        Channel::Closing(self)
    }

    /// Asks again for whatever the state calls for. Asking twice changes nothing.
    fn resume(&self, context: &Context<'_>, effects: &mut Effects) {
        match (self.seen(), self.plan) {
            (None, Some(plan)) => effects.submit.push(Call::Close(plan)),
            (Some(_), _) => self.challenge_if_due(context, effects),
            (None, None) => {}
        }
    }

    fn block(&self, context: &Context<'_>, effects: &mut Effects) {
        if self.challenges(context) {
            effects.submit.extend(self.challenge_evidence().map(Call::Challenge));
        } else if self.seen().is_some() && !self.in_challenge_period(context) {
            effects.notify.push(ChannelNotice::Withdrawable);
        }
    }

    pub(super) fn challenge_if_due(&self, context: &Context<'_>, effects: &mut Effects) {
        let Some(evidence) = self.challenge_evidence() else { return };
        if !self.in_challenge_period(context) {
            effects.notify.push(ChannelNotice::AtRisk(Risk::ChallengePeriodMissed));
        } else if context.auto_challenge {
            effects.submit.push(Call::Challenge(evidence));
        } else {
            effects.notify.push(ChannelNotice::AtRisk(Risk::OldReceiptClosedOn));
        }
    }

    fn command(
        &mut self,
        command_id: CommandId,
        command: ChannelCommand,
        context: &Context<'_>,
        effects: &mut Effects,
    ) {
        let result = match command {
            ChannelCommand::Pay { payment, known, .. } => {
                let outcome = known.map_or(Err(CommandError::Closing), |known| {
                    known.outcome_if(&payment, |nonce| self.status_of(nonce))
                });
                effects.reply.push((command_id, outcome));
                return;
            }
            ChannelCommand::Close(mode) => self.close(&mode, effects),
            ChannelCommand::Challenge => self.challenge(context),
            ChannelCommand::Withdraw => self.withdraw(context),
            ChannelCommand::Cancel if matches!(self.common.view.status, OnChain::Empty { .. }) => {
                Ok(Call::Cancel)
            }
            ChannelCommand::ImportReceipt(given) => {
                let outcome = self.import(&given, context, effects);
                effects.reply.push((command_id, outcome));
                return;
            }
            ChannelCommand::Fund { .. } | ChannelCommand::Cancel | ChannelCommand::SignFinal => {
                Err(CommandError::WrongState(StateConflict::Closing))
            }
        };
        match result {
            Ok(call) => {
                self.common.waiting.push(command_id, call.kind());
                effects.submit.push(call);
            }
            Err(why) => effects.reply.push((command_id, Err(why))),
        }
    }

    /// A closing that was begun and never mined can be asked for again, on the same plan: by then
    /// the first transaction may be anywhere.
    fn close(&mut self, mode: &CloseMode, effects: &mut Effects) -> Result<Call, CommandError> {
        if self.seen().is_some() {
            return Err(CommandError::WrongState(StateConflict::ClosingMined));
        }
        match (mode, self.plan) {
            (CloseMode::Receipt(_), _) => Err(CommandError::UnderWay),
            (CloseMode::Alone | CloseMode::Cooperative, Some(plan)) => Ok(Call::Close(plan)),
            (CloseMode::Alone | CloseMode::Cooperative, None) if self.common.may_be_stale => {
                Err(CommandError::DataLost)
            }
            (CloseMode::Alone | CloseMode::Cooperative, None) => {
                let plan = self.common.receipts.close_plan(self.common.role());
                self.plan = Some(plan);
                effects.persist();
                Ok(Call::Close(plan))
            }
        }
    }

    fn challenge(&mut self, context: &Context<'_>) -> Result<Call, CommandError> {
        let Some(closing) = self.seen() else {
            return Err(CommandError::NothingToChallenge(NoChallenge::NoClosingMined));
        };
        if closing.closer == self.common.role() {
            return Err(CommandError::NothingToChallenge(NoChallenge::OwnClosing));
        }
        let Some(evidence) = self.challenge_evidence() else {
            return Err(CommandError::NothingToChallenge(NoChallenge::NewestReceipt));
        };
        if !self.in_challenge_period(context) {
            return Err(CommandError::NothingToChallenge(NoChallenge::PeriodOver));
        }
        self.told_to_challenge = true;
        Ok(Call::Challenge(evidence))
    }

    fn withdraw(&self, context: &Context<'_>) -> Result<Call, CommandError> {
        let Some(closing) = self.seen() else {
            return Err(CommandError::WrongState(StateConflict::ClosingNotMined));
        };
        let (head, withdrawable_at) = (self.common.head(context), closing.withdrawable_at());
        if head.saturating_add(1) < withdrawable_at {
            return Err(CommandError::TooEarly { withdrawable_at, head });
        }
        Ok(Call::Withdraw)
    }

    // ---- the partner --------------------------------------------------------------------------

    fn sync(&self, wants_reply: bool) -> Message {
        self.common.sync(None, true, wants_reply)
    }

    fn message(
        &mut self,
        message: Message,
        repeated: &[crate::PaymentId],
        context: &Context<'_>,
        effects: &mut Effects,
    ) {
        let refused = match message {
            Message::Sync(sync) => {
                self.on_sync(&sync, repeated, context, effects);
                return;
            }
            Message::Answer(answer) => {
                let answered = self.common.receipts.answered_by(answer.signature, self.common.role());
                if let Some(claim) = answered.filter(|claim| claim.nonce() == answer.nonce) {
                    self.take_answer(&claim, context, effects);
                }
                return;
            }
            Message::Propose(propose) if self.record(&propose, repeated, context, effects) => return,
            Message::Propose(propose) => propose.nonce,
            Message::Final(_) => Nonce::FINAL,
            Message::Refuse(_) => return,
        };
        effects.send.push(self.common.receipts.refuse(refused, RefuseReason::Stopped));
    }

    fn on_sync(
        &mut self,
        sync: &Sync,
        repeated: &[crate::PaymentId],
        context: &Context<'_>,
        effects: &mut Effects,
    ) {
        self.take_answer(&sync.agreed, context, effects);
        if let Some(propose) = &sync.proposal {
            self.record(propose, repeated, context, effects);
        }
        if sync.wants_reply {
            effects.send.push(self.sync(false));
        }
    }

    /// The own proposal turns out to be answered: nothing has to be signed to take that.
    fn take_answer(&mut self, claim: &AgreedReceipt, context: &Context<'_>, effects: &mut Effects) {
        match judge_claim(&self.common.setup, &self.common.receipts, claim, context.crypto) {
            // The chain closed on the partner's last proposal, and its payments are in the history. If
            // it crossed the own one, that can't be in as well, also if the closing is taken back.
            Ok(Claim::Answers(_)) if self.recorded => {}
            Ok(Claim::Answers(theirs)) => {
                let Some(agreed) = self.common.receipts.answered_by(theirs, self.common.role()) else {
                    return;
                };
                self.common.receipts.take_over(agreed);
                effects.persist();
                self.challenge_if_due(context, effects);
            }
            Ok(Claim::LostData) => {
                self.common.receipts.take_over(*claim);
                self.lose(Risk::PartnerHasNewerReceipt, effects);
                self.challenge_if_due(context, effects);
            }
            Ok(Claim::Known | Claim::OtherPaidIn) => {}
            Err(why) => effects.misbehaviour = Some(why),
        }
    }

    /// Data was lost, which proves that the plan is on an old receipt. A FINAL one can't be.
    pub(super) fn lose(&mut self, why: Risk, effects: &mut Effects) {
        if !self.common.may_be_stale {
            effects.notify.push(ChannelNotice::AtRisk(why));
        }
        self.common.may_be_stale = true;
        self.plan.take_if(|plan| !matches!(plan, ClosePlan::Final { .. }));
        effects.persist();
    }

    /// Rule 12: the closer's last proposal is accepted for the record, not signed, when the chain
    /// closed on exactly it.
    fn record(
        &mut self,
        propose: &Propose,
        repeated: &[crate::PaymentId],
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> bool {
        let Some(closing) = self.seen() else { return false };
        if self.recorded
            && late_proposal::is_wanted(&self.common.setup, closing)
            && propose.nonce == closing.nonce
        {
            return true;
        }
        let recorded = late_proposal::record(&self.common, closing, propose, repeated, context, effects);
        self.recorded |= recorded;
        recorded
    }

    // ---- the chain ----------------------------------------------------------------------------

    pub(super) fn chain_view(
        mut self: Box<Self>,
        view: ChainView,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        let before = self.seen().copied();
        self.common.take_view(view, effects);
        self.on_chain(before, context, effects)
    }

    /// Does what the view calls for; `before` is the closing that was on the chain before.
    pub(super) fn on_chain(
        mut self: Box<Self>,
        before: Option<onchain::ChainClosing>,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        match self.common.view.status {
            OnChain::Missing | OnChain::Empty { .. } => {}
            // A reorganisation took the closing back, or brought the channel back.
            OnChain::Active { paid_in } => {
                self.pay_in_again(paid_in, effects);
                effects.submit.extend(self.plan.map(Call::Close));
            }
            OnChain::Closing(closing) => {
                self.closing_seen(&closing, effects);
                let is_new = !before.is_some_and(|before| before.is_same(&closing));
                // That its event is read now changes nothing for a challenge.
                if is_new || before == Some(closing) {
                    self.challenge_if_due(context, effects);
                }
                if is_new {
                    self.warn_of_lost_data(context, effects);
                }
            }
            OnChain::Closed { .. } => {
                let Self { common, plan, recorded, .. } = *self;
                let closed = Closed { plan, recorded, ..Closed::new(common) };
                return Channel::Closed(closed.seen(context, effects));
            }
        }
        Channel::Closing(self)
    }

    /// Receipt 0 is what the chain says: a reorganisation can have changed it.
    fn pay_in_again(&mut self, paid_in: Balances, effects: &mut Effects) {
        let is_changed = self.common.take_paid_in(paid_in, effects);
        if is_changed && matches!(self.plan, Some(ClosePlan::Receipt(Evidence { signature: None, .. }))) {
            self.plan = Some(self.common.receipts.close_plan(self.common.role()));
        }
    }

    fn closing_seen(&mut self, closing: &onchain::ChainClosing, effects: &mut Effects) {
        if closing.closer == self.common.role() {
            self.common.waiting.reply(CallKind::Close, &Ok(closed_by(closing, self.plan.as_ref())), effects);
            return;
        }
        self.common.waiting.reply(
            CallKind::Close,
            &Err(CommandError::WrongState(StateConflict::PartnerClosedFirst)),
            effects,
        );
        let own = self.common.receipts.proposal.as_ref().map(Proposal::receipt);
        let newest = own.map_or(Nonce::ZERO, |own| own.nonce).max(self.common.receipts.agreed.nonce());
        // Without the event, a nonce that a proposal on a known receipt can have proves nothing.
        let is_plain = closing.event.is_some_and(|event| !event.by_proposal);
        let newer = closing.nonce > newest && (is_plain || closing.min_base_nonce() > newest.get());
        // The own signature under the proposal's nonce and other balances proves it, too (rule 9).
        let other = own.is_some_and(|own| own.nonce == closing.nonce && own.balances != closing.balances);
        let unknown = newer || other && is_plain;
        if unknown {
            self.lose(Risk::UnknownReceiptClosedOn, effects);
        }
        if late_proposal::is_wanted(&self.common.setup, closing) && !self.recorded {
            // The proposal may have come before the chain showed the closing.
            effects.send.push(self.sync(true));
        }
    }

    /// The partner closes on what cannot be challenged with what a lost side has.
    fn warn_of_lost_data(&self, context: &Context<'_>, effects: &mut Effects) {
        let by_partner = self.seen().is_some_and(|closing| closing.closer != self.common.role());
        let is_open = self.challenge_evidence().is_none() && self.in_challenge_period(context);
        if self.common.may_be_stale && by_partner && is_open {
            effects.notify.push(ChannelNotice::AtRisk(Risk::NothingNewerToChallengeWith));
        }
    }

    /// Starts from CLOSED again, because the chain took that back.
    pub(super) fn reopened(closed: Closed) -> Box<Self> {
        let Closed { common, plan, recorded, .. } = closed;
        Box::new(Self { recorded, ..Self::new(common, plan) })
    }
}

/// The outcome of `closechannel`, once the chain shows this side's closing. While the event is not
/// read, the plan tells how the channel was closed.
pub(super) fn closed_by(closing: &onchain::ChainClosing, plan: Option<&ClosePlan>) -> CommandOutcome {
    let planned = plan.map_or(ClosedBy::Unilateral, ClosePlan::mode);
    let mode = closing
        .event
        .map_or(planned, |event| if event.by_proposal { ClosedBy::Proposal } else { ClosedBy::Unilateral });
    let tx = closing.event.map(|event| event.tx);
    CommandOutcome::Closing {
        tx,
        mode,
        nonce: closing.nonce,
        withdrawable_at: Some(closing.withdrawable_at()),
    }
}
