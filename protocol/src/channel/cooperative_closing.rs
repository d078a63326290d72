//! `CooperativeClosing`: the own FINAL receipt is signed (rule 11), and nothing more is.
//!
//! One of the sides posts the other's.

use crate::onchain::{CallKind, ChainView, ClosePlan, OnChain};
use crate::wire::{Final, Message, RefuseReason, Sync};
use crate::{Nonce, Receipt, Role};

use super::Channel;
use super::active::REPEAT_AFTER;
use super::closing::Closing;
use super::command_outcome::CommandError;
use super::common::Common;
use super::data_loss::DataLoss;
use super::effects::{ChannelNotice, Effects};
use super::input::{ChainInput, ChannelCommand, CloseMode, CommandId, Context, Input, Millis, PeerInput};
use super::receipt_import::ImportedReceipt;
use super::refusal::{NoChallenge, StateConflict};
use super::rules::{Claim, FinalBase, judge_claim, judge_final};
use super::terms::Setup;

/// How many blocks the side that posts first has for it, before the other does.
const POST_WITHIN: u64 = 8;

/// A channel on its way to a cooperative close.
#[derive(Debug, Clone)]
pub struct CooperativeClosing {
    /// What all states have in common; no own proposal is out.
    pub common: Common,
    /// The own FINAL.
    pub(super) own: Final,
    /// The partner's, once it is here.
    pub(super) theirs: Option<Final>,
    /// From which block on this side posts the partner's FINAL.
    pub(super) post_at: Option<u64>,
    pub(super) online: bool,
    /// When the own FINAL is sent again.
    pub(super) repeat_at: Option<Millis>,
}

/// Signs FINAL on a receipt.
pub(super) fn sign_final(setup: &Setup, base: &Receipt, context: &Context<'_>) -> Final {
    let Receipt { nonce: base_nonce, balances } = *base;
    let signature = context.crypto.sign(&setup.domain().final_digest(balances));
    Final { base_nonce, balances, signature }
}

impl Final {
    /// Whether a party is paid anything.
    fn has_share(&self, role: Role) -> bool {
        !self.balances.of(role).is_zero()
    }
}

impl CooperativeClosing {
    /// This side asks: it signs first and posts the partner's FINAL when that comes, if it has a share.
    pub(super) fn asking(
        mut common: Common,
        command_id: CommandId,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        common.waiting.push(command_id, CallKind::Close);
        let mut state = Self::sign(common, None, context, effects);
        state.repeat_at = Some(context.now.saturating_add(REPEAT_AFTER));
        Channel::CooperativeClosing(Box::new(state))
    }

    /// The partner asks, and its FINAL rests on what is agreed. It gets the own FINAL and posts first, if it has a share;
    /// if both asked, A does. Without a share, this side posts only if its own user asked: the transaction's gas would be
    /// paid for the partner alone.
    pub(super) fn answering(
        mut common: Common,
        theirs: Final,
        command_id: Option<CommandId>,
        is_partner_stale: bool,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        let (role, both_asked) = (common.role(), command_id.is_some());
        command_id.into_iter().for_each(|command_id| common.waiting.push(command_id, CallKind::Close));
        let mut state = Self::sign(common, Some(theirs), context, effects);
        let has_share = state.own.has_share(role);
        let is_alone = is_partner_stale || !state.own.has_share(role.other());
        let posts_first = has_share && (is_alone || (both_asked && role == Role::A));
        let head = state.common.head(context);
        state.post_at = (has_share || both_asked)
            .then(|| if posts_first { head } else { head.saturating_add(POST_WITHIN) });
        Box::new(state).post_if_due(context, effects)
    }

    fn sign(common: Common, theirs: Option<Final>, context: &Context<'_>, effects: &mut Effects) -> Self {
        let own = sign_final(&common.setup, &common.receipts.agreed.receipt, context);
        effects.persist();
        effects.send.push(Message::Final(own.clone()));
        Self { common, own, theirs, post_at: None, online: true, repeat_at: None }
    }

    pub(super) fn into_data_loss(self) -> DataLoss {
        DataLoss::new(self.common).with_final(self.own)
    }

    pub(super) const fn next_tick(&self) -> Option<Millis> {
        self.repeat_at
    }

