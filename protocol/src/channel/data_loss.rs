//! `DataLoss`: data was lost (rule 9), so that what this side has may be older than what it has signed.

use crate::onchain::{CallKind, ChainView, ClosePlan, OnChain};
use crate::wire::{Final, Message, RefuseReason, Sync};
use crate::{AgreedReceipt, Crypto, Nonce, Receipt, Role};

use super::Channel;
use super::active::REPEAT_AFTER;
use super::closing::Closing;
use super::command_outcome::{CommandError, CommandOutcome};
use super::common::Common;
use super::cooperative_closing::sign_final;
use super::effects::{ChannelNotice, Effects, Misbehaviour, Risk};
use super::input::{ChainInput, ChannelCommand, CommandId, Context, Input, Millis, PeerInput};
use super::payment_status::by_agreed;
use super::receipt_import::ImportedReceipt;
use super::receipts::Proposal;
use super::refusal::{NoChallenge, StateConflict};
use super::rules::{FinalBase, judge_final};

/// A channel that must not act alone: closing on what it has could be closing on an old receipt.
/// It takes over newer receipts, challenges with what it has, and signs one FINAL: on a receipt that
/// is newer than the backup's, or by order of its user.
#[derive(Debug, Clone)]
pub struct DataLoss {
    /// What all states have in common.
    pub common: Common,
    /// The own FINAL, once signed; there is only one.
    pub(super) own: Option<Final>,
    /// Whether the agreed receipt was taken over and is newer than all that the backup had.
    pub(super) is_newer: bool,
    session: Session,
}

/// The session with the partner's node.
#[derive(Debug, Clone, Copy, Default)]
struct Session {
    /// The partner has shown where it stands; before that nothing else is handled.
    synced: bool,
    /// When the own FINAL is sent again.
    repeat_at: Option<Millis>,
}

/// What a channel with lost data waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataLossStep {
    /// A session in which the partner shows where it stands.
    Sync,
    /// The partner's answer to an own proposal: until then no FINAL is signed (rule 11).
    Answer,
    /// The user: nothing is known that is newer than the backup, or only without the own signature.
    User,
    /// The chain: the opening is not deep enough, or nothing was heard of it.
    Chain,
    /// The partner, who gets the own FINAL.
    Partner,
}

impl DataLoss {
    pub(super) fn new(common: Common) -> Self {
        let common = Common { may_be_stale: true, ..common };
        Self { common, own: None, is_newer: false, session: Session::default() }
    }

    pub(super) fn with_final(mut self, own: Final) -> Self {
        self.own = Some(own);
        self
    }

    /// A lost channel that was in a backup: what it had taken over is now the backup's.
    pub(super) fn restored(self) -> Self {
        Self { is_newer: false, ..self }
    }

    /// The newest receipt known: what a FINAL of this side is signed on.
    pub fn newest(&self) -> Receipt {
        self.common.receipts.newest_evidence(self.common.role()).receipt
    }

    /// The receipt that the own FINAL was signed on, once it is.
    pub fn signed(&self) -> Option<Receipt> {
        self.own.as_ref().map(|own| Receipt { nonce: own.base_nonce, balances: own.balances })
    }

    /// What the channel waits for.
    pub fn step(&self) -> DataLossStep {
        let newest = self.newest().nonce;
        let is_new = self.is_newer && self.common.receipts.imported.is_none();
        match (&self.own, &self.common.receipts.proposal) {
            (Some(_), _) => DataLossStep::Partner,
            (None, Some(own)) if own.nonce > newest => DataLossStep::Answer,
            (None, _) if !is_new => DataLossStep::User,
            (None, _) if !self.session.synced => DataLossStep::Sync,
            (None, _) => DataLossStep::Chain,
        }
    }

    /// Whether the partner has shown in this session where it stands.
    pub const fn is_synced(&self) -> bool {
        self.session.synced
    }

    pub(super) const fn next_tick(&self) -> Option<Millis> {
        self.session.repeat_at
    }

    pub(super) fn next_block(&self, context: &Context<'_>) -> Option<u64> {
        if self.step() == DataLossStep::Chain { self.common.next_sound_block(context) } else { None }
    }

