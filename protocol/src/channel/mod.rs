//! A channel, as one party sees it: `apply(state, input) -> (state, effects)`.
//!
//! | state | what it means | leaves it by |
//! |---|---|---|
//! | [`Opening`] | agreed on with the partner; not ACTIVE on chain, or not deep enough | an ACTIVE, confirmed view; cancel |
//! | [`Active`] | payments | `closechannel`; the partner's closing; FINAL; proof of lost data |
//! | [`Finishing`] | the own FINAL is signed: nothing more is | the FINAL receipt on chain, or closing alone |
//! | [`Lost`] | data was lost: nothing is signed but one FINAL, on a newer receipt or by order | the chain |
//! | [`Closing`] | a closing was begun or seen: nothing is signed | CLOSED |
//! | [`Closed`] | paid out | a reorganisation |
//!
//! The rules named in comments are those of the protocol's "Rules of an update".

mod active;
mod books;
mod closed;
mod closing;
mod finishing;
mod import;
mod io;
mod lost;
mod opening;
mod queue;
mod record;
mod settle;
mod setup;
mod untrusted;
mod update;

pub use active::Active;
pub use books::{Books, Pending, Proposal};
pub use closed::{Closed, Outcome};
pub use closing::Closing;
pub use finishing::Finishing;
pub use import::ImportedReceipt;
pub use io::{
    ChainInput, CloseMode, ClosedBy, Command, CommandId, Context, Denied, Direction, Done, Effects, Input,
    KnownPayment, Millis, Misbehaviour, Notice, PaymentWrite, PeerInput, Transition,
};
pub use lost::{Lost, LostStep};
pub use opening::Opening;
pub use settle::PaymentStatus;
pub use setup::{Setup, Terms};

use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError};
use crate::onchain::{CallKind, ChainView, OnChain};
use crate::{Amount, Balances, Nonce, Payment};

/// A channel's state. What serialises is what must survive a crash; sessions, queues and callers
/// don't.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Channel {
    /// Not usable yet.
    Opening(Box<Opening>),
    /// Usable.
    Active(Box<Active>),
    /// FINAL is signed.
    Finishing(Box<Finishing>),
    /// Data was lost.
    Lost(Box<Lost>),
    /// A closing was begun or seen.
    Closing(Box<Closing>),
    /// Paid out.
    Closed(Box<Closed>),
}

impl Channel {
    /// A channel that this side opens: it becomes A and pays in `deposit`. The address is known and
    /// has to be on disk before the transaction is sent.
    pub fn open(terms: Terms, deposit: Amount, caller: CommandId) -> Transition {
        let mut effects = Effects::default();
        let opening = Opening::as_opener(terms, deposit, caller, &mut effects);
        Transition { channel: Self::Opening(Box::new(opening)), effects }
    }

    /// A channel that the partner is going to open. It has to be on disk before the partner is
    /// told "go ahead".
    pub fn accept(terms: Terms) -> Transition {
        let mut effects = Effects::default();
        effects.persist();
        Transition { channel: Self::Opening(Box::new(Opening::as_partner(terms))), effects }
    }

    /// Applies one input. Total: every state takes every input.
    #[must_use]
    pub fn apply(self, input: Input, context: &Context<'_>) -> Transition {
        let mut effects = Effects::default();
        let before = self.name();
        let channel = match self {
            Self::Opening(state) => state.apply(input, context, &mut effects),
            Self::Active(state) => state.apply(input, context, &mut effects),
            Self::Finishing(state) => state.apply(input, context, &mut effects),
            Self::Lost(state) => state.apply(input, context, &mut effects),
            Self::Closing(state) => state.apply(input, context, &mut effects),
            Self::Closed(state) => state.apply(input, context, &mut effects),
        };
        if channel.name() != before {
            effects.persist();
            effects.notify.push(Notice::State(channel.name()));
        }
        Transition { channel, effects }
    }

