//! `Opening`: both sides have agreed on the channel, and it is not ACTIVE yet, or not deep enough in the chain.

use crate::onchain::{Call, CallFailure, CallKind, ChainView, OnChain};
use crate::wire::{Message, Refuse, RefuseReason};
use crate::{Amount, Balances, Nonce};

use super::Channel;
use super::active::Active;
use super::closed::Closed;
use super::command_outcome::{CommandError, CommandOutcome};
use super::common::Common;
use super::data_loss::DataLoss;
use super::effects::{ChannelNotice, Effects, Risk};
use super::input::{ChainInput, ChannelCommand, CommandId, Context, Input, PeerInput};
use super::receipts::Receipts;
use super::refusal::{NoChallenge, StateConflict};

/// A channel that both sides have agreed on and that is not ACTIVE, or not deep enough in the
/// chain. Money in it comes back with `cancel` as long as it is EMPTY.
#[derive(Debug, Clone)]
pub struct Opening {
    /// What all states have in common.
    pub common: Common,
    /// What this side pays in when it opens; `None` if the partner opens.
    pub(super) deposit: Option<Amount>,
    /// Whether the partner's node is there: remembered until the channel becomes ACTIVE.
    online: bool,
}

impl Opening {
    pub(super) const fn new(common: Common, deposit: Option<Amount>, online: bool) -> Self {
        Self { common, deposit, online }
    }

    /// This side opens.
    pub(super) fn submit(&mut self, command_id: CommandId, effects: &mut Effects) {
        self.common.waiting.push(command_id, CallKind::Open);
        effects.persist();
        effects.submit.extend(self.open_call());
    }

    fn open_call(&self) -> Option<Call> {
        let terms = self.common.setup.terms();
        let deposit = self.deposit?;
        Some(Call::Open { part_b: terms.part_b, amount: terms.amount, deposit, salt: terms.salt })
    }

    /// What the chain says was paid in so far.
    pub fn paid_in(&self) -> Balances {
        match self.common.view.status {
            OnChain::Empty { paid_in } | OnChain::Active { paid_in } => paid_in,
            OnChain::Missing | OnChain::Closing(_) | OnChain::Closed { .. } => {
                Balances { a: Amount::ZERO, b: Amount::ZERO }
            }
        }
    }

    /// What is missing until the channel is ACTIVE.
    pub fn missing(&self) -> Amount {
        let paid = self.paid_in().sum().unwrap_or(Amount::MAX);
        self.common.setup.terms().amount.checked_sub(paid).unwrap_or(Amount::ZERO)
    }

    /// What is missing of the own share.
    pub fn own_missing(&self) -> Amount {
        let (missing, role) = (self.missing(), self.common.role());
        let paid_in = self.paid_in().of(role);
        let share = self.common.setup.terms().shares.of(role).checked_sub(paid_in).unwrap_or(Amount::ZERO);
        share.min(missing)
    }

    pub(super) fn next_block(&self, context: &Context<'_>) -> Option<u64> {
        self.common.next_confirmation(context)
    }

    pub(super) fn apply(
        mut self: Box<Self>,
        input: Input,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        match input {
            Input::Command(command_id, command) => {
                self.command(command_id, command, effects);
                Channel::Opening(self)
            }
            Input::Peer(input) => {
                self.peer(input, effects);
                Channel::Opening(self)
            }
            Input::Chain(ChainInput::View(view)) => self.chain_view(view, context, effects),
            Input::Chain(ChainInput::Block) => {
                let view = self.common.view;
                self.chain_view(view, context, effects)
            }
            Input::Chain(ChainInput::Invalid(reason)) => {
                let reason = CallFailure::Refused(reason);
                let denied = Err(CommandError::CallFailed { kind: CallKind::Open, reason });
                self.common.waiting.reply_all(&denied, effects);
                Channel::Closed(Box::new(Closed::unused(self.common)))
            }
            Input::Chain(ChainInput::CallFailed { kind, reason }) => self.call_failed(kind, reason, effects),
            // Nothing was signed that could challenge.
            Input::Flush | Input::Chain(ChainInput::Claimed(_)) => Channel::Opening(self),
            Input::Resume => {
                let view = self.common.view;
                if view.status == OnChain::Missing {
                    effects.submit.extend(self.open_call());
                }
                // The opening may have become deep enough while nobody was there to see it.
                self.chain_view(view, context, effects)
            }
            Input::Tick => Channel::Opening(self),
        }
    }

    fn command(&mut self, command_id: CommandId, command: ChannelCommand, effects: &mut Effects) {
        let result = match command {
            ChannelCommand::Fund { value } => self.fund(value),
            ChannelCommand::Cancel => self.cancel(),
            ChannelCommand::Pay { .. } | ChannelCommand::SignFinal | ChannelCommand::ImportReceipt(_) => {
                Err(self.not_usable(StateConflict::NotOpen))
            }
            ChannelCommand::Close(_) => Err(self.not_usable(StateConflict::NotOpenButCancellable)),
            ChannelCommand::Challenge => Err(CommandError::NothingToChallenge(NoChallenge::NotClosing)),
            ChannelCommand::Withdraw => Err(CommandError::WrongState(StateConflict::NotOpenButCancellable)),
        };
        match result {
            Ok(call) => {
                self.common.waiting.push(command_id, call.kind());
                effects.submit.push(call);
            }
            Err(why) => effects.reply.push((command_id, Err(why))),
        }
    }