    /// Says again that this is the end, until the partner says so too.
    fn tick(&mut self, context: &Context<'_>, effects: &mut Effects) {
        if self.repeat_at.is_none_or(|due| due > context.now) {
            return;
        }
        self.repeat_at = None;
        if self.online && self.theirs.is_none() {
            effects.send.push(Message::Final(self.own.clone()));
            self.repeat_at = Some(context.now.saturating_add(REPEAT_AFTER));
        }
    }

    pub(super) const fn next_block(&self) -> Option<u64> {
        self.post_at
    }

    fn post_if_due(self: Box<Self>, context: &Context<'_>, effects: &mut Effects) -> Channel {
        let due = self.post_at.is_some_and(|at| self.common.head(context) >= at);
        if due { self.post(effects) } else { Channel::CooperativeClosing(self) }
    }

    /// Posts the partner's FINAL, if it is here. That counts as closing.
    fn post(mut self: Box<Self>, effects: &mut Effects) -> Channel {
        let Some(Final { base_nonce, balances, signature }) = self.theirs.take() else {
            return Channel::CooperativeClosing(self);
        };
        let plan = ClosePlan::Final { base_nonce, balances, signature };
        Closing::begin(self.common, plan, effects)
    }

    pub(super) fn apply(
        mut self: Box<Self>,
        input: Input,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        match input {
            Input::Command(command_id, ChannelCommand::ImportReceipt(given)) => {
                self.import(command_id, &given, context, effects)
            }
            Input::Command(command_id, command) => self.command(command_id, command, effects),
            Input::Peer(PeerInput::Connected { initiator }) => {
                self.online = true;
                self.repeat_at = Some(context.now.saturating_add(REPEAT_AFTER));
                if initiator {
                    effects.send.push(self.sync(true));
                }
                Channel::CooperativeClosing(self)
            }
            Input::Peer(PeerInput::Disconnected) => {
                self.online = false;
                self.repeat_at = None;
                self.common.waiting.reply_all(&Err(CommandError::PeerOffline), effects);
                Channel::CooperativeClosing(self)
            }
            Input::Peer(PeerInput::Message { message, .. }) => self.message(message, context, effects),
            Input::Chain(ChainInput::View(view)) => self.chain_view(view, context, effects),
            Input::Flush => Channel::CooperativeClosing(self),
            Input::Chain(ChainInput::Block) | Input::Resume => self.post_if_due(context, effects),
            Input::Chain(ChainInput::CallFailed { kind, reason }) => {
                self.common.waiting.reply(kind, &Err(CommandError::CallFailed { kind, reason }), effects);
                Channel::CooperativeClosing(self)
            }
            Input::Tick => {
                self.tick(context, effects);
                Channel::CooperativeClosing(self)
            }
            Input::Chain(ChainInput::Claimed(closing)) => {
                self.common.challenge_claimed(&closing, context, effects);
                Channel::CooperativeClosing(self)
            }
            Input::Chain(ChainInput::Invalid(_)) => Channel::CooperativeClosing(self),
        }
    }

    fn command(
        mut self: Box<Self>,
        command_id: CommandId,
        command: ChannelCommand,
        effects: &mut Effects,
    ) -> Channel {
        let denied = match command {
            ChannelCommand::Close(CloseMode::Cooperative) if self.theirs.is_none() && !self.online => {
                CommandError::PeerOffline
            }
            ChannelCommand::Close(CloseMode::Cooperative) => {
                effects.send.push(Message::Final(self.own.clone()));
                self.common.waiting.push(command_id, CallKind::Close);
                return self.post(effects);
            }
            ChannelCommand::Close(CloseMode::Alone) => {
                self.common.waiting.push(command_id, CallKind::Close);
                let plan = self.common.receipts.close_plan(self.common.role());
                return Closing::begin(self.common, plan, effects);
            }
            ChannelCommand::Pay { payment, known, .. } => {
                let outcome = known.map_or(Err(CommandError::Closing), |known| known.outcome(&payment));
                effects.reply.push((command_id, outcome));
                return Channel::CooperativeClosing(self);
            }
            ChannelCommand::Cancel if matches!(self.common.view.status, OnChain::Empty { .. }) => {
                self.common.waiting.reply_all(&Err(CommandError::Closing), effects);
                return Closing::cancel(self.common, command_id, effects);
            }
            ChannelCommand::Close(CloseMode::Receipt(_)) => CommandError::BadReceipt,
            ChannelCommand::ImportReceipt(_) | ChannelCommand::SignFinal => CommandError::NoDataLost,
            ChannelCommand::Challenge => CommandError::NothingToChallenge(NoChallenge::NotClosing),
            ChannelCommand::Fund { .. } | ChannelCommand::Cancel | ChannelCommand::Withdraw => {
                CommandError::WrongState(StateConflict::Active)
            }
        };
        effects.reply.push((command_id, Err(denied)));
        Channel::CooperativeClosing(self)
    }

