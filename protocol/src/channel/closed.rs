//! Paid out, or never opened.

use serde::{Deserialize, Serialize};

use crate::onchain::{self, CallKind, ChainView, ClosePlan, End, EndKind, OnChain};
use crate::wire::{Message, Refuse, RefuseReason, Sync};
use crate::{Amount, Balances, Nonce, PaymentId};

use super::books::{Books, Proposal};
use super::closing::{Closing, closed_by};
use super::io::{ChainInput, ClosedBy, Command, CommandId, Context, Denied, Done, Effects, Input, PeerInput};
use super::opening::Opening;
use super::setup::Setup;
use super::{Channel, WaitList, record};

/// A channel at its end. Until the end is deep in the chain a reorganisation can take it back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Closed {
    /// Who, where and how much.
    pub setup: Setup,
    /// The receipts, if there ever were any.
    pub books: Option<Books>,
    /// What the chain last said.
    pub view: ChainView,
    /// How this side was closing, if it was.
    pub plan: Option<ClosePlan>,
    /// Whether this side has lost data.
    pub lost: bool,
    /// Whether the closer's last proposal was taken into the history (rule 12).
    pub(super) recorded: bool,
}

/// How a channel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "it is made for one look, and mostly the larger one")]
pub enum Outcome {
    /// It never came onto the chain; nothing was paid in.
    Abandoned,
    /// It was closed on chain.
    Ended {
        /// The closing before it, if there was one.
        closing: Option<onchain::Closing>,
        /// The end.
        end: End,
    },
}

impl Closed {
    pub(super) const fn new(setup: Setup, books: Option<Books>, view: ChainView) -> Self {
        Self { setup, books, view, plan: None, lost: false, recorded: false }
    }

    /// The chain shows the end: whoever waited for it is told.
    pub(super) fn seen(self, mut waiting: WaitList, effects: &mut Effects) -> Box<Self> {
        effects.persist();
        for kind in [CallKind::Close, CallKind::Challenge, CallKind::Withdraw, CallKind::Cancel] {
            waiting.answer(kind, &self.done(kind), effects);
        }
        waiting.answer_all(&Err(Denied::WrongState("CLOSED")), effects);
        self.ask_for_record(effects);
        Box::new(self)
    }

    /// The closing by the partner's proposal whose payments are not in the history yet.
    fn unrecorded(&self) -> Option<onchain::Closing> {
        match self.outcome() {
            Outcome::Ended { closing: Some(closing), end: End { kind: EndKind::Withdrawn, .. } }
                if !self.recorded && record::is_wanted(&self.setup, &closing) =>
            {
                Some(closing)
            }
            Outcome::Ended { .. } | Outcome::Abandoned => None,
        }
    }

    /// Whether the partner still has to show what it closed on (rule 12).
    pub(super) fn wants_record(&self) -> bool {
        self.books.is_some() && self.unrecorded().is_some()
    }

    fn ask_for_record(&self, effects: &mut Effects) {
        if let Some(books) = self.books.as_ref().filter(|_| self.wants_record()) {
            effects.send.push(Message::Sync(self.sync(books, true).into()));
        }
    }

    fn sync(&self, books: &Books, wants_reply: bool) -> Sync {
        Sync {
            agreed: books.agreed,
            proposal: books.proposal.as_ref().map(Proposal::message),
            finish: None,
            closing: true,
            lost: self.lost,
            wants_reply,
        }
    }

    /// How it ended.
    pub const fn outcome(&self) -> Outcome {
        match self.view.status {
            OnChain::Closed { closing, end } => Outcome::Ended { closing, end },
            OnChain::Missing | OnChain::Empty { .. } | OnChain::Active { .. } | OnChain::Closing(_) => {
                Outcome::Abandoned
            }
        }
    }

    /// What somebody who asked for `kind` learns: the end counts, whoever brought it about.
    fn done(&self, kind: CallKind) -> Result<Done, Denied> {
        let (Outcome::Ended { end, closing }, Some(event)) = (self.outcome(), self.view.newest) else {
            return Err(Denied::WrongState("CLOSED: it was never opened, and nothing was paid in"));
        };
        let tx = event.tx;
        let own_closing = closing.filter(|closing| closing.closer == self.setup.role());
        match (kind, end.kind) {
            (CallKind::Close, EndKind::Withdrawn | EndKind::Challenged)
                if let Some(closing) = own_closing =>
            {
                Ok(closed_by(&closing, self.plan.as_ref()))
            }
            (CallKind::Close, EndKind::Final) => {
                Ok(Done::Closing { tx, mode: ClosedBy::Final, nonce: Nonce::FINAL, withdrawable_at: None })
            }
            (CallKind::Close, EndKind::Cancelled | EndKind::Withdrawn | EndKind::Challenged)
            | (CallKind::Open | CallKind::Fund, _) => Err(Denied::WrongState("CLOSED")),
            (CallKind::Cancel, EndKind::Final | EndKind::Withdrawn | EndKind::Challenged) => {
                Err(Denied::WrongState("CLOSED, and was not cancelled"))
            }
            (CallKind::Challenge, EndKind::Cancelled | EndKind::Final | EndKind::Withdrawn) => {
                Err(Denied::NothingToChallenge("the channel is CLOSED and paid out"))
            }
            (CallKind::Challenge, EndKind::Challenged)
                if closing.is_none_or(|closing| closing.closer == self.setup.role()) =>
            {
                Err(Denied::NothingToChallenge("the channel is CLOSED: the other side has challenged"))
            }
            (CallKind::Challenge, EndKind::Challenged)
            | (CallKind::Withdraw, _)
            | (CallKind::Cancel, EndKind::Cancelled) => {
                Ok(Done::PaidOut { tx, received: end.received(self.setup.role()) })
            }
        }
    }

