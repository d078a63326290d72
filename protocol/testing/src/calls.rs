//! What the contract can be called with, and what it refuses a call with.

use thunder_protocol::onchain::{Call, ClosePlan, Evidence};
use thunder_protocol::{Nonce, Receipt, Role, Signature};

/// Who sends a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A or B.
    Party(Role),
    /// Anyone else.
    Stranger,
}

/// A receipt as a function takes it: nothing about it is known to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shown {
    /// `_nonce`.
    pub nonce: u64,
    /// `_balanceA`.
    pub a: u128,
    /// `_balanceB`.
    pub b: u128,
    /// `_signature`; `None` is an empty one.
    pub signature: Option<Signature>,
}

impl From<&Evidence> for Shown {
    fn from(evidence: &Evidence) -> Self {
        Self::new(&evidence.receipt, evidence.signature)
    }
}

impl Shown {
    /// A receipt with a signature.
    pub const fn new(receipt: &Receipt, signature: Option<Signature>) -> Self {
        let Receipt { nonce, balances } = receipt;
        Self { nonce: nonce.get(), a: balances.a.base_units(), b: balances.b.base_units(), signature }
    }
}

/// The functions that change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// `fund`.
    Fund(u128),
    /// `cancel`.
    Cancel,
    /// `closing`.
    Closing(Shown),
    /// `closingProposal`.
    ClosingProposal {
        /// The base.
        base: Shown,
        /// `_proposedA`.
        a: u128,
        /// `_proposedB`.
        b: u128,
        /// What a contract with [`Fault::FreeNonce`](crate::contract::Fault::FreeNonce) would let the caller choose.
        nonce: u64,
    },
    /// `challenge`.
    Challenge(Shown),
    /// `withdraw`.
    Withdraw,
}

impl Function {
    /// The call that a node asks for; `None` for opening, which is the factory's.
    pub fn of(call: &Call) -> Option<Self> {
        Some(match call {
            Call::Open { .. } => return None,
            Call::Fund { value } => Self::Fund(value.base_units()),
            Call::Cancel => Self::Cancel,
            Call::Close(ClosePlan::Receipt(evidence)) => Self::Closing(evidence.into()),
            Call::Close(ClosePlan::Proposal { base, nonce, proposed }) => Self::ClosingProposal {
                base: base.into(),
                a: proposed.a.base_units(),
                b: proposed.b.base_units(),
                nonce: nonce.get(),
            },
            Call::Close(ClosePlan::Final { balances, signature, .. }) => {
                let receipt = Receipt { nonce: Nonce::FINAL, balances: *balances };
                Self::Closing(Shown::new(&receipt, Some(*signature)))
            }
            Call::Challenge(evidence) => Self::Challenge(evidence.into()),
            Call::Withdraw => Self::Withdraw,
        })
    }
}

/// The contract's errors, by name; `Signature` stands for `WrongSigner` and those of `ECDSA`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the interface documents them")]
pub enum Revert {
    WrongState,
    NotParty,
    AmountExceeded,
    NonceTooLarge,
    WrongSum,
    NotPaidIn,
    UnexpectedSignature,
    Signature,
    FinalNotAccepted,
    ProposalDoesNotConcede,
    ProposalNonceTooLarge,
    ChallengePeriodOver,
    ChallengePeriodNotOver,
    ReceiptNotNewer,
    SameReceipt,
}
