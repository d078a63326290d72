//! Before a channel can be used.

use serde::{Deserialize, Serialize};

use crate::onchain::{Call, CallFailure, CallKind, ChainView, OnChain};
use crate::wire::{Message, Refuse, RefuseReason};
use crate::{Amount, Balances, Nonce};

use super::active::Active;
use super::books::Books;
use super::closed::Closed;
use super::closing::Closing;
use super::io::{ChainInput, Command, CommandId, Context, Denied, Done, Effects, Input, Notice, PeerInput};
use super::lost::Lost;
use super::setup::{Setup, Terms};
use super::{Channel, WaitList, replace_view};

/// A channel that both sides have agreed on and that is not ACTIVE, or not deep enough in the
/// chain. Money in it comes back with `cancel` as long as it is EMPTY.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Opening {
    /// Who, where and how much.
    pub setup: Setup,
    /// What the chain last said.
    pub view: ChainView,
    /// Whether this comes out of a backup: what was signed since is not known (rule 9).
    pub lost: bool,
    /// What this side pays in when it opens; `None` if the partner opens.
    deposit: Option<Amount>,
    #[serde(skip)]
    session: Session,
    #[serde(skip)]
    waiting: WaitList,
}

/// The session, remembered until the channel becomes ACTIVE.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Session {
    #[default]
    Offline,
    Online,
}

impl Opening {
    pub(super) fn as_opener(terms: Terms, deposit: Amount, caller: CommandId, effects: &mut Effects) -> Self {
        let mut opening = Self::as_partner(terms);
        opening.deposit = Some(deposit);
        opening.session = Session::Online;
        opening.waiting.push(caller, CallKind::Open);
        effects.persist();
        effects.submit.extend(opening.open_call());
        opening
    }

    pub(super) fn as_partner(terms: Terms) -> Self {
        Self {
            setup: terms.into(),
            view: ChainView::missing(0),
            lost: false,
            deposit: None,
            session: Session::Online,
            waiting: WaitList::default(),
        }
    }

    /// Back from ACTIVE, because the chain took the opening back before anything was signed.
    pub(super) fn from_active(setup: Setup, view: ChainView, deposit: Option<Amount>, online: bool) -> Self {
        let session = if online { Session::Online } else { Session::Offline };
        Self { setup, view, lost: false, deposit, session, waiting: WaitList::default() }
    }

    fn open_call(&self) -> Option<Call> {
        let terms = self.setup.terms();
        let deposit = self.deposit?;
        Some(Call::Open { part_b: terms.part_b, amount: terms.amount, deposit, salt: terms.salt })
    }

    /// What the chain says was paid in so far.
    pub fn paid_in(&self) -> Balances {
        match self.view.status {
            OnChain::Empty { paid_in } | OnChain::Active { paid_in } => paid_in,
            OnChain::Missing | OnChain::Closing(_) | OnChain::Closed { .. } => {
                Balances { a: Amount::ZERO, b: Amount::ZERO }
            }
        }
    }

    /// What is missing until the channel is ACTIVE.
    pub fn missing(&self) -> Amount {
        let paid = self.paid_in().sum().unwrap_or(Amount::MAX);
        self.setup.terms().amount.checked_sub(paid).unwrap_or(Amount::ZERO)
    }

    /// What is missing of the own share.
    pub fn own_missing(&self) -> Amount {
        let (missing, role) = (self.missing(), self.setup.role());
        let paid_in = self.paid_in().of(role);
        let share = self.setup.terms().shares.of(role).checked_sub(paid_in).unwrap_or(Amount::ZERO);
        share.min(missing)
    }

    pub(super) fn next_block(&self, context: &Context<'_>) -> Option<u64> {
        let event = self.view.newest?;
        let deep = event.block.saturating_add(context.confirmations).saturating_sub(1);
        (!self.is_confirmed(context)).then_some(deep)
    }

    fn is_confirmed(&self, context: &Context<'_>) -> bool {
        let head = context.head.unwrap_or(0).max(self.view.head);
        ChainView { head, ..self.view }.is_confirmed(context.confirmations)
    }

    pub(super) fn apply(
        mut self: Box<Self>,
        input: Input,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        match input {
            Input::Command(caller, command) => {
                self.command(caller, command, effects);
                Channel::Opening(self)
            }
            Input::Peer(input) => {
                self.peer(input, effects);
                Channel::Opening(self)
            }
            Input::Chain(ChainInput::View(view)) => self.view(view, context, effects),
            Input::Chain(ChainInput::Block) => {
                let view = ChainView { head: context.head.unwrap_or(0).max(self.view.head), ..self.view };
                self.view(view, context, effects)
            }
            Input::Chain(ChainInput::Invalid(reason)) => {
                self.waiting.answer_all(
                    &Err(Denied::CallFailed { kind: CallKind::Open, reason: CallFailure::Refused(reason) }),
                    effects,
                );
                Channel::Closed(Box::new(Closed {
                    lost: self.lost,
                    ..Closed::new(self.setup, None, self.view)
                }))
            }
            Input::Chain(ChainInput::CallFailed { kind, reason }) => self.call_failed(kind, reason, effects),
            // Nothing was signed that could challenge.
            Input::Ordered | Input::Chain(ChainInput::Claimed(_)) => Channel::Opening(self),
            Input::Resume => {
                if self.view.status == OnChain::Missing {
                    effects.submit.extend(self.open_call());
                }
                // The opening may have become deep enough while nobody was there to see it.
                let view = ChainView { head: context.head.unwrap_or(0).max(self.view.head), ..self.view };
                self.view(view, context, effects)
            }
            Input::Tick => Channel::Opening(self),
        }
    }

