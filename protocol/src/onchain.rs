//! What the core knows of the contract and asks of it: a channel's state on the chain, and the calls.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::{Amount, Balances, Nonce, Role};

/// The contract's `CHALLENGE_PERIOD`, in blocks.
pub const CHALLENGE_PERIOD: u64 = 24;

/// A channel as the chain had it at one block. Every view stands for itself: a later one replaces
/// an earlier one altogether, also when a reorganisation made it "older".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainView {
    /// The block that this was read at.
    pub head: u64,
    /// Where the newest change of the channel's state is; `None` while the chain does not know it.
    pub newest: Option<EventPosition>,
    /// The state.
    pub status: OnChain,
}

/// Where a change of a channel's state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPosition {
    /// The block of the change, or the first block at which it was seen. The change is at least as deep
    /// as this block.
    pub block: u64,
    /// The transaction's hash, if it is known.
    pub tx: Option<B256>,
}

impl ChainView {
    /// A channel that the chain does not know.
    pub const fn missing(head: u64) -> Self {
        Self { head, newest: None, status: OnChain::Missing }
    }

    /// The same without what only events tell, as an endpoint shows it that gives none (guard rule G1).
    #[must_use]
    pub fn without_events(mut self) -> Self {
        if let Some(newest) = &mut self.newest {
            newest.tx = None;
        }
        if let OnChain::Closing(closing) | OnChain::Closed { closing: Some(closing), .. } = &mut self.status {
            closing.event = None;
        }
        self
    }

    /// Whether the newest event is at least `confirmations` blocks deep, its own block counted.
    pub fn is_confirmed(&self, confirmations: u64) -> bool {
        self.newest
            .is_some_and(|event| self.head.saturating_add(1) >= event.block.saturating_add(confirmations))
    }
}

/// The contract's states, each with what only it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnChain {
    /// There is no contract at the address (yet, or any more).
    Missing,
    /// `EMPTY`: not fully paid in.
    Empty {
        /// What was paid in so far.
        paid_in: Balances,
    },
    /// `ACTIVE`.
    Active {
        /// What was paid in: receipt 0.
        paid_in: Balances,
    },
    /// `CLOSING`.
    Closing(ChainClosing),
    /// `CLOSED`.
    Closed {
        /// The closing before it, if there was one.
        closing: Option<ChainClosing>,
        /// How it ended.
        end: ChannelEnd,
    },
}

/// A closing, as the contract's storage has it (guard rule G1), and what only its event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ClosingRecord", into = "ClosingRecord")]
pub struct ChainClosing {
    /// Who closed.
    pub closer: Role,
    /// The receipt closed on.
    pub nonce: Nonce,
    /// Its shares.
    pub balances: Balances,
    /// The block of the closing.
    pub block: u64,
    /// What each party had paid in (receipt 0), if the channel was seen before it was closed.
    pub paid_in: Option<Balances>,
    /// The event, once it is read. Nothing that protects money waits for it.
    pub event: Option<ClosingEvent>,
}

/// What the contract's `Closing` event adds to its storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosingEvent {
    /// The nonce of the receipt that the closing builds on; for a plain closing the nonce itself.
    pub base_nonce: Nonce,
    /// Whether the closer closed on its own proposal.
    pub by_proposal: bool,
    /// The transaction.
    pub tx: B256,
}

/// A [`ChainClosing`] on disk, without nesting, as the first release wrote it.
#[derive(Serialize, Deserialize)]
struct ClosingRecord {
    closer: Role,
    nonce: Nonce,
    balances: Balances,
    block: u64,
    #[serde(default)]
    paid_in: Option<Balances>,
    #[serde(default)]
    base_nonce: Option<Nonce>,
    #[serde(default)]
    by_proposal: Option<bool>,
    #[serde(default)]
    tx: Option<B256>,
}

impl From<ClosingRecord> for ChainClosing {
    fn from(record: ClosingRecord) -> Self {
        let ClosingRecord { closer, nonce, balances, block, paid_in, base_nonce, by_proposal, tx } = record;
        let event = match (base_nonce, by_proposal, tx) {
            (Some(base_nonce), Some(by_proposal), Some(tx)) => {
                Some(ClosingEvent { base_nonce, by_proposal, tx })
            }
            _ => None,
        };
        Self { closer, nonce, balances, block, paid_in, event }
    }
}

impl From<ChainClosing> for ClosingRecord {
    fn from(closing: ChainClosing) -> Self {
        let ChainClosing { closer, nonce, balances, block, paid_in, event } = closing;
        Self {
            closer,
            nonce,
            balances,
            block,
            paid_in,
            base_nonce: event.map(|event| event.base_nonce),
            by_proposal: event.map(|event| event.by_proposal),
            tx: event.map(|event| event.tx),
        }
    }
}

