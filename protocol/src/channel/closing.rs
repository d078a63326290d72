//! A closing was begun here or seen on the chain (rule 10): nothing is signed any more.

use serde::{Deserialize, Serialize};

use crate::onchain::{self, Call, CallKind, ChainView, ClosePlan, Evidence, OnChain};
use crate::wire::{Message, Propose, RefuseReason, Sync};
use crate::{Agreed, Nonce, Receipt, Signatures};

use super::books::{Books, Proposal};
use super::closed::Closed;
use super::io::{
    ChainInput, CloseMode, ClosedBy, Command, CommandId, Context, Denied, Direction, Done, Effects, Input,
    Notice, PaymentWrite, PeerInput,
};
use super::setup::Setup;
use super::update::{Claim, check_proposal, judge_claim};
use super::{Channel, WaitList, replace_view};

/// A channel on its way to CLOSED.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Closing {
    /// Who, where and how much.
    pub setup: Setup,
    /// The receipts: what a challenge is made of.
    pub books: Books,
    /// What the chain last said.
    pub view: ChainView,
    /// How this side closes, if it does.
    pub plan: Option<ClosePlan>,
    /// Whether this side has lost data.
    pub lost: bool,
    /// Whether the closer's last proposal was taken into the history (rule 12).
    recorded: bool,
    #[serde(skip)]
    waiting: WaitList,
}

impl Closing {
    /// This side closes. The flag is on disk before the transaction goes out.
    pub(super) fn begin(
        setup: Setup,
        books: Books,
        view: ChainView,
        plan: ClosePlan,
        caller: Option<CommandId>,
        effects: &mut Effects,
    ) -> Channel {
        let mut waiting = WaitList::default();
        caller.into_iter().for_each(|caller| waiting.push(caller, CallKind::Close));
        Self::begin_waited(setup, books, view, plan, waiting, effects)
    }

    pub(super) fn begin_waited(
        setup: Setup,
        books: Books,
        view: ChainView,
        plan: ClosePlan,
        waiting: WaitList,
        effects: &mut Effects,
    ) -> Channel {
        effects.persist();
        effects.submit.push(Call::Close(plan));
        let state = Self { setup, books, view, plan: Some(plan), lost: false, recorded: false, waiting };
        effects.send.push(Message::Sync(state.sync(false).into()));
        Channel::Closing(Box::new(state))
    }

    /// The chain shows a closing.
    pub(super) fn seen_from(
        setup: Setup,
        books: Books,
        view: ChainView,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        effects.persist();
        let waiting = WaitList::default();
        let state = Box::new(Self { setup, books, view, plan: None, lost: false, recorded: false, waiting });
        state.chain_view(view, context, effects)
    }

    /// The closing on the chain.
    pub const fn seen(&self) -> Option<&onchain::Closing> {
        match &self.view.status {
            OnChain::Closing(closing) => Some(closing),
            OnChain::Missing | OnChain::Empty { .. } | OnChain::Active { .. } | OnChain::Closed { .. } => {
                None
            }
        }
    }

    /// What punishes the closing on the chain, if the other side closed on an old receipt: one of
    /// its own signatures with a higher nonce, or with the same nonce and other balances.
    pub fn challenge_evidence(&self) -> Option<Evidence> {
        let closing = self.seen().filter(|closing| closing.closer != self.setup.role())?;
        let agreed = &self.books.agreed;
        agreed.signatures?;
        let newer = agreed.nonce() > closing.nonce;
        let contradicts = agreed.nonce() == closing.nonce && agreed.balances() != closing.balances;
        (newer || contradicts).then(|| self.books.evidence(self.setup.role()))
    }

    /// Whether a transaction sent now can still be in time for a challenge.
    fn in_challenge_period(&self, context: &Context<'_>) -> bool {
        let next = self.head(context).saturating_add(1);
        self.seen().is_some_and(|closing| next < closing.withdrawable_at())
    }

    fn head(&self, context: &Context<'_>) -> u64 {
        context.head.unwrap_or(0).max(self.view.head)
    }

    pub(super) fn next_block(&self, context: &Context<'_>) -> Option<u64> {
        let at = self.seen()?.withdrawable_at().saturating_sub(1);
        (self.head(context) < at).then_some(at)
    }

