//! What goes into [`super::Channel::apply`] and what comes out.

use alloy_primitives::B256;

use crate::onchain::{Call, CallFailure, CallKind, ChainView, ClosePlan, Closing, Evidence};
use crate::wire::{Message, RefuseReason};
use crate::{Amount, Crypto, Memo, Nonce, Payment, PaymentId, Receipt};

use super::import::ImportedReceipt;
use super::reason::{NoChallenge, Risk, StateConflict};
use super::settle::PaymentStatus;
use super::{Channel, StateName};

/// Milliseconds since the Unix epoch, as the shell's clock has them.
pub type Millis = u64;

/// Names a command that somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// What the world looks like while an input is applied.
pub struct Context<'a> {
    /// The wallet's key.
    pub crypto: &'a dyn Crypto,
    /// The time.
    pub now: Millis,
    /// The newest block that was fully processed, if any.
    pub head: Option<u64>,
    /// Whether the chain was heard of recently enough to trust what is known of it.
    pub chain_fresh: bool,
    /// How deep an opening must be before a receipt builds on it.
    pub confirmations: u64,
    /// Whether a closing on an old receipt is answered without being told to.
    pub auto_challenge: bool,
}

/// Something that happens to a channel, named by where it comes from.
#[derive(Debug, Clone)]
pub enum Input {
    /// The user asks for something.
    Command(CommandId, Command),
    /// The session with the partner's node, or a message in it.
    Peer(PeerInput),
    /// The chain.
    Chain(ChainInput),
    /// The time that [`Channel::next_tick`] asked for has come.
    Tick,
    /// The node has started and caught up with the chain.
    Resume,
    /// All payments of this moment are ordered.
    Ordered,
}

/// What a user may ask of a channel.
#[derive(Debug, Clone)]
pub enum Command {
    /// Pay the partner.
    Pay {
        /// The payment.
        payment: Payment,
        /// What the disk knows of an own payment with this id.
        known: Option<KnownPayment>,
        /// Nothing is proposed yet: more payments come at once, and [`Input::Ordered`] after them.
        more: bool,
    },
    /// Pay in; without a value, what is missing of the own share.
    Fund {
        /// How much.
        value: Option<Amount>,
    },
    /// Take back what was paid into a channel that never became ACTIVE.
    Cancel,
    /// Close.
    Close(CloseMode),
    /// Punish a closing on an old receipt.
    Challenge,
    /// Pay out.
    Withdraw,
    /// Sign FINAL on the newest receipt known of a channel that has lost data, whose shares the user
    /// was shown (rule 9).
    SignFinal,
    /// Take this receipt into a channel that has lost data (rule 9).
    Import(Box<ImportedReceipt>),
}

/// An own payment that is already on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPayment {
    /// The payment as it was made.
    pub payment: Payment,
    /// The nonce of the receipt that it went into, or `None` if it certainly went into none.
    pub nonce: Option<Nonce>,
}

impl KnownPayment {
    /// What a repeated `pay` learns of the first.
    pub(super) fn outcome(&self, payment: &Payment) -> Result<Done, Denied> {
        self.payment.require_same(payment)?;
        let nonce = self.nonce.ok_or(Denied::PaymentFailed)?;
        Ok(Done::Paid { id: payment.id.clone(), amount: payment.amount, nonce })
    }

    /// The same, where it may still be open whether the payment stands.
    pub(super) fn outcome_if(
        &self,
        payment: &Payment,
        status: impl FnOnce(Nonce) -> PaymentStatus,
    ) -> Result<Done, Denied> {
        let is_open = self.nonce.is_some_and(|nonce| status(nonce) == PaymentStatus::Pending);
        if is_open && self.payment == *payment { Err(Denied::Undecided) } else { self.outcome(payment) }
    }
}

impl Payment {
    /// Rule 6: an id names one payment, with its amount and its memo.
    pub(super) fn require_same(&self, repeated: &Self) -> Result<(), Denied> {
        if self == repeated {
            return Ok(());
        }
        Err(Denied::IdInUse { amount: self.amount, memo: self.memo.clone() })
    }
}

/// How to close.
#[derive(Debug, Clone)]
pub enum CloseMode {
    /// Alone, on the newest receipt or on the own unanswered proposal.
    Alone,
    /// With the partner's FINAL signature, paid out at once.
    Cooperative,
    /// On a receipt that the user chose; it loses everything if it is not the newest.
    On(Evidence),
}

/// The partner's node.
#[derive(Debug, Clone)]
pub enum PeerInput {
    /// A session is open: both sides have proved who they are.
    Connected {
        /// Whether this side said hello; it then also syncs first.
        initiator: bool,
    },
    /// The session is over.
    Disconnected,
    /// A message in the open session.
    Message {
        /// The message.
        message: Message,
        /// Which of the message's payment ids the disk already knows as applied.
        repeated: Vec<PaymentId>,
    },
}