impl ChainClosing {
    /// The first block in which `withdraw` works and `challenge` no longer does.
    pub const fn withdrawable_at(&self) -> u64 {
        self.block.saturating_add(CHALLENGE_PERIOD)
    }

    /// Whether the closer closed on its own proposal; `false` while that is not known.
    pub fn is_by_proposal(&self) -> bool {
        self.event.is_some_and(|event| event.by_proposal)
    }

    /// The lowest nonce that the receipt which the closing builds on can have. Without the event, a
    /// nonce of the closer's parity may be that of a proposal, at most two above its base's (rule 1).
    pub fn min_base_nonce(&self) -> u64 {
        let nonce = self.nonce.get();
        let may_be_proposal = nonce % 2 == u64::from(self.closer == Role::A);
        let least = if may_be_proposal { nonce.saturating_sub(2) } else { nonce };
        self.event.map_or(least, |event| event.base_nonce.get())
    }

    /// Whether both are the same closing, whatever is known of its event.
    pub fn is_same(&self, other: &Self) -> bool {
        let key = |closing: &Self| (closing.closer, closing.nonce, closing.balances, closing.block);
        key(self) == key(other)
    }
}

/// How a channel ended, and who got what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelEnd {
    /// How.
    pub kind: EndKind,
    /// What each party was paid.
    pub paid_out: Balances,
}

impl ChannelEnd {
    /// What one party was paid.
    pub const fn received(&self, role: Role) -> Amount {
        self.paid_out.of(role)
    }
}

/// The ways in which a channel ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndKind {
    /// `cancel`.
    Cancelled,
    /// A FINAL receipt.
    Final,
    /// `withdraw`.
    Withdrawn,
    /// `challenge`.
    Challenged,
}

/// Which contract call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CallKind {
    /// The factory's `open` or `openWithPermit`.
    Open,
    /// `fund` or `fundWithPermit`.
    Fund,
    /// `cancel`.
    Cancel,
    /// `closing` or `closingProposal`.
    Close,
    /// `challenge`.
    Challenge,
    /// `withdraw`.
    Withdraw,
}

impl CallKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Open, Self::Fund, Self::Cancel, Self::Close, Self::Challenge, Self::Withdraw];

    /// The name that is stored, in records too. It never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::Fund => "Fund",
            Self::Cancel => "Cancel",
            Self::Close => "Close",
            Self::Challenge => "Challenge",
            Self::Withdraw => "Withdraw",
        }
    }

    /// The kind with this [name](Self::as_str).
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A contract call that a channel wants made. Making it twice has no second effect: the contract
/// refuses the second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// Open through the factory.
    Open {
        /// The other party.
        part_b: Address,
        /// What the channel will hold.
        amount: Amount,
        /// What is paid in at once.
        deposit: Amount,
        /// The salt agreed with the other side.
        salt: B256,
    },
    /// Pay in.
    Fund {
        /// How much.
        value: Amount,
    },
    /// Take back what was paid in.
    Cancel,
    /// Close.
    Close(ClosePlan),
    /// Punish the other side for closing on an old receipt.
    Challenge(Evidence),
    /// Pay out after the challenge period.
    Withdraw,
}

impl Call {
    /// Which call it is.
    pub const fn kind(&self) -> CallKind {
        match self {
            Self::Open { .. } => CallKind::Open,
            Self::Fund { .. } => CallKind::Fund,
            Self::Cancel => CallKind::Cancel,
            Self::Close(_) => CallKind::Close,
            Self::Challenge(_) => CallKind::Challenge,
            Self::Withdraw => CallKind::Withdraw,
        }
    }
}

/// Why a call was not made, or had no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// The chain can't be reached; nothing was sent.
    #[error("{0}")]
    Unreachable(String),
    /// The account has too little ether for gas; nothing was sent.
    #[error("{0}")]
    NoEther(String),
    /// The contract refuses it, or it is not what was agreed on.
    #[error("{0}")]
    Refused(String),
}

/// On what a channel is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClosePlan {
    /// `closing` on a receipt signed by the other party; `None` for receipt 0.
    Receipt(Evidence),
    /// `closingProposal` on the own unanswered proposal.
    Proposal {
        /// The agreed receipt that it builds on.
        base: Evidence,
        /// The proposal's nonce, which the contract works out by itself.
        nonce: Nonce,
        /// The proposal's shares.
        proposed: Balances,
    },
    /// `closing` on the other party's FINAL receipt.
    Final {
        /// The nonce of the receipt it was made from.
        base_nonce: Nonce,
        /// The shares.
        balances: Balances,
        /// The other party's signature.
        signature: crate::Signature,
    },
}

/// A receipt and the other party's signature, as the contract's functions take them; no signature
/// for receipt 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The receipt.
    pub receipt: crate::Receipt,
    /// The other party's signature.
    pub signature: Option<crate::Signature>,
}
