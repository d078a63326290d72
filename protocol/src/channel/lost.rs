//! Data was lost (rule 9): what this side has may be older than what it has signed.

use serde::{Deserialize, Serialize};

use crate::onchain::{ChainView, ClosePlan, OnChain};
use crate::wire::{Final, Message, RefuseReason, Sync};
use crate::{Agreed, Nonce, Role};

use super::books::{Books, Proposal};
use super::closed::Closed;
use super::closing::Closing;
use super::finishing::sign_final;
use super::io::{ChainInput, Command, CommandId, Context, Denied, Effects, Input, Misbehaviour, PeerInput};
use super::settle::by_agreed;
use super::setup::Setup;
use super::update::{FinalBase, judge_final};
use super::{Channel, WaitList, replace_view};

/// A channel that must not act alone: closing on what it has could be closing on an old receipt.
/// It takes over newer receipts, challenges with what it has, and after a sync signs one FINAL.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lost {
    /// Who, where and how much.
    pub setup: Setup,
    /// The newest receipts known.
    pub books: Books,
    /// What the chain last said.
    pub view: ChainView,
    /// The own FINAL, once signed; there is only one.
    own: Option<Final>,
    #[serde(skip)]
    waiting: WaitList,
}

impl Lost {
    pub(super) fn from_books(setup: Setup, books: Books, view: ChainView) -> Self {
        Self { setup, books, view, own: None, waiting: WaitList::default() }
    }

    pub(super) fn with_final(mut self, own: Final) -> Self {
        self.own = Some(own);
        self
    }

    pub(super) fn apply(
        mut self: Box<Self>,
        input: Input,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        match input {
            Input::Command(caller, Command::Cancel) if matches!(self.view.status, OnChain::Empty { .. }) => {
                let Self { setup, books, view, .. } = *self;
                return Closing::cancel(setup, books, view, true, caller, effects);
            }
            Input::Command(caller, command) => self.command(caller, &command, effects),
            Input::Peer(PeerInput::Connected { initiator }) => {
                if initiator {
                    self.send_sync(effects);
                }
            }
            Input::Peer(PeerInput::Message { message, .. }) => {
                return self.message(message, context, effects);
            }
            Input::Chain(ChainInput::View(view)) => return self.chain_view(view, context, effects),
            Input::Chain(ChainInput::CallFailed { kind, reason }) => {
                self.waiting.answer(kind, &Err(Denied::CallFailed { kind, reason }), effects);
            }
            Input::Peer(PeerInput::Disconnected)
            | Input::Chain(ChainInput::Block | ChainInput::Invalid(_))
            | Input::Tick
            | Input::Resume
            | Input::Ordered => {}
        }
        Channel::Lost(self)
    }

    fn command(&mut self, caller: CommandId, command: &Command, effects: &mut Effects) {
        let outcome = match command {
            Command::Pay { payment, known: Some(known), .. } => {
                known.outcome_if(payment, |nonce| by_agreed(self.books.agreed.nonce(), nonce))
            }
            Command::Challenge => Err(Denied::NothingToChallenge("the channel is not closing")),
            Command::Pay { known: None, .. }
            | Command::Close(_)
            | Command::Fund { .. }
            | Command::Cancel
            | Command::Withdraw => Err(Denied::Lost),
        };
        effects.reply.push((caller, outcome));
    }

    /// Shows the partner where this side stands, and asks where it stands.
    pub(super) fn send_sync(&self, effects: &mut Effects) {
        effects.send.push(Message::Sync(self.sync(true).into()));
    }

    fn sync(&self, wants_reply: bool) -> Sync {
        Sync {
            agreed: self.books.agreed,
            proposal: self.books.proposal.as_ref().map(Proposal::message),
            finish: self.own.clone(),
            closing: false,
            lost: true,
            wants_reply,
        }
    }