    pub(super) fn apply(
        mut self: Box<Self>,
        input: Input,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        match input {
            Input::Command(command_id, ChannelCommand::Cancel)
                if matches!(self.common.view.status, OnChain::Empty { .. }) =>
            {
                self.common.waiting.reply_all(&Err(CommandError::Closing), effects);
                return Closing::cancel(self.common, command_id, effects);
            }
            Input::Command(command_id, ChannelCommand::SignFinal) => {
                self.order_final(command_id, context, effects)
            }
            Input::Command(command_id, ChannelCommand::ImportReceipt(given)) => {
                self.import(command_id, &given, context.crypto, effects);
            }
            Input::Command(command_id, command) => self.command(command_id, &command, effects),
            Input::Peer(PeerInput::Connected { initiator }) => {
                self.session = Session::default();
                if initiator {
                    self.send_sync(effects);
                }
            }
            Input::Peer(PeerInput::Disconnected) => {
                self.session = Session::default();
                self.common.waiting.reply_all(&Err(CommandError::PeerOffline), effects);
            }
            Input::Peer(PeerInput::Message { message, .. }) => {
                return self.message(message, context, effects);
            }
            Input::Chain(ChainInput::View(view)) => return self.chain_view(view, context, effects),
            Input::Chain(ChainInput::Claimed(closing)) => {
                self.common.challenge_claimed(&closing, context, effects);
            }
            Input::Chain(ChainInput::CallFailed { kind, reason }) => {
                self.common.waiting.reply(kind, &Err(CommandError::CallFailed { kind, reason }), effects);
            }
            Input::Chain(ChainInput::Block) => self.sign_final_if_ready(context, effects),
            Input::Tick => self.tick(context, effects),
            Input::Chain(ChainInput::Invalid(_)) | Input::Resume | Input::Flush => {}
        }
        Channel::DataLoss(self)
    }

    fn command(&mut self, command_id: CommandId, command: &ChannelCommand, effects: &mut Effects) {
        let outcome = match command {
            ChannelCommand::Pay { payment, known: Some(known), .. } => {
                known.outcome_if(payment, |nonce| by_agreed(self.common.receipts.agreed.nonce(), nonce))
            }
            ChannelCommand::Challenge => Err(CommandError::NothingToChallenge(NoChallenge::NotClosing)),
            ChannelCommand::Pay { known: None, .. }
            | ChannelCommand::Close(_)
            | ChannelCommand::Fund { .. }
            | ChannelCommand::Cancel
            | ChannelCommand::Withdraw
            | ChannelCommand::SignFinal
            | ChannelCommand::ImportReceipt(_) => Err(CommandError::DataLost),
        };
        effects.reply.push((command_id, outcome));
    }

    /// The user gives a receipt. One that both have signed is taken over, and shown to the partner, who
    /// may not have it; FINAL waits for its reply. One without the own signature challenges, and is the
    /// newest known, but FINAL is signed on it by order only.
    pub(super) fn import(
        &mut self,
        command_id: CommandId,
        given: &ImportedReceipt,
        crypto: &dyn Crypto,
        effects: &mut Effects,
    ) {
        let taken = self.common.receipts.import(given, &self.common.setup, crypto);
        if let Ok(both_signed) = taken {
            effects.persist();
            if both_signed {
                self.is_newer = true;
                self.session = Session::default();
                self.send_sync(effects);
            }
        }
        let done =
            taken.map(|both_signed| CommandOutcome::ReceiptImported { receipt: given.receipt, both_signed });
        effects.reply.push((command_id, done));
    }

    // ---- FINAL --------------------------------------------------------------------------------

    /// The user orders FINAL on the newest receipt known, having been shown its shares.
    fn order_final(&mut self, command_id: CommandId, context: &Context<'_>, effects: &mut Effects) {
        let refused = match self.step() {
            _ if !self.session.synced => CommandError::PeerOffline,
            DataLossStep::Answer => CommandError::WrongState(StateConflict::ProposalUnanswered),
            DataLossStep::Partner => {
                self.common.waiting.push(command_id, CallKind::Close);
                return self.send_final(context, effects);
            }
            DataLossStep::Sync | DataLossStep::User | DataLossStep::Chain
                if self.common.is_chain_sound(context) =>
            {
                self.common.waiting.push(command_id, CallKind::Close);
                return self.sign(context, effects);
            }
            _ if !context.chain_fresh => CommandError::ChainStale,
            DataLossStep::Sync | DataLossStep::User | DataLossStep::Chain => CommandError::NotConfirmed,
        };
        effects.reply.push((command_id, Err(refused)));
    }

    /// Signs FINAL on a receipt that is newer than the backup's, once the partner has shown in this
    /// session that it has no newer one, and the chain is sound (rule 7).
    fn sign_final_if_ready(&mut self, context: &Context<'_>, effects: &mut Effects) {
        let ready = self.session.synced && self.common.is_chain_sound(context);
        if ready && self.step() == DataLossStep::Chain {
            self.sign(context, effects);
        }
    }

    fn sign(&mut self, context: &Context<'_>, effects: &mut Effects) {
        self.own = Some(sign_final(&self.common.setup, &self.newest(), context));
        effects.persist();
        self.send_final(context, effects);
    }

    fn send_final(&mut self, context: &Context<'_>, effects: &mut Effects) {
        effects.send.extend(self.own.clone().map(Message::Final));
        self.session.repeat_at = Some(context.now.saturating_add(REPEAT_AFTER));
    }

    /// Says again that this is the end, until the partner posts it, or says so too.
    fn tick(&mut self, context: &Context<'_>, effects: &mut Effects) {
        if self.session.repeat_at.is_some_and(|due| due <= context.now) {
            self.send_final(context, effects);
        }
    }