    fn not_usable(&self, otherwise: StateConflict) -> CommandError {
        match self.common.view.status {
            OnChain::Active { .. } => CommandError::NotConfirmed,
            OnChain::Missing | OnChain::Empty { .. } | OnChain::Closing(_) | OnChain::Closed { .. } => {
                CommandError::WrongState(otherwise)
            }
        }
    }

    fn fund(&self, value: Option<Amount>) -> Result<Call, CommandError> {
        if !matches!(self.common.view.status, OnChain::Empty { .. }) {
            return Err(CommandError::WrongState(StateConflict::NotFundable));
        }
        if self.common.waiting.is_waiting_for(CallKind::Fund) {
            return Err(CommandError::UnderWay);
        }
        let missing = self.missing();
        let value = value.unwrap_or_else(|| self.own_missing());
        if value.is_zero() {
            return Err(CommandError::ZeroAmount);
        }
        if value > missing {
            return Err(CommandError::TooMuch { missing });
        }
        Ok(Call::Fund { value })
    }

    fn cancel(&self) -> Result<Call, CommandError> {
        match self.common.view.status {
            OnChain::Empty { .. } => Ok(Call::Cancel),
            OnChain::Missing => Err(CommandError::WrongState(StateConflict::NothingPaidIn)),
            OnChain::Active { .. } | OnChain::Closing(_) | OnChain::Closed { .. } => {
                Err(CommandError::WrongState(StateConflict::PastCancelling))
            }
        }
    }

    fn peer(&mut self, input: PeerInput, effects: &mut Effects) {
        match input {
            PeerInput::Connected { .. } => self.online = true,
            PeerInput::Disconnected => self.online = false,
            PeerInput::Message { message, .. } => {
                let refused = match message {
                    Message::Propose(propose) => Some(propose.nonce),
                    Message::Final(_) => Some(Nonce::FINAL),
                    // The partner saw the channel ACTIVE first; this side syncs when it does.
                    Message::Sync(_) | Message::Answer(_) | Message::Refuse(_) => None,
                };
                effects.send.extend(refused.map(|nonce| {
                    Message::Refuse(Refuse { nonce, reason: RefuseReason::NotNow, agreed_nonce: Nonce::ZERO })
                }));
            }
        }
    }

    fn chain_view(
        mut self: Box<Self>,
        view: ChainView,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        let (paid_before, role) = (self.paid_in(), self.common.role());
        let is_new = self.common.view.status != view.status;
        self.common.take_view(view, effects);
        match view.status {
            OnChain::Active { .. } if self.common.is_confirmed(context) => {
                return self.activate(context, effects);
            }
            OnChain::Missing | OnChain::Active { .. } => {}
            OnChain::Empty { paid_in } => {
                if is_new {
                    effects.notify.push(ChannelNotice::Deployed);
                }
                if let Some(event) = view.newest {
                    let done = Ok(CommandOutcome::PaidIn { tx: event.tx });
                    self.common.waiting.reply(CallKind::Open, &done, effects);
                    if paid_in.of(role) > paid_before.of(role) {
                        self.common.waiting.reply(CallKind::Fund, &done, effects);
                    }
                }
            }
            OnChain::Closing(closing) => {
                self.common
                    .waiting
                    .reply_all(&Err(CommandError::WrongState(StateConflict::ClosedBeforeUse)), effects);
                let known = closing.paid_in.or((closing.nonce == Nonce::ZERO).then_some(closing.balances));
                self.common.receipts = Receipts::new(known.unwrap_or(self.common.setup.terms().shares));
                return self.common.into_closing_or_closed(context, effects);
            }
            OnChain::Closed { .. } => {
                return Channel::Closed(Closed::unused(self.common).seen(context, effects));
            }
        }
        Channel::Opening(self)
    }

    fn activate(mut self: Box<Self>, context: &Context<'_>, effects: &mut Effects) -> Channel {
        self.common.receipts = Receipts::new(self.paid_in());
        let Self { mut common, deposit, online } = *self;
        let done = Ok(CommandOutcome::PaidIn { tx: common.view.newest.and_then(|event| event.tx) });
        common.waiting.reply(CallKind::Open, &done, effects);
        common.waiting.reply(CallKind::Fund, &done, effects);
        common.waiting.reply_all(&Err(CommandError::WrongState(StateConflict::BecameActive)), effects);
        if common.may_be_stale {
            effects.notify.push(ChannelNotice::AtRisk(Risk::RestoredChannelOpened));
            let lost = DataLoss::new(common);
            if online {
                lost.send_sync(effects);
            }
            return Channel::DataLoss(Box::new(lost));
        }
        let mut active = Active::new(common, deposit);
        if online {
            active.connected(true, context, effects);
        }
        Channel::Active(Box::new(active))
    }

    fn call_failed(
        mut self: Box<Self>,
        kind: CallKind,
        reason: CallFailure,
        effects: &mut Effects,
    ) -> Channel {
        self.common.waiting.reply(kind, &Err(CommandError::CallFailed { kind, reason }), effects);
        if kind == CallKind::Open && self.common.view.status == OnChain::Missing {
            return Channel::Closed(Box::new(Closed::unused(self.common)));
        }
        Channel::Opening(self)
    }
}