/// The chain.
#[derive(Debug, Clone)]
pub enum ChainInput {
    /// What the chain now says.
    View(ChainView),
    /// One endpoint shows this closing and another contradicts it: it is challenged if it is on an old
    /// receipt, and changes nothing else (guard rule G6).
    Claimed(Closing),
    /// There is a contract at the address, but it is not the channel that was agreed on.
    Invalid(String),
    /// A call could not be made, or was refused by the contract.
    CallFailed {
        /// Which.
        kind: CallKind,
        /// Why.
        reason: CallFailure,
    },
    /// The block that [`Channel::next_block`] asked for is there.
    Block,
}

/// The state after an input, and what has to be done.
#[derive(Debug)]
pub struct Transition {
    /// The state.
    pub channel: Channel,
    /// What to do.
    pub effects: Effects,
}

/// What has to be done, in this order: first to disk, then to the chain, then to the peer, then to
/// the callers. If writing fails, nothing after it happens and the channel freezes.
#[derive(Debug, Default)]
pub struct Effects {
    /// If set, the new state is written, together with these payments, in one step, before
    /// anything else.
    pub persist: Option<Vec<PaymentWrite>>,
    /// Contract calls. Asking for one that is already under way changes nothing.
    pub submit: Vec<Call>,
    /// Messages to the partner's node.
    pub send: Vec<Message>,
    /// Answers to callers.
    pub reply: Vec<(CommandId, Result<Done, Denied>)>,
    /// What a person watching would want to know.
    pub notify: Vec<Notice>,
    /// The peer broke a rule that no honest node breaks: the connection ends.
    pub misbehaviour: Option<Misbehaviour>,
}

impl Effects {
    /// The new state has to be on disk.
    pub(super) fn persist(&mut self) {
        self.persist.get_or_insert_default();
    }

    /// The new state and this payment have to be on disk.
    pub(super) fn write(&mut self, write: PaymentWrite) {
        self.persist.get_or_insert_default().push(write);
    }

    /// These payments, if there are any, and the new state have to be on disk.
    pub(super) fn persist_all(&mut self, writes: impl IntoIterator<Item = PaymentWrite>) {
        for write in writes {
            self.write(write);
        }
    }

    pub(super) fn deny(&mut self, callers: impl IntoIterator<Item = CommandId>, why: &Denied) {
        self.reply.extend(callers.into_iter().map(|caller| (caller, Err(why.clone()))));
    }
}

/// A change to the payments on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentWrite {
    /// A new one.
    Insert {
        /// Who paid.
        direction: Direction,
        /// The payment.
        payment: Payment,
        /// The receipt it went into.
        nonce: Nonce,
        /// When.
        time: Millis,
    },
    /// The own payments of a proposal that does not stand go into the next one.
    Move {
        /// The old proposal's nonce.
        from: Nonce,
        /// The new proposal's nonce.
        to: Nonce,
    },
    /// The own payments of a proposal that does not stand go into none.
    Fail {
        /// The old proposal's nonce.
        nonce: Nonce,
    },
}

/// Which way money goes, seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the partner.
    In,
    /// To the partner.
    Out,
}

/// What a command has brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
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
    Imported {
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
    Receipt,
    /// On the own unanswered proposal.
    Proposal,
    /// On a FINAL receipt.
    Final,
}

impl ClosePlan {
    /// The kind of closing that this plan is.
    pub const fn mode(&self) -> ClosedBy {
        match self {
            Self::Receipt(_) => ClosedBy::Receipt,
            Self::Proposal { .. } => ClosedBy::Proposal,
            Self::Final { .. } => ClosedBy::Final,
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
pub enum Denied {
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
    Lost,
    /// This side has lost no data, so that nothing is to be given back.
    NotLost,
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

/// What a person watching would want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A payment is in a receipt that both have signed.
    Payment {
        /// Which way.
        direction: Direction,
        /// The payment.
        payment: Payment,
        /// The receipt.
        nonce: Nonce,
    },
    /// The channel's state changed.
    State(StateName),
    /// The contract is on the chain, and is not fully paid in.
    Deployed,
    /// The challenge period is over.
    Withdrawable,
    /// The partner refuses a proposal for good.
    Refused(RefuseReason),
    /// Money is at risk unless somebody acts.
    AtRisk(Risk),
}

/// What no honest node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaviour {
    /// Rule 1.
    #[error("a proposal's nonce is not the next of the proposer's parity")]
    WrongParity,
    /// Rule 7.
    #[error("a proposal builds on a receipt that this side does not know")]
    UnknownBase,
    /// Rule 2.
    #[error("a proposal does not concede what its payments say")]
    NoConcession,
    /// Rule 7.
    #[error("a proposal's shares don't add up to the channel's amount")]
    BadSum,
    /// Rule 3.
    #[error("a proposal has no payments, too many, too long ones, or one of nothing")]
    BadPayments,
    /// Rule 6.
    #[error("a payment id was used again")]
    RepeatedId,
    /// Rule 7.
    #[error("a signature is wrong")]
    BadSignature,
    /// Rule 1.
    #[error("two different receipts with one nonce carry the peer's signature")]
    TwoReceiptsOneNonce,
    /// Rule 9.
    #[error("a newer receipt is claimed without this side's signature")]
    BareClaim,
    /// Not what the message's own rules allow.
    #[error("a message contradicts itself")]
    Malformed,
}
