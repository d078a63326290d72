//! What calls are ordered, what becomes of them, and what they ask the guard to do.

use thunder_protocol::channel::Terms;
use thunder_protocol::onchain::{Call, CallKind};
use thunder_protocol::{Address, B256};

use super::record::SignedCall;
use crate::error::Refusal;

/// A call to be made.
#[derive(Debug, Clone)]
pub struct CallRequest {
    /// The channel.
    pub terms: Terms,
    /// The call.
    pub call: Call,
}

/// Why a call was not made, or had no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// The contract refuses it.
    Reverted(Refusal),
    /// The transaction was mined, and the contract refused it.
    MinedAndReverted(B256),
    /// The account has too little ether: what is needed, what there is, and what is missing, in ether.
    NoEther([String; 3]),
    /// The endpoints refuse the transaction, with this reason.
    Refused(String),
    /// The wallet can't sign it.
    CantSign,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallOutcome {
    /// It was not made, or had no effect.
    Failed {
        /// The channel.
        channel: Address,
        /// Which call.
        kind: CallKind,
        /// Why.
        error: CallError,
        /// Whether it is tried again by itself.
        is_retried: bool,
    },
    /// It is in a block.
    Mined {
        /// The channel.
        channel: Address,
        /// Which call.
        kind: CallKind,
        /// The transaction.
        tx: B256,
        /// The block.
        block: u64,
    },
}

/// What the calls ask the guard to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Write this to disk, and say so: it is sent only after that.
    Save(SignedCall),
    /// The disk need not keep this any more.
    Forget(SignedCall),
    /// Somebody may wait for this.
    Outcome(CallOutcome),
    /// An endpoint has taken a transaction, the first one to do so.
    Taken { channel: Address, kind: CallKind, tx: B256 },
    /// A challenge is not mined after so many blocks.
    Late { channel: Address, blocks: u64, tried: String },
    /// The chain took a mined transaction back; it is sent again.
    TakenBack { channel: Address, kind: CallKind },
    /// Another program has used the account's nonce; the call is made under another.
    Overtaken { channel: Address, kind: CallKind, nonce: u64 },
}