    pub(super) fn balances(&self) -> Balances {
        match self.outcome() {
            Outcome::Ended { end, .. } => end.paid_out,
            Outcome::Abandoned => Balances { a: Amount::ZERO, b: Amount::ZERO },
        }
    }

    pub(super) fn is_buried(&self, context: &Context<'_>) -> bool {
        let head = context.head.unwrap_or(0).max(self.view.head);
        match self.outcome() {
            Outcome::Abandoned => true,
            Outcome::Ended { .. } => ChainView { head, ..self.view }.is_confirmed(context.confirmations),
        }
    }

    /// Returns how many blocks have to be mined above `head` (above the one of the view, if that is unknown
    /// or lower) until the end is `confirmations` deep. A channel that never came onto the chain has no end.
    pub fn blocks_until_deep(&self, head: Option<u64>, confirmations: u64) -> u64 {
        let head = head.unwrap_or(0).max(self.view.head);
        match (self.outcome(), self.view.newest) {
            (Outcome::Ended { .. }, Some(event)) => {
                event.block.saturating_add(confirmations).saturating_sub(1).saturating_sub(head)
            }
            (Outcome::Ended { .. } | Outcome::Abandoned, _) => 0,
        }
    }

    pub(super) fn next_block(&self, context: &Context<'_>) -> Option<u64> {
        let event = self.view.newest?;
        let deep = event.block.saturating_add(context.confirmations).saturating_sub(1);
        (!self.is_buried(context)).then_some(deep)
    }

    pub(super) fn apply(
        mut self: Box<Self>,
        input: Input,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        match input {
            Input::Command(caller, command) => self.command(caller, command, effects),
            Input::Peer(PeerInput::Message { message, repeated }) => {
                self.message(&message, &repeated, context, effects);
            }
            Input::Peer(PeerInput::Connected { .. }) => self.ask_for_record(effects),
            Input::Chain(ChainInput::View(view)) => return self.chain_view(view, context, effects),
            Input::Peer(PeerInput::Disconnected)
            | Input::Chain(
                ChainInput::Block
                | ChainInput::CallFailed { .. }
                | ChainInput::Claimed(_)
                | ChainInput::Invalid(_),
            )
            | Input::Tick
            | Input::Resume
            | Input::Ordered => {}
        }
        Channel::Closed(self)
    }

    fn command(&self, caller: CommandId, command: Command, effects: &mut Effects) {
        let outcome = match command {
            Command::Pay { payment, known, .. } => {
                known.map_or(Err(Denied::WrongState("CLOSED")), |known| known.outcome(&payment))
            }
            Command::Fund { .. } => Err(Denied::WrongState("CLOSED")),
            Command::Close(_) | Command::SignFinal => Err(Denied::WrongState("CLOSED already")),
            Command::Import(_) => Err(Denied::WrongState("CLOSED; a receipt changes nothing any more")),
            Command::Cancel => self.done(CallKind::Cancel),
            Command::Challenge => self.done(CallKind::Challenge),
            Command::Withdraw => self.done(CallKind::Withdraw),
        };
        effects.reply.push((caller, outcome));
    }

    fn message(
        &mut self,
        message: &Message,
        repeated: &[PaymentId],
        context: &Context<'_>,
        effects: &mut Effects,
    ) {
        let agreed_nonce = self.books.as_ref().map_or(Nonce::ZERO, |books| books.agreed.nonce());
        let refuse = |nonce| Message::Refuse(Refuse { nonce, reason: RefuseReason::Stopped, agreed_nonce });
        match message {
            Message::Sync(sync) => {
                if let (Some(books), Some(closing), Some(propose)) =
                    (&self.books, self.unrecorded(), &sync.proposal)
                {
                    self.recorded =
                        record::record(&self.setup, books, &closing, propose, repeated, context, effects);
                }
                if let Some(books) = self.books.as_ref().filter(|_| sync.wants_reply) {
                    effects.send.push(Message::Sync(self.sync(books, false).into()));
                }
            }
            Message::Propose(propose) => effects.send.push(refuse(propose.nonce)),
            Message::Final(_) => effects.send.push(refuse(Nonce::FINAL)),
            Message::Answer(_) | Message::Refuse(_) => {}
        }
    }

    fn chain_view(
        mut self: Box<Self>,
        view: ChainView,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        if view.newest != self.view.newest || view.status != self.view.status {
            effects.persist();
        }
        let was_closed = matches!(self.view.status, OnChain::Closed { .. });
        match (view.status, self.books.take()) {
            (OnChain::Missing, Some(books)) if was_closed => {
                self.view = view;
                Channel::Closing(Closing::reopened(*self, books))
            }
            (OnChain::Closed { .. } | OnChain::Missing, books) => {
                let is_new = view.status != self.view.status;
                (self.books, self.view) = (books, view);
                if is_new {
                    self.ask_for_record(effects);
                }
                Channel::Closed(self)
            }
            // The chain took the end back, or an opening that had failed is there after all.
            (_, Some(books)) => Closing::reopened(*self, books).chain_view(view, context, effects),
            (_, None) => {
                let mut opening = Opening::as_partner(self.setup.into());
                opening.lost = self.lost;
                Box::new(opening).apply(Input::Chain(ChainInput::View(view)), context, effects)
            }
        }
    }
}
