//! A channel, as one party sees it: `apply(state, input) -> (state, effects)`.
//!
//! | state | what it means | leaves it by |
//! |---|---|---|
//! | [`Opening`] | agreed on with the partner; not ACTIVE on chain, or not deep enough | an ACTIVE, confirmed view; cancel |
//! | [`Active`] | payments | `closechannel`; the partner's closing; FINAL; proof of lost data |
//! | [`CooperativeClosing`] | the own FINAL is signed: nothing more is | the FINAL receipt on chain, or closing alone |
//! | [`DataLoss`] | data was lost: nothing is signed but one FINAL, on a newer receipt or by order | the chain |
//! | [`Closing`] | a closing was begun or seen: nothing is signed | CLOSED |
//! | [`Closed`] | paid out | a reorganisation |
//!
//! The rules named in comments are those of the protocol's "Rules of an update".

mod active;
mod closed;
mod closing;
mod command_outcome;
mod common;
mod cooperative_closing;
mod data_loss;
mod effects;
mod input;
mod late_proposal;
mod next_step;
mod opening;
mod payment_status;
mod queue;
mod receipt_import;
mod receipts;
mod refusal;
mod rules;
mod stored;
mod terms;
mod untrusted;

pub use active::Active;
pub use closed::{Closed, ClosedOutcome};
pub use closing::Closing;
pub use command_outcome::{ClosedBy, CommandError, CommandOutcome};
pub use common::Common;
pub use cooperative_closing::CooperativeClosing;
pub use data_loss::{DataLoss, DataLossStep};
pub use effects::{ChannelNotice, Direction, Effects, Misbehaviour, PaymentWrite, Risk, Transition};
pub use input::{
    ChainInput, ChannelCommand, CloseMode, CommandId, Context, Input, KnownPayment, Millis, PeerInput,
};
pub use next_step::NextStep;
pub use opening::Opening;
pub use payment_status::PaymentStatus;
pub use receipt_import::ImportedReceipt;
pub use receipts::{PendingPayment, Proposal, Receipts};
pub use refusal::{NoChallenge, StateConflict};
pub use terms::{Setup, Terms};

use crate::codec::{self, CodecError};
use crate::onchain::ChainView;
use crate::{Amount, Balances, Nonce, Payment};

use stored::Stored;

/// The states of a channel, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateName {
    /// [`Opening`].
    Opening,
    /// [`Active`].
    Active,
    /// [`CooperativeClosing`].
    CooperativeClosing,
    /// [`DataLoss`].
    DataLoss,
    /// [`Closing`].
    Closing,
    /// [`Closed`].
    Closed,
}

impl StateName {
    /// The name, as logs have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Active => "active",
            Self::CooperativeClosing => "finishing",
            Self::DataLoss => "lost",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }
}

/// A channel's state.
#[derive(Debug, Clone)]
pub enum Channel {
    /// Not usable yet.
    Opening(Box<Opening>),
    /// Usable.
    Active(Box<Active>),
    /// FINAL is signed.
    CooperativeClosing(Box<CooperativeClosing>),
    /// Data was lost.
    DataLoss(Box<DataLoss>),
    /// A closing was begun or seen.
    Closing(Box<Closing>),
    /// Paid out.
    Closed(Box<Closed>),
}

impl Channel {
    /// A channel that this side opens: it becomes A and pays in `deposit`. The address is known and
    /// has to be on disk before the transaction is sent.
    pub fn open(terms: Terms, deposit: Amount, command_id: CommandId) -> Transition {
        let mut effects = Effects::default();
        let mut opening = Opening::new(Common::new(terms.into()), Some(deposit), true);
        opening.submit(command_id, &mut effects);
        Transition { channel: Self::Opening(Box::new(opening)), effects }
    }

    /// A channel that the partner is going to open. It has to be on disk before the partner is
    /// told "go ahead".
    pub fn accept(terms: Terms) -> Transition {
        let mut effects = Effects::default();
        effects.persist();
        let opening = Opening::new(Common::new(terms.into()), None, true);
        Transition { channel: Self::Opening(Box::new(opening)), effects }
    }

    /// Applies one input. Total: every state takes every input.
    #[must_use]
    pub fn apply(self, input: Input, context: &Context<'_>) -> Transition {
        let mut effects = Effects::default();
        let before = self.state();
        let channel = match self {
            Self::Opening(state) => state.apply(input, context, &mut effects),
            Self::Active(state) => state.apply(input, context, &mut effects),
            Self::CooperativeClosing(state) => state.apply(input, context, &mut effects),
            Self::DataLoss(state) => state.apply(input, context, &mut effects),
            Self::Closing(state) => state.apply(input, context, &mut effects),
            Self::Closed(state) => state.apply(input, context, &mut effects),
        };
        if channel.state() != before {
            effects.persist();
            effects.notify.push(ChannelNotice::State(channel.state()));
        }
        Transition { channel, effects }
    }

    /// Marks a channel that comes out of a backup (rule 9): it may be older than what was signed
    /// since.
    #[must_use]
    pub fn mark_stale(mut self) -> Self {
        self.common_mut().may_be_stale = true;
        match self {
            Self::Active(state) => Self::DataLoss(Box::new(DataLoss::new(state.common))),
            Self::CooperativeClosing(state) => Self::DataLoss(Box::new(state.into_data_loss())),
            Self::DataLoss(state) => Self::DataLoss(Box::new(state.restored())),
            // Once closing has begun nothing is signed, so what it closes on can't be outdated. What is opening
            // or closed may have become ACTIVE since, or, after a reorganisation, may again.
            closing_or_unused @ (Self::Closing(_) | Self::Opening(_) | Self::Closed(_)) => closing_or_unused,
        }
    }