    fn command(&mut self, caller: CommandId, command: Command, effects: &mut Effects) {
        let result = match command {
            Command::Fund { value } => self.fund(value),
            Command::Cancel => self.cancel(),
            Command::Pay { .. } | Command::SignFinal | Command::Import(_) => {
                Err(self.not_usable("not open yet"))
            }
            Command::Close(_) => Err(self.not_usable("not open yet; cancel takes back what was paid in")),
            Command::Challenge => Err(Denied::NothingToChallenge("the channel is not closing")),
            Command::Withdraw => Err(Denied::WrongState("not open yet; cancel takes back what was paid in")),
        };
        match result {
            Ok(call) => {
                self.waiting.push(caller, call.kind());
                effects.submit.push(call);
            }
            Err(why) => effects.reply.push((caller, Err(why))),
        }
    }

    fn not_usable(&self, otherwise: &'static str) -> Denied {
        match self.view.status {
            OnChain::Active { .. } => Denied::NotConfirmed,
            OnChain::Missing | OnChain::Empty { .. } | OnChain::Closing(_) | OnChain::Closed { .. } => {
                Denied::WrongState(otherwise)
            }
        }
    }

    fn fund(&self, value: Option<Amount>) -> Result<Call, Denied> {
        if !matches!(self.view.status, OnChain::Empty { .. }) {
            return Err(Denied::WrongState("not waiting for money"));
        }
        if self.waiting.is_waiting_for(CallKind::Fund) {
            return Err(Denied::UnderWay);
        }
        let missing = self.missing();
        let value = value.unwrap_or_else(|| self.own_missing());
        if value.is_zero() {
            return Err(Denied::ZeroAmount);
        }
        if value > missing {
            return Err(Denied::TooMuch { missing });
        }
        Ok(Call::Fund { value })
    }

    fn cancel(&self) -> Result<Call, Denied> {
        match self.view.status {
            OnChain::Empty { .. } => Ok(Call::Cancel),
            OnChain::Missing => Err(Denied::WrongState("not on the chain; nothing was paid in")),
            OnChain::Active { .. } | OnChain::Closing(_) | OnChain::Closed { .. } => {
                Err(Denied::WrongState("past the point where cancel works; use closechannel"))
            }
        }
    }

    fn peer(&mut self, input: PeerInput, effects: &mut Effects) {
        match input {
            PeerInput::Connected { .. } => self.session = Session::Online,
            PeerInput::Disconnected => self.session = Session::Offline,
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

    fn view(mut self: Box<Self>, view: ChainView, context: &Context<'_>, effects: &mut Effects) -> Channel {
        let paid_before = self.paid_in();
        let is_new = self.view.status != view.status;
        replace_view(&mut self.view, view, effects);
        match view.status {
            OnChain::Missing => Channel::Opening(self),
            OnChain::Empty { paid_in } => {
                if is_new {
                    effects.notify.push(Notice::State("EMPTY"));
                }
                if let Some(event) = view.newest {
                    let done = Ok(Done::PaidIn { tx: event.tx });
                    self.waiting.answer(CallKind::Open, &done, effects);
                    if paid_in.of(self.setup.role()) > paid_before.of(self.setup.role()) {
                        self.waiting.answer(CallKind::Fund, &done, effects);
                    }
                }
                Channel::Opening(self)
            }
            OnChain::Active { paid_in } if self.is_confirmed(context) => {
                self.activate(paid_in, context, effects)
            }
            OnChain::Active { .. } => Channel::Opening(self),
            OnChain::Closing(closing) => {
                self.waiting.answer_all(&Err(Denied::WrongState("closing already")), effects);
                let known = closing.paid_in.or((closing.nonce == Nonce::ZERO).then_some(closing.balances));
                let books = Books::new(known.unwrap_or(self.setup.terms().shares));
                Closing::seen_from(self.setup, books, self.lost, view, context, effects)
            }
            OnChain::Closed { .. } => {
                let closed = Closed { lost: self.lost, ..Closed::new(self.setup, None, view) };
                Channel::Closed(closed.seen(self.waiting, effects))
            }
        }
    }

    fn activate(
        mut self: Box<Self>,
        paid_in: Balances,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        let done = Ok(Done::PaidIn { tx: self.view.newest.and_then(|event| event.tx) });
        self.waiting.answer(CallKind::Open, &done, effects);
        self.waiting.answer(CallKind::Fund, &done, effects);
        self.waiting.answer_all(&Err(Denied::WrongState("ACTIVE; use closechannel")), effects);
        if self.lost {
            effects.notify.push(Notice::AtRisk("the channel comes out of a backup: it must not act alone"));
            let lost = Lost::from_books(self.setup, Books::new(paid_in), self.view);
            if self.session == Session::Online {
                lost.send_sync(effects);
            }
            return Channel::Lost(Box::new(lost));
        }
        let online = self.session == Session::Online;
        Channel::Active(Box::new(Active::start(
            self.setup,
            paid_in,
            self.view,
            self.deposit,
            online,
            context,
            effects,
        )))
    }

    fn call_failed(
        mut self: Box<Self>,
        kind: CallKind,
        reason: CallFailure,
        effects: &mut Effects,
    ) -> Channel {
        self.waiting.answer(kind, &Err(Denied::CallFailed { kind, reason }), effects);
        if kind == CallKind::Open && self.view.status == OnChain::Missing {
            let closed = Closed { lost: self.lost, ..Closed::new(self.setup, None, self.view) };
            return Channel::Closed(Box::new(closed));
        }
        Channel::Opening(self)
    }
}