    fn on_final(
        self: Box<Self>,
        final_receipt: Final,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        let rests_on = Receipt { nonce: final_receipt.base_nonce, balances: final_receipt.balances };
        let same = |own: &Final| {
            (own.base_nonce, own.balances) == (final_receipt.base_nonce, final_receipt.balances)
        };
        match judge_final(&self.common.setup, &self.common.receipts, &final_receipt, context.crypto) {
            Err(why) => effects.misbehaviour = Some(why),
            // Both have signed the same end: posting it is not acting alone.
            Ok(FinalBase::Agreed | FinalBase::Proposal | FinalBase::Neither)
                if rests_on == self.newest() && self.own.as_ref().is_some_and(same) =>
            {
                let Final { base_nonce, balances, signature } = final_receipt;
                let plan = ClosePlan::Final { base_nonce, balances, signature };
                return Closing::begin(self.common, plan, effects);
            }
            Ok(FinalBase::Agreed | FinalBase::Proposal | FinalBase::Neither) => {
                effects.send.push(self.common.receipts.refuse(Nonce::FINAL, RefuseReason::Lost));
            }
        }
        Channel::DataLoss(self)
    }

    // ---- the partner --------------------------------------------------------------------------

    /// Shows the partner where this side stands, and asks where it stands.
    pub(super) fn send_sync(&self, effects: &mut Effects) {
        effects.send.push(self.sync(true));
    }

    fn sync(&self, wants_reply: bool) -> Message {
        self.common.sync(self.own.as_ref(), false, wants_reply)
    }

    fn message(
        mut self: Box<Self>,
        message: Message,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        match message {
            Message::Sync(sync) => return self.on_sync(*sync, context, effects),
            _ if !self.session.synced => {}
            Message::Final(final_receipt) => return self.on_final(final_receipt, context, effects),
            Message::Propose(propose) => {
                effects.send.push(self.common.receipts.refuse(propose.nonce, RefuseReason::Lost))
            }
            Message::Answer(answer) => {
                let answered = self.common.receipts.answered_by(answer.signature, self.common.role());
                if let Some(claim) = answered.filter(|claim| claim.nonce() == answer.nonce) {
                    effects.misbehaviour = self.take_over(&claim, context, effects).err();
                }
            }
            // Not now: it is repeated after a while.
            Message::Refuse(refuse)
                if refuse.nonce == Nonce::FINAL && refuse.reason != RefuseReason::NotNow =>
            {
                self.session.repeat_at = None;
                self.common.waiting.reply(CallKind::Close, &Err(CommandError::PeerStopped), effects);
            }
            Message::Refuse(_) => {}
        }
        Channel::DataLoss(self)
    }

    pub(super) fn on_sync(
        mut self: Box<Self>,
        sync: Sync,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        if let Err(why) = self.take_over(&sync.agreed, context, effects) {
            effects.misbehaviour = Some(why);
            return Channel::DataLoss(self);
        }
        if sync.wants_reply {
            effects.send.push(self.sync(false));
        }
        let is_first = !std::mem::replace(&mut self.session.synced, true);
        if self.own.is_some() {
            self.session.repeat_at = Some(context.now.saturating_add(REPEAT_AFTER));
        }
        self.sign_final_if_ready(context, effects);
        if is_first {
            self.warn(effects);
        }
        match sync.own_final {
            Some(final_receipt) => self.on_final(final_receipt, context, effects),
            None => Channel::DataLoss(self),
        }
    }

    /// Says loudly why nothing is signed.
    fn warn(&mut self, effects: &mut Effects) {
        match self.step() {
            DataLossStep::User => effects.notify.push(ChannelNotice::AtRisk(Risk::NothingNewerShown)),
            DataLossStep::Answer => effects.notify.push(ChannelNotice::AtRisk(Risk::ProposalUnanswered)),
            DataLossStep::Sync | DataLossStep::Chain | DataLossStep::Partner => {}
        }
    }

    /// Takes over a newer receipt with both signatures. An answer to the own proposal shows nothing
    /// that the backup did not know.
    fn take_over(
        &mut self,
        claim: &AgreedReceipt,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Result<(), Misbehaviour> {
        if !claim.is_well_formed() {
            return Err(Misbehaviour::Malformed);
        }
        let Some(signatures) =
            claim.signatures.filter(|_| claim.nonce() > self.common.receipts.agreed.nonce())
        else {
            return Ok(());
        };
        if !self.common.setup.adds_up(claim.balances()) {
            return Err(Misbehaviour::BadSum);
        }
        let signed =
            |role: Role| self.common.setup.verify(&claim.receipt, signatures.of(role), role, context.crypto);
        if !signed(Role::A) || !signed(Role::B) {
            return Err(Misbehaviour::BadSignature);
        }
        let proposed = self.common.receipts.proposal.as_ref().map(Proposal::receipt);
        self.is_newer |= proposed != Some(claim.receipt);
        self.common.receipts.take_over(*claim);
        effects.persist();
        Ok(())
    }

    // ---- the chain ----------------------------------------------------------------------------

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
                self.sign_final_if_ready(context, effects);
            }
            OnChain::Closing(_) | OnChain::Closed { .. } => {
                return self.common.into_closing_or_closed(context, effects);
            }
        }
        Channel::DataLoss(self)
    }
}