    /// Marks a channel that comes out of a backup (rule 9): it may be older than what was signed
    /// since.
    #[must_use]
    pub fn mark_lost(self) -> Self {
        match self {
            Self::Active(state) => {
                Self::Lost(Box::new(Lost::from_books(state.setup, state.books, state.view)))
            }
            Self::Finishing(state) => Self::Lost(Box::new(state.into_lost())),
            // Once closing has begun nothing is signed, so what it closes on can't be outdated.
            Self::Closing(mut state) => {
                state.lost = true;
                Self::Closing(state)
            }
            // It may have become ACTIVE since, or, after a reorganisation, may again.
            Self::Opening(mut state) => {
                state.lost = true;
                Self::Opening(state)
            }
            Self::Closed(mut state) => {
                state.lost = true;
                Self::Closed(state)
            }
            Self::Lost(state) => Self::Lost(Box::new(state.restored())),
        }
    }

    /// Reads a state from disk. The payments of the own unanswered proposal, if there is one, are
    /// kept apart: `payments_of` finds them by its nonce.
    pub fn decode<E: From<CodecError>>(
        record: &[u8],
        payments_of: impl FnOnce(Nonce) -> Result<Vec<Payment>, E>,
    ) -> Result<Self, E> {
        let mut channel: Self = codec::decode(record)?;
        if let Some(proposal) = channel.books_mut().and_then(|books| books.proposal.as_mut()) {
            proposal.payments = payments_of(proposal.nonce)?.into_iter().map(Pending::from).collect();
        }
        Ok(channel)
    }

    /// The state for the disk.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode_record(self)
    }

    /// Who, where and how much.
    pub fn setup(&self) -> &Setup {
        match self {
            Self::Opening(state) => &state.setup,
            Self::Active(state) => &state.setup,
            Self::Finishing(state) => &state.setup,
            Self::Lost(state) => &state.setup,
            Self::Closing(state) => &state.setup,
            Self::Closed(state) => &state.setup,
        }
    }

    /// The receipts, where there can be any.
    pub fn books(&self) -> Option<&Books> {
        match self {
            Self::Opening(_) => None,
            Self::Active(state) => Some(&state.books),
            Self::Finishing(state) => Some(&state.books),
            Self::Lost(state) => Some(&state.books),
            Self::Closing(state) => Some(&state.books),
            Self::Closed(state) => state.books.as_ref(),
        }
    }

    fn books_mut(&mut self) -> Option<&mut Books> {
        match self {
            Self::Opening(_) => None,
            Self::Active(state) => Some(&mut state.books),
            Self::Finishing(state) => Some(&mut state.books),
            Self::Lost(state) => Some(&mut state.books),
            Self::Closing(state) => Some(&mut state.books),
            Self::Closed(state) => state.books.as_mut(),
        }
    }

    /// What the chain last said.
    pub fn view(&self) -> &ChainView {
        match self {
            Self::Opening(state) => &state.view,
            Self::Active(state) => &state.view,
            Self::Finishing(state) => &state.view,
            Self::Lost(state) => &state.view,
            Self::Closing(state) => &state.view,
            Self::Closed(state) => &state.view,
        }
    }

    /// The state's name here, which is finer than the contract's.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Opening(_) => "opening",
            Self::Active(_) => "active",
            Self::Finishing(_) => "finishing",
            Self::Lost(_) => "lost",
            Self::Closing(_) => "closing",
            Self::Closed(_) => "closed",
        }
    }

    /// When [`Input::Tick`] is wanted next.
    pub fn next_tick(&self) -> Option<Millis> {
        match self {
            Self::Active(state) => state.next_tick(),
            Self::Finishing(state) => state.next_tick(),
            Self::Lost(state) => state.next_tick(),
            Self::Opening(_) | Self::Closing(_) | Self::Closed(_) => None,
        }
    }

    /// At which block [`ChainInput::Block`] is wanted next.
    pub fn next_block(&self, context: &Context<'_>) -> Option<u64> {
        match self {
            Self::Opening(state) => state.next_block(context),
            Self::Active(state) => state.next_block(context),
            Self::Finishing(state) => state.next_block(),
            Self::Closing(state) => state.next_block(context),
            Self::Closed(state) => state.next_block(context),
            Self::Lost(state) => state.next_block(context),
        }
    }

    /// Whether the channel can still change: false once it is closed deeply enough, or was never
    /// opened.
    pub fn is_over(&self, context: &Context<'_>) -> bool {
        match self {
            Self::Closed(state) => state.is_buried(context) && !state.wants_record(),
            Self::Opening(_) | Self::Active(_) | Self::Finishing(_) | Self::Lost(_) | Self::Closing(_) => {
                false
            }
        }
    }

    /// The shares as they stand: of the newest agreed receipt, or of what was paid in, or paid out.
    pub fn balances(&self) -> Balances {
        match self {
            Self::Opening(state) => state.paid_in(),
            Self::Closed(state) => state.balances(),
            Self::Active(_) | Self::Finishing(_) | Self::Lost(_) | Self::Closing(_) => self
                .books()
                .map_or(Balances { a: Amount::ZERO, b: Amount::ZERO }, |books| books.agreed.balances()),
        }
    }

    /// What of the own share is proposed or queued and not agreed yet.
    pub fn pending(&self) -> Amount {
        match self {
            Self::Active(state) => state.pending(),
            Self::Opening(_) | Self::Finishing(_) | Self::Lost(_) | Self::Closing(_) | Self::Closed(_) => {
                self.books().and_then(|books| books.proposal.as_ref()).map_or(Amount::ZERO, Proposal::total)
            }
        }
    }
}