    /// The user gives a receipt, which may prove that data was lost (rule 9).
    fn import(
        mut self: Box<Self>,
        command_id: CommandId,
        given: &ImportedReceipt,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        if !given.proves_loss(&self.common.setup, &self.common.receipts, context.crypto) {
            return self.command(command_id, ChannelCommand::ImportReceipt(Box::new(*given)), effects);
        }
        self.common.waiting.reply_all(&Err(CommandError::DataLost), effects);
        let mut lost = Box::new(self.into_data_loss());
        lost.import(command_id, given, context.crypto, effects);
        Channel::DataLoss(lost)
    }

    fn sync(&self, wants_reply: bool) -> Message {
        self.common.sync(Some(&self.own), false, wants_reply)
    }

    fn message(
        mut self: Box<Self>,
        message: Message,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        match message {
            Message::Sync(sync) => return self.on_sync(*sync, context, effects),
            Message::Final(final_receipt) => return self.on_final(final_receipt, context, effects),
            Message::Propose(propose) => {
                effects.send.push(self.common.receipts.refuse(propose.nonce, RefuseReason::Stopped))
            }
            // Not now: it is repeated after a while.
            Message::Refuse(refuse)
                if refuse.nonce == Nonce::FINAL && refuse.reason != RefuseReason::NotNow =>
            {
                self.common.waiting.reply(CallKind::Close, &Err(CommandError::PeerStopped), effects);
                effects.notify.push(ChannelNotice::Refused(refuse.reason));
            }
            Message::Refuse(_) | Message::Answer(_) => {}
        }
        Channel::CooperativeClosing(self)
    }

    fn on_sync(mut self: Box<Self>, sync: Sync, context: &Context<'_>, effects: &mut Effects) -> Channel {
        match judge_claim(&self.common.setup, &self.common.receipts, &sync.agreed, context.crypto) {
            Err(why) => {
                effects.misbehaviour = Some(why);
                return Channel::CooperativeClosing(self);
            }
            Ok(Claim::LostData) => {
                self.common.waiting.reply_all(&Err(CommandError::DataLost), effects);
                return Box::new(self.into_data_loss()).on_sync(sync, context, effects);
            }
            Ok(Claim::Known | Claim::Answers(_) | Claim::OtherPaidIn) => {}
        }
        if sync.wants_reply {
            effects.send.push(self.sync(false));
        }
        match sync.own_final {
            Some(final_receipt) => self.on_final(final_receipt, context, effects),
            None => Channel::CooperativeClosing(self),
        }
    }

    fn on_final(
        mut self: Box<Self>,
        final_receipt: Final,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        match judge_final(&self.common.setup, &self.common.receipts, &final_receipt, context.crypto) {
            Err(why) => effects.misbehaviour = Some(why),
            Ok(FinalBase::Agreed) if self.theirs.is_none() => {
                self.theirs = Some(final_receipt);
                // Without a share, the partner posts first, who has all of it.
                let wait = if self.own.has_share(self.common.role()) { 0 } else { POST_WITHIN };
                self.post_at = Some(self.common.head(context).saturating_add(wait));
                effects.persist();
                return self.post_if_due(context, effects);
            }
            Ok(FinalBase::Agreed) => {}
            Ok(FinalBase::Proposal | FinalBase::Neither) => {
                effects.send.push(self.common.receipts.refuse(Nonce::FINAL, RefuseReason::Stale))
            }
        }
        Channel::CooperativeClosing(self)
    }

    fn chain_view(
        mut self: Box<Self>,
        view: ChainView,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        self.common.take_view(view, effects);
        match view.status {
            OnChain::Missing | OnChain::Empty { .. } => {}
            OnChain::Active { paid_in } => {
                self.common.take_paid_in(paid_in, effects);
            }
            OnChain::Closing(_) | OnChain::Closed { .. } => {
                return self.common.into_closing_or_closed(context, effects);
            }
        }
        Channel::CooperativeClosing(self)
    }
}