    fn message(
        mut self: Box<Self>,
        message: Message,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        match message {
            Message::Sync(sync) => return self.on_sync(*sync, context, effects),
            Message::Final(finish) => return self.on_final(finish, context, effects),
            Message::Propose(propose) => {
                effects.send.push(self.books.refuse(propose.nonce, RefuseReason::Lost))
            }
            Message::Answer(answer) => {
                let answered = self.books.answered_by(answer.signature, self.setup.role());
                if let Some(claim) = answered.filter(|claim| claim.nonce() == answer.nonce) {
                    effects.misbehaviour = self.take_over(&claim, context, effects).err();
                    self.finish_if_ready(context, effects);
                }
            }
            Message::Refuse(_) => {}
        }
        Channel::Lost(self)
    }

    pub(super) fn on_sync(
        mut self: Box<Self>,
        sync: Sync,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        if let Err(why) = self.take_over(&sync.agreed, context, effects) {
            effects.misbehaviour = Some(why);
            return Channel::Lost(self);
        }
        if sync.wants_reply {
            effects.send.push(Message::Sync(self.sync(false).into()));
        }
        self.finish_if_ready(context, effects);
        match sync.finish {
            Some(finish) => self.on_final(finish, context, effects),
            None => Channel::Lost(self),
        }
    }

    /// Takes over a newer receipt with both signatures.
    fn take_over(
        &mut self,
        claim: &Agreed,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Result<(), Misbehaviour> {
        if !claim.is_well_formed() {
            return Err(Misbehaviour::Malformed);
        }
        let Some(signatures) = claim.signatures.filter(|_| claim.nonce() > self.books.agreed.nonce()) else {
            return Ok(());
        };
        if !self.setup.adds_up(claim.balances()) {
            return Err(Misbehaviour::BadSum);
        }
        let signed =
            |role: Role| self.setup.verify(&claim.receipt, signatures.of(role), role, context.crypto);
        if !signed(Role::A) || !signed(Role::B) {
            return Err(Misbehaviour::BadSignature);
        }
        self.books.agreed = *claim;
        self.books.proposal.take_if(|own| own.nonce <= claim.nonce());
        effects.persist();
        Ok(())
    }

    fn finish_if_ready(&mut self, context: &Context<'_>, effects: &mut Effects) {
        if self.own.is_some() || self.books.proposal.is_some() {
            return;
        }
        let own = sign_final(&self.setup, &self.books, context);
        effects.persist();
        effects.send.push(Message::Final(own.clone()));
        self.own = Some(own);
    }

    fn on_final(self: Box<Self>, finish: Final, context: &Context<'_>, effects: &mut Effects) -> Channel {
        match judge_final(&self.setup, &self.books, &finish, context.crypto) {
            Err(why) => effects.misbehaviour = Some(why),
            // Both have signed the same end: posting it is not acting alone.
            Ok(FinalBase::Agreed) if self.own.as_ref().is_some_and(|own| own.balances == finish.balances) => {
                let Final { base_nonce, balances, signature } = finish;
                let plan = ClosePlan::Final { base_nonce, balances, signature };
                let Self { setup, books, view, waiting, .. } = *self;
                return Closing::begin_waited(setup, books, view, plan, waiting, effects);
            }
            Ok(FinalBase::Agreed | FinalBase::Proposal | FinalBase::Neither) => {
                effects.send.push(self.books.refuse(Nonce::FINAL, RefuseReason::Lost));
            }
        }
        Channel::Lost(self)
    }

    fn chain_view(
        mut self: Box<Self>,
        view: ChainView,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        replace_view(&mut self.view, view, effects);
        match view.status {
            OnChain::Active { paid_in } => {
                if self.books.take_paid_in(paid_in) {
                    effects.persist();
                }
                Channel::Lost(self)
            }
            OnChain::Missing | OnChain::Empty { .. } => Channel::Lost(self),
            OnChain::Closing(_) => {
                let channel = Closing::seen_from(self.setup, self.books, view, context, effects);
                channel.mark_lost()
            }
            OnChain::Closed { .. } => {
                let closed = Closed { lost: true, ..Closed::new(self.setup, Some(self.books), view) };
                Channel::Closed(closed.seen(self.waiting, effects))
            }
        }
    }
}