/// Whether the chain shows the channel ACTIVE, deep enough, and was heard of recently (rule 7).
fn is_chain_sound(view: &ChainView, context: &Context<'_>) -> bool {
    let head = context.head.unwrap_or(0).max(view.head);
    let confirmed = ChainView { head, ..*view }.is_confirmed(context.confirmations);
    confirmed && context.chain_fresh && matches!(view.status, OnChain::Active { .. })
}

/// The block with which an ACTIVE channel's chain may be sound; `None` if it is already.
fn next_sound_block(view: &ChainView, context: &Context<'_>) -> Option<u64> {
    let event = view.newest?;
    if is_chain_sound(view, context) || !matches!(view.status, OnChain::Active { .. }) {
        return None;
    }
    // Not deep enough, or the chain was silent for too long: then the next block says more.
    let deep = event.block.saturating_add(context.confirmations).saturating_sub(1);
    let next = context.head.unwrap_or(0).max(view.head).saturating_add(1);
    Some(deep.max(next))
}

/// Takes what the chain says now; on disk if it is something new.
fn replace_view(view: &mut ChainView, new: ChainView, effects: &mut Effects) {
    if new.newest != view.newest || new.status != view.status {
        effects.persist();
    }
    *view = new;
}

/// Somebody waits for what a contract call brings about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) caller: CommandId,
    pub(crate) kind: CallKind,
}

/// The callers of contract calls, answered when the chain shows the effect or the call fails.
#[derive(Debug, Clone, Default)]
pub(crate) struct WaitList(Vec<Waiting>);

impl WaitList {
    pub(crate) fn push(&mut self, caller: CommandId, kind: CallKind) {
        self.0.push(Waiting { caller, kind });
    }

    pub(crate) fn is_waiting_for(&self, kind: CallKind) -> bool {
        self.0.iter().any(|waiting| waiting.kind == kind)
    }

    /// Takes out those who wait for `kind`.
    pub(crate) fn take(&mut self, kind: CallKind) -> Vec<CommandId> {
        let (taken, left) = self.0.drain(..).partition::<Vec<_>, _>(|waiting| waiting.kind == kind);
        self.0 = left;
        taken.into_iter().map(|waiting| waiting.caller).collect()
    }

    /// Answers those who wait for `kind`.
    pub(crate) fn answer(&mut self, kind: CallKind, answer: &Result<Done, Denied>, effects: &mut Effects) {
        effects.reply.extend(self.take(kind).into_iter().map(|caller| (caller, answer.clone())));
    }

    /// Answers everybody.
    pub(crate) fn answer_all(&mut self, answer: &Result<Done, Denied>, effects: &mut Effects) {
        effects.reply.extend(self.0.drain(..).map(|waiting| (waiting.caller, answer.clone())));
    }
}