    /// Reads a state from disk. The payments of the own unanswered proposal, if there is one, are
    /// kept apart: `payments_of` finds them by its nonce.
    pub fn decode<E: From<CodecError>>(
        record: &[u8],
        payments_of: impl FnOnce(Nonce) -> Result<Vec<Payment>, E>,
    ) -> Result<Self, E> {
        let mut channel = Self::from(codec::decode::<Stored<'_>>(record)?);
        if let Some(proposal) = &mut channel.common_mut().receipts.proposal {
            proposal.payments = payments_of(proposal.nonce)?.into_iter().map(PendingPayment::from).collect();
        }
        if let Self::Active(state) = &mut channel {
            state.proposal_read();
        }
        Ok(channel)
    }

    /// The state for the disk.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode_record(&Stored::from(self))
    }

    /// What all states have in common.
    pub fn common(&self) -> &Common {
        match self {
            Self::Opening(state) => &state.common,
            Self::Active(state) => &state.common,
            Self::CooperativeClosing(state) => &state.common,
            Self::DataLoss(state) => &state.common,
            Self::Closing(state) => &state.common,
            Self::Closed(state) => &state.common,
        }
    }

    /// The same, to be changed.
    pub fn common_mut(&mut self) -> &mut Common {
        match self {
            Self::Opening(state) => &mut state.common,
            Self::Active(state) => &mut state.common,
            Self::CooperativeClosing(state) => &mut state.common,
            Self::DataLoss(state) => &mut state.common,
            Self::Closing(state) => &mut state.common,
            Self::Closed(state) => &mut state.common,
        }
    }

    /// Who, where and how much.
    pub fn setup(&self) -> &Setup {
        &self.common().setup
    }

    /// The receipts, where there can be any.
    pub fn receipts(&self) -> Option<&Receipts> {
        let has_receipts = match self {
            Self::Opening(_) => false,
            Self::Active(_) | Self::CooperativeClosing(_) | Self::DataLoss(_) | Self::Closing(_) => true,
            Self::Closed(state) => state.has_receipts,
        };
        has_receipts.then_some(&self.common().receipts)
    }

    /// What the chain last said.
    pub fn view(&self) -> &ChainView {
        &self.common().view
    }

    /// Which state it is, which is finer than the contract's.
    pub const fn state(&self) -> StateName {
        match self {
            Self::Opening(_) => StateName::Opening,
            Self::Active(_) => StateName::Active,
            Self::CooperativeClosing(_) => StateName::CooperativeClosing,
            Self::DataLoss(_) => StateName::DataLoss,
            Self::Closing(_) => StateName::Closing,
            Self::Closed(_) => StateName::Closed,
        }
    }

    /// The name of [`Self::state`], as logs have it.
    pub const fn name(&self) -> &'static str {
        self.state().as_str()
    }

    /// When [`Input::Tick`] is wanted next.
    pub fn next_tick(&self) -> Option<Millis> {
        match self {
            Self::Active(state) => state.next_tick(),
            Self::CooperativeClosing(state) => state.next_tick(),
            Self::DataLoss(state) => state.next_tick(),
            Self::Opening(_) | Self::Closing(_) | Self::Closed(_) => None,
        }
    }

    /// At which block [`ChainInput::Block`] is wanted next.
    pub fn next_block(&self, context: &Context<'_>) -> Option<u64> {
        match self {
            Self::Opening(state) => state.next_block(context),
            Self::Active(state) => state.next_block(context),
            Self::CooperativeClosing(state) => state.next_block(),
            Self::Closing(state) => state.next_block(context),
            Self::Closed(state) => state.next_block(context),
            Self::DataLoss(state) => state.next_block(context),
        }
    }

    /// Whether the channel can still change: false once it is closed deeply enough, or was never
    /// opened.
    pub fn is_over(&self, context: &Context<'_>) -> bool {
        match self {
            Self::Closed(state) => state.is_end_deep(context) && !state.wants_late_proposal(),
            Self::Opening(_)
            | Self::Active(_)
            | Self::CooperativeClosing(_)
            | Self::DataLoss(_)
            | Self::Closing(_) => false,
        }
    }

    /// The shares as they stand: of the newest agreed receipt, or of what was paid in, or paid out.
    pub fn balances(&self) -> Balances {
        match self {
            Self::Opening(state) => state.paid_in(),
            Self::Closed(state) => state.balances(),
            Self::Active(_) | Self::CooperativeClosing(_) | Self::DataLoss(_) | Self::Closing(_) => self
                .receipts()
                .map_or(Balances { a: Amount::ZERO, b: Amount::ZERO }, |receipts| receipts.agreed.balances()),
        }
    }

    /// What of the own share is proposed or queued and not agreed yet.
    pub fn pending(&self) -> Amount {
        match self {
            Self::Active(state) => state.pending(),
            Self::Opening(_)
            | Self::CooperativeClosing(_)
            | Self::DataLoss(_)
            | Self::Closing(_)
            | Self::Closed(_) => self
                .receipts()
                .and_then(|receipts| receipts.proposal.as_ref())
                .map_or(Amount::ZERO, Proposal::total),
        }
    }
}