    pub(super) fn apply(
        mut self: Box<Self>,
        input: Input,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        match input {
            Input::Command(caller, command) => self.command(caller, command, context, effects),
            Input::Peer(PeerInput::Connected { initiator }) => {
                if initiator {
                    effects.send.push(Message::Sync(self.sync(true).into()));
                }
            }
            Input::Peer(PeerInput::Message { message, repeated }) => {
                self.message(message, &repeated, context, effects);
            }
            Input::Chain(ChainInput::View(view)) => return self.chain_view(view, context, effects),
            Input::Chain(ChainInput::CallFailed { kind, reason }) => {
                self.waiting.answer(kind, &Err(Denied::CallFailed { kind, reason }), effects);
            }
            Input::Chain(ChainInput::Block) => effects.notify.push(Notice::State("withdrawable")),
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

    fn challenge_if_due(&self, context: &Context<'_>, effects: &mut Effects) {
        let Some(evidence) = self.challenge_evidence() else { return };
        if !self.in_challenge_period(context) {
            effects.notify.push(Notice::AtRisk(
                "the other side closed on an old receipt and the time to challenge is over",
            ));
        } else if context.auto_challenge {
            effects.submit.push(Call::Challenge(evidence));
        } else {
            effects.notify.push(Notice::AtRisk("the other side closed on an old receipt: run challenge"));
        }
    }

    fn command(&mut self, caller: CommandId, command: Command, context: &Context<'_>, effects: &mut Effects) {
        let result = match command {
            Command::Pay { payment, known } => {
                let outcome = known.map_or(Err(Denied::Closing), |known| self.known_outcome(known, &payment));
                effects.reply.push((caller, outcome));
                return;
            }
            Command::Close(mode) => self.close(&mode),
            Command::Challenge => self.challenge(context),
            Command::Withdraw => self.withdraw(context),
            Command::Fund { .. } | Command::Cancel => Err(Denied::WrongState("closing")),
        };
        match result {
            Ok(call) => {
                self.waiting.push(caller, call.kind());
                effects.submit.push(call);
            }
            Err(why) => effects.reply.push((caller, Err(why))),
        }
    }

    fn known_outcome(
        &self,
        known: super::io::KnownPayment,
        payment: &crate::Payment,
    ) -> Result<Done, Denied> {
        let pending = self.books.proposal.as_ref().is_some_and(|own| known.nonce == Some(own.nonce));
        if pending && known.amount == payment.amount {
            Err(Denied::Undecided)
        } else {
            known.outcome(payment)
        }
    }

    /// A closing that was begun and never mined can be asked for again, on the same plan: by then
    /// the first transaction may be anywhere.
    fn close(&self, mode: &CloseMode) -> Result<Call, Denied> {
        if self.seen().is_some() {
            return Err(Denied::WrongState("CLOSING already"));
        }
        match (mode, self.plan) {
            (CloseMode::On(_), _) => Err(Denied::UnderWay),
            (CloseMode::Alone | CloseMode::Cooperative, Some(plan)) => Ok(Call::Close(plan)),
            (CloseMode::Alone | CloseMode::Cooperative, None) if self.lost => Err(Denied::Lost),
            (CloseMode::Alone | CloseMode::Cooperative, None) => {
                Ok(Call::Close(self.books.close_plan(self.setup.role())))
            }
        }
    }

    fn challenge(&self, context: &Context<'_>) -> Result<Call, Denied> {
        let Some(closing) = self.seen() else {
            return Err(Denied::NothingToChallenge("no closing of the other side is on the chain"));
        };
        if closing.closer == self.setup.role() {
            return Err(Denied::NothingToChallenge("this side closed the channel itself"));
        }
        let Some(evidence) = self.challenge_evidence() else {
            return Err(Denied::NothingToChallenge("the other side closed on the newest receipt"));
        };
        if !self.in_challenge_period(context) {
            return Err(Denied::NothingToChallenge("the challenge period is over"));
        }
        Ok(Call::Challenge(evidence))
    }

    fn withdraw(&self, context: &Context<'_>) -> Result<Call, Denied> {
        let Some(closing) = self.seen() else {
            return Err(Denied::WrongState("closing, and the closing is not on the chain yet"));
        };
        let (head, withdrawable_at) = (self.head(context), closing.withdrawable_at());
        if head.saturating_add(1) < withdrawable_at {
            return Err(Denied::TooEarly { withdrawable_at, head });
        }
        Ok(Call::Withdraw)
    }

    // ---- the partner --------------------------------------------------------------------------

    fn sync(&self, wants_reply: bool) -> Sync {
        Sync {
            agreed: self.books.agreed,
            proposal: self.books.proposal.as_ref().map(Proposal::message),
            finish: None,
            closing: true,
            lost: self.lost,
            wants_reply,
        }
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
                let own = self.books.proposal.as_ref().filter(|own| own.nonce == answer.nonce).map(|own| {
                    let signatures =
                        Signatures::from_roles(self.setup.role(), own.signature, answer.signature);
                    Agreed::signed(own.receipt(), signatures)
                });
                if let Some(claim) = own {
                    self.take_answer(&claim, context, effects);
                }
                return;
            }
            Message::Propose(propose) if self.record(&propose, repeated, context, effects) => return,
            Message::Propose(propose) => propose.nonce,
            Message::Final(_) => Nonce::FINAL,
            Message::Refuse(_) => return,
        };
        effects.send.push(self.books.refuse(refused, RefuseReason::Stopped));
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
            effects.send.push(Message::Sync(self.sync(false).into()));
        }
    }

    /// The own proposal turns out to be answered: nothing has to be signed to take that.
    fn take_answer(&mut self, claim: &Agreed, context: &Context<'_>, effects: &mut Effects) {
        match judge_claim(&self.setup, &self.books, claim, context.crypto) {
            // The chain closed on the partner's last proposal, and its payments are in the history. If
            // it crossed the own one, that can't be in as well, also if the closing is taken back.
            Ok(Claim::Answers) if self.recorded => {}
            Ok(Claim::Answers) => {
                self.books.agreed = *claim;
                self.books.proposal = None;
                effects.persist();
                self.challenge_if_due(context, effects);
            }
            Ok(Claim::LostData) if !self.lost => {
                self.lost = true;
                self.books.agreed = *claim;
                self.books.proposal = None;
                effects.persist();
                effects.notify.push(Notice::AtRisk(
                    "data was lost: the other side has a newer receipt with our signature",
                ));
                self.challenge_if_due(context, effects);
            }
            Ok(Claim::LostData) => {
                self.books.agreed = *claim;
                self.books.proposal = None;
                effects.persist();
            }
            Ok(Claim::Known | Claim::OtherPaidIn) => {}
            Err(why) => effects.misbehaviour = Some(why),
        }
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
        let partner = self.setup.role().other();
        let Some(closing) = self.seen().filter(|closing| closing.by_proposal && closing.closer == partner)
        else {
            return false;
        };
        let receipt = Receipt { nonce: propose.nonce, balances: propose.balances };
        if receipt != (Receipt { nonce: closing.nonce, balances: closing.balances }) {
            return false;
        }
        let base = [Some(self.books.agreed.receipt), self.books.proposal.as_ref().map(Proposal::receipt)]
            .into_iter()
            .flatten()
            .find(|base| base.nonce == propose.base_nonce && base.nonce == closing.base_nonce);
        let Some(base) = base else { return false };
        if self.recorded {
            return true;
        }
        if check_proposal(&self.setup, &base, propose, partner, repeated, context.crypto).is_err() {
            return false;
        }
        self.recorded = true;
        for payment in &propose.payments {
            effects.write(PaymentWrite::Insert {
                direction: Direction::In,
                payment: payment.clone(),
                nonce: propose.nonce,
                time: context.now,
            });
        }
        true
    }

    // ---- the chain ----------------------------------------------------------------------------

    pub(super) fn chain_view(
        mut self: Box<Self>,
        view: ChainView,
        context: &Context<'_>,
        effects: &mut Effects,
    ) -> Channel {
        replace_view(&mut self.view, view, effects);
        match view.status {
            OnChain::Missing | OnChain::Empty { .. } => Channel::Closing(self),
            // A reorganisation took the closing back, or brought the channel back.
            OnChain::Active { paid_in } => {
                // A side that saw the closing first knows only now what was paid in.
                let untouched = self.books.agreed.nonce() == Nonce::ZERO && self.books.proposal.is_none();
                if untouched && self.books.agreed.balances() != paid_in {
                    self.books.agreed = Agreed::zero(paid_in);
                    effects.persist();
                }
                effects.submit.extend(self.plan.map(Call::Close));
                Channel::Closing(self)
            }
            OnChain::Closing(closing) => {
                self.closing_seen(&closing, context, effects);
                Channel::Closing(self)
            }
            OnChain::Closed { .. } => {
                let Self { setup, books, plan, waiting, .. } = *self;
                Channel::Closed(Closed::seen_with_plan(setup, Some(books), plan, waiting, view, effects))
            }
        }
    }

    fn closing_seen(&mut self, closing: &onchain::Closing, context: &Context<'_>, effects: &mut Effects) {
        if closing.closer == self.setup.role() {
            self.waiting.answer(CallKind::Close, &Ok(closed_by(closing)), effects);
            return;
        }
        self.waiting.answer(
            CallKind::Close,
            &Err(Denied::WrongState("CLOSING: the other side closed first")),
            effects,
        );
        let own = self.books.proposal.as_ref().map(|own| own.nonce);
        let newest = own.unwrap_or(Nonce::ZERO).max(self.books.agreed.nonce());
        let unknown = closing.nonce > newest && !(closing.by_proposal && closing.base_nonce <= newest);
        if unknown && !self.lost {
            self.lost = true;
            effects.persist();
            effects.notify.push(Notice::AtRisk(
                "data was lost: the channel closes on a receipt that this node does not know",
            ));
        }
        self.challenge_if_due(context, effects);
    }

    /// Starts from CLOSED again, because the chain took that back.
    pub(super) fn reopened(
        setup: Setup,
        books: Books,
        plan: Option<ClosePlan>,
        view: ChainView,
    ) -> Box<Self> {
        Box::new(Self {
            setup,
            books,
            view,
            plan,
            lost: false,
            recorded: false,
            waiting: WaitList::default(),
        })
    }
}

/// What whoever asked for a closing learns of it.
pub(super) fn closed_by(closing: &onchain::Closing) -> Done {
    let mode = if closing.by_proposal { ClosedBy::Proposal } else { ClosedBy::Receipt };
    let withdrawable_at = Some(closing.withdrawable_at());
    Done::Closing { tx: closing.tx, mode, nonce: closing.nonce, withdrawable_at }
}
