//! `CommandOutcome` and `CommandError`: what a user's command has brought about, or why it is refused.

use alloy_primitives::B256;

use crate::onchain::{CallFailure, CallKind, ClosePlan};
use crate::{Amount, Memo, Nonce, Payment, PaymentId, Receipt};

use super::input::KnownPayment;
use super::payment_status::PaymentStatus;
use super::refusal::{NoChallenge, StateConflict};

impl KnownPayment {
    /// What a repeated `pay` learns of the first.
    pub(super) fn outcome(&self, payment: &Payment) -> Result<CommandOutcome, CommandError> {
        self.payment.require_same(payment)?;
        let nonce = self.nonce.ok_or(CommandError::PaymentFailed)?;
        Ok(CommandOutcome::Paid { id: payment.id.clone(), amount: payment.amount, nonce })
    }

    /// The same, where it may still be open whether the payment stands.
    pub(super) fn outcome_if(
        &self,
        payment: &Payment,
        status: impl FnOnce(Nonce) -> PaymentStatus,
    ) -> Result<CommandOutcome, CommandError> {
        let is_open = self.nonce.is_some_and(|nonce| status(nonce) == PaymentStatus::Pending);
        if is_open && self.payment == *payment { Err(CommandError::Undecided) } else { self.outcome(payment) }
    }
}

impl Payment {
    /// Rule 6: an id names one payment, with its amount and its memo.
    pub(super) fn require_same(&self, repeated: &Self) -> Result<(), CommandError> {
        if self == repeated {
            return Ok(());
        }
        Err(CommandError::IdInUse { amount: self.amount, memo: self.memo.clone() })
    }
}

/// What a command has brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandOutcome {
    /// The payment is in a receipt that both have signed and that is on disk.
    Paid {
        /// Its id.
        id: PaymentId,
        /// Its amount.
        amount: Amount,
        /// The receipt it went into.
        nonce: Nonce,
    },
    /// The channel is open, or, if it was not paid in whole, deployed; or something was paid in.
    PaidIn {
        /// The transaction, if it is known.
        tx: Option<B256>,
    },
    /// The channel is closing, or, with a FINAL receipt, closed.
    Closing {
        /// The transaction, if it is known.
        tx: Option<B256>,
        /// How.
        mode: ClosedBy,
        /// The nonce of the receipt.
        nonce: Nonce,
        /// The first block for `withdraw`; `None` if the money is already there.
        withdrawable_at: Option<u64>,
    },
    /// The channel is closed and paid out.
    PaidOut {
        /// The transaction, if it is known.
        tx: Option<B256>,
        /// What this side got.
        received: Amount,
    },
    /// A receipt was taken into the channel.
    ReceiptImported {
        /// The receipt.
        receipt: Receipt,
        /// Whether both sides have signed it.
        both_signed: bool,
    },
}

/// The kinds of closing, as `closechannel` reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosedBy {
    /// On an agreed receipt.
    Unilateral,
    /// On the own unanswered proposal.
    Proposal,
    /// On a FINAL receipt.
    Cooperative,
}

impl ClosePlan {
    /// The kind of closing that this plan is.
    pub const fn mode(&self) -> ClosedBy {
        match self {
            Self::Receipt(_) => ClosedBy::Unilateral,
            Self::Proposal { .. } => ClosedBy::Proposal,
            Self::Final { .. } => ClosedBy::Cooperative,
        }
    }

    /// The nonce that the contract closes on.
    pub const fn nonce(&self) -> Nonce {
        match self {
            Self::Receipt(evidence) => evidence.receipt.nonce,
            Self::Proposal { nonce, .. } => *nonce,
            Self::Final { .. } => Nonce::FINAL,
        }
    }
}

/// Why a command is refused, or what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandError {
    /// The channel is not (or not yet, or no longer) ACTIVE.
    WrongState(StateConflict),
    /// The opening is not deep enough in the chain yet.
    NotConfirmed,
    /// The channel was not read from the chain for too long.
    ChainStale,
    /// The amount is zero.
    ZeroAmount,
    /// The own share does not cover it.
    InsufficientBalance {
        /// What could be paid.
        available: Amount,
    },
    /// The channel already holds what it should, or would hold more.
    TooMuch {
        /// What is missing.
        missing: Amount,
    },
    /// Another payment of one's own has this id.
    IdInUse {
        /// The other payment's amount.
        amount: Amount,
        /// The other payment's memo.
        memo: Memo,
    },
    /// The payment with this id went into no receipt, for good.
    PaymentFailed,
    /// The partner's node is not connected; nothing was signed.
    PeerOffline,
    /// The partner signs nothing more.
    PeerStopped,
    /// Too many payments are waiting.
    QueueFull,
    /// The payment is proposed, and the chain will decide whether it is in.
    Undecided,
    /// The payment is proposed, and the partner, who would answer it, is not connected.
    Unanswered,
    /// The channel is closing; the payment was not proposed and is out.
    Closing,
    /// This side has lost data.
    DataLost,
    /// This side has lost no data, so that nothing is to be given back.
    NoDataLost,
    /// The receipt that the user gives is known, or older than what is known.
    NotNewer {
        /// The newest receipt known.
        newest: Nonce,
    },
    /// The receipt to close on is not one that the contract would take.
    BadReceipt,
    /// Nothing on the chain can be challenged.
    NothingToChallenge(NoChallenge),
    /// The challenge period is not over.
    TooEarly {
        /// The first block for `withdraw`.
        withdrawable_at: u64,
        /// The newest block.
        head: u64,
    },
    /// The contract call was not made, or refused.
    CallFailed {
        /// Which.
        kind: CallKind,
        /// Why.
        reason: CallFailure,
    },
    /// The same is already under way.
    UnderWay,
}
