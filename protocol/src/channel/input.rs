//! What goes into [`super::Channel::apply`].

use crate::onchain::{CallFailure, CallKind, ChainClosing, ChainView, Evidence};
use crate::wire::Message;
use crate::{Amount, Crypto, Nonce, Payment, PaymentId};

use super::receipt_import::ImportedReceipt;

/// Milliseconds since the Unix epoch, as the node's clock has them.
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
    Command(CommandId, ChannelCommand),
    /// The session with the partner's node, or a message in it.
    Peer(PeerInput),
    /// The chain.
    Chain(ChainInput),
    /// The time that [`super::Channel::next_tick`] asked for has come.
    Tick,
    /// The node has started and caught up with the chain.
    Resume,
    /// The end of a batch of inputs: the payments in the queue may be proposed now.
    Flush,
}

/// What a user may ask of a channel.
#[derive(Debug, Clone)]
pub enum ChannelCommand {
    /// Pay the partner. Nothing is proposed before [`Input::Flush`], so that payments which come at once share a
    /// receipt.
    Pay {
        /// The payment.
        payment: Payment,
        /// What the disk knows of an own payment with this id.
        known: Option<KnownPayment>,
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
    ImportReceipt(Box<ImportedReceipt>),
}

/// An own payment that is already on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPayment {
    /// The payment as it was made.
    pub payment: Payment,
    /// The nonce of the receipt that it went into, or `None` if it certainly went into none.
    pub nonce: Option<Nonce>,
}

/// How to close.
#[derive(Debug, Clone)]
pub enum CloseMode {
    /// Alone, on the newest receipt or on the own unanswered proposal.
    Alone,
    /// With the partner's FINAL signature, paid out at once.
    Cooperative,
    /// On a receipt that the user chose; it loses everything if it is not the newest.
    Receipt(Evidence),
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
    Claimed(ChainClosing),
    /// There is a contract at the address, but it is not the channel that was agreed on.
    Invalid(String),
    /// A call could not be made, or was refused by the contract.
    CallFailed {
        /// Which.
        kind: CallKind,
        /// Why.
        reason: CallFailure,
    },
    /// The block that [`super::Channel::next_block`] asked for is there.
    Block,
}
