//! The wire protocol: the messages that two nodes exchange.
//!
//! Carried by libp2p's request-response behaviour under [`PROTOCOL`]: every request is a [`Request`], every response
//! a [`Response`], in CBOR ([`crate::codec`]). Both directions carry [`Packet`]s; the answer to a message may come in
//! the response or in a later request, so that neither side ever waits inside an exchange.

use alloy_primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};

use crate::codec::at_most;
use crate::{AgreedReceipt, Amount, Balances, Nonce, Payment, Signature};

/// The libp2p protocol name. A change that an older node can't read gets a new one.
pub const PROTOCOL: &str = "/thunder/1.0.0";

/// The most payments in one proposal.
pub const MAX_PAYMENTS: usize = 4096;

/// The most bytes that ids and memos of one proposal may have together: with [`MAX_PAYMENTS`]
/// amounts a message stays well below [`crate::codec::MAX_LEN`].
pub const MAX_PAYMENT_TEXT: usize = 256 << 10;

/// The most messages in one packet.
pub const MAX_MESSAGES: usize = 1024;

/// What a node may ask of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Opens a session.
    Hello(Hello),
    /// Completes a session.
    Prove(Proof),
    /// Messages of an open session.
    Packet(Packet),
}

/// What it gets back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// The answer to [`Request::Hello`].
    Welcome(Welcome),
    /// The answer to [`Request::Prove`]: both sides have proved who they are.
    Proved,
    /// Messages that are ready at once; often none.
    Packet(Packet),
    /// The request was not handled.
    Error(WireError),
}

/// The first message of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The sender's chain.
    pub chain_id: u64,
    /// Fresh and random; the other side signs it.
    pub challenge: B256,
}

/// The answer: who the other side is, proved, and its own challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The answerer's chain.
    pub chain_id: u64,
    /// Fresh and random.
    pub challenge: B256,
    /// Its proof.
    pub proof: Proof,
}

/// A wallet's signature over [`crate::node_binding_digest`]: "this node speaks for me".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The wallet.
    pub wallet: Address,
    /// Its signature on both peer ids, the chain id and the other side's challenge.
    pub signature: Signature,
}

/// Names a session: both challenges, hashed. Messages of an earlier session carry another number
/// and are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionId(u64);

impl SessionId {
    /// The session that these two challenges open.
    pub fn new(initiators: B256, responders: B256) -> Self {
        let hash = keccak256([initiators.0, responders.0].concat());
        Self(hash.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte)))
    }
}

/// Messages of one session, in order; at most [`MAX_MESSAGES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// The session.
    pub session: SessionId,
    /// The messages.
    #[serde(deserialize_with = "at_most::<_, _, MAX_MESSAGES>")]
    pub messages: Vec<Envelope>,
}

/// Collects messages of one packet: at most [`MAX_MESSAGES`], and together below
/// [`crate::codec::MAX_LEN`]. Four of the fullest proposals are more than a packet holds.
#[derive(Debug, Default)]
pub struct PacketBuilder {
    messages: Vec<Envelope>,
    size: usize,
}

impl PacketBuilder {
    /// Takes the message, or gives it back if the packet is full. A first message always fits.
    pub fn push(&mut self, envelope: Envelope) -> Result<(), Box<Envelope>> {
        let size = self.size + envelope.size_bound();
        let is_full = self.messages.len() >= MAX_MESSAGES || size > crate::codec::MAX_LEN - PACKET_OVERHEAD;
        if is_full && !self.messages.is_empty() {
            return Err(Box::new(envelope));
        }
        self.messages.push(envelope);
        self.size = size;
        Ok(())
    }

    /// The messages, in order.
    pub fn into_messages(self) -> Vec<Envelope> {
        self.messages
    }
}

/// What a packet takes beside its messages, at most.
const PACKET_OVERHEAD: usize = 64;
/// What a message takes beside its payments, at most.
const MESSAGE_OVERHEAD: usize = 512;
/// What a payment takes beside its id and its memo, at most.
const PAYMENT_OVERHEAD: usize = 24;

/// A message and what it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Envelope {
    /// About an existing channel.
    Channel {
        /// The channel contract.
        channel: Address,
        /// The message.
        message: Message,
    },
    /// About a channel to be opened.
    Open(OpenMessage),
    /// The receiver of a channel message does not know the channel.
    UnknownChannel {
        /// The channel contract.
        channel: Address,
    },
}

impl Envelope {
    /// At least as many bytes as the message takes on the wire.
    pub fn size_bound(&self) -> usize {
        let payments = match self {
            Self::Channel { message: Message::Propose(propose), .. } => &propose.payments[..],
            Self::Channel { message: Message::Sync(sync), .. } => {
                sync.proposal.as_ref().map_or(&[][..], |propose| &propose.payments)
            }
            Self::Channel {
                message: Message::Answer(_) | Message::Refuse(_) | Message::Final(_), ..
            }
            | Self::Open(_)
            | Self::UnknownChannel { .. } => &[],
        };
        let text = |payment: &Payment| payment.id.as_str().len() + payment.memo.as_str().len();
        MESSAGE_OVERHEAD + payments.iter().map(|payment| PAYMENT_OVERHEAD + text(payment)).sum::<usize>()
    }
}

/// The messages of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Where the sender stands; the first message of a channel in every session.
    Sync(Box<Sync>),
    /// A new receipt that pays the receiver.
    Propose(Propose),
    /// The countersignature.
    Answer(Answer),
    /// A proposal or a final receipt that is not signed.
    Refuse(Refuse),
    /// The offer to close at once, on what is agreed.
    Final(Final),
}

/// Where a side stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    /// Its newest agreed receipt.
    pub agreed: AgreedReceipt,
    /// Its unanswered proposal.
    pub proposal: Option<Propose>,
    /// The FINAL receipt that it has signed.
    pub own_final: Option<Final>,
    /// It has begun to close on chain, or seen a closing: it signs nothing more.
    pub closing: bool,
    /// It has lost data: it proposes and answers nothing.
    pub lost: bool,
    /// It asks for the receiver's own `Sync`.
    pub wants_reply: bool,
}

/// A receipt that builds on another and pays the receiver the sum of the payments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Propose {
    /// The nonce of the receipt it builds on: the newest agreed one, or the receiver's own
    /// unanswered proposal.
    pub base_nonce: Nonce,
    /// The smallest nonce of the proposer's parity above it.
    pub nonce: Nonce,
    /// The shares.
    pub balances: Balances,
    /// One or more payments; at most [`MAX_PAYMENTS`] and [`MAX_PAYMENT_TEXT`].
    #[serde(deserialize_with = "at_most::<_, _, MAX_PAYMENTS>")]
    pub payments: Vec<Payment>,
    /// The proposer's signature.
    pub signature: Signature,
}

/// The countersignature of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The proposal's nonce.
    pub nonce: Nonce,
    /// The answerer's signature on the same receipt.
    pub signature: Signature,
}

/// Why a proposal or a FINAL receipt is not signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse {
    /// The proposal's nonce, or FINAL.
    pub nonce: Nonce,
    /// Why.
    pub reason: RefuseReason,
    /// The refuser's newest agreed nonce.
    pub agreed_nonce: Nonce,
}

/// The reasons of a [`Refuse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefuseReason {
    /// The refuser's view of the chain is not deep or not fresh enough: repeat it.
    NotNow,
    /// It does not build on the refuser's newest receipt, which the refuser shows.
    Stale,
    /// The refuser's own proposal on the same base has the higher nonce and stands.
    Crossed,
    /// The refuser signs nothing more for this channel: it is closing, or finished.
    Stopped,
    /// The refuser has lost data.
    Lost,
}

/// One side's FINAL receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Final {
    /// The nonce of the signer's newest agreed receipt.
    pub base_nonce: Nonce,
    /// Its shares.
    pub balances: Balances,
    /// The signature on nonce FINAL with these shares.
    pub signature: Signature,
}

/// The conversation before a channel exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenMessage {
    /// "I would open this with you."
    Ask(OpenAsk),
    /// "Go ahead."
    Accept(OpenAccept),
    /// "No."
    Refuse(OpenRefuse),
}

/// The terms of a channel to be opened. The asker becomes A.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAsk {
    /// A's fresh, random half of the salt; names this conversation.
    pub half_a: B256,
    /// What the channel will hold.
    pub amount: Amount,
    /// What A pays in when it opens.
    pub share_a: Amount,
    /// What B is asked to pay in.
    pub share_b: Amount,
    /// The chain.
    pub chain_id: u64,
    /// The THD contract.
    pub token: Address,
    /// The factory that will clone the channel.
    pub factory: Address,
    /// A's wallet.
    pub part_a: Address,
}

/// The agreement to an [`OpenAsk`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAccept {
    /// A's half, as asked.
    pub half_a: B256,
    /// B's fresh, random half.
    pub half_b: B256,
    /// B's wallet.
    pub part_b: Address,
}

/// The refusal of an [`OpenAsk`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRefuse {
    /// A's half, as asked.
    pub half_a: B256,
    /// Why.
    pub reason: OpenRefuseReason,
    /// The rule of the refuser's user that the channel does not meet. The reason beside it is `BadTerms`, for nodes
    /// that do not know this field and pass it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<OpenPolicy>,
}

impl OpenRefuse {
    /// Why, in words.
    pub fn why(&self) -> String {
        self.policy.map_or_else(|| self.reason.to_string(), |policy| policy.to_string())
    }
}

/// Which channels a node's user agrees to, where that is why one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum OpenPolicy {
    /// None.
    #[error("the other node agrees to no channels that others open")]
    Nobody,
    /// Those of nodes that its user has connected to, and of wallets that it has or had a channel with.
    #[error(
        "the other node agrees to channels only with nodes that its user has connected to or had a channel with"
    )]
    KnownOnly,
    /// Those that hold at least so much.
    #[error("the other node agrees only to channels that hold at least {0} THD")]
    AtLeast(Amount),
}

/// The reasons of an [`OpenRefuse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum OpenRefuseReason {
    /// The chains differ.
    #[error("the other node is on another chain")]
    OtherChain,
    /// The THD contracts differ.
    #[error("the other node uses another THD contract")]
    OtherToken,
    /// The factories differ.
    #[error("the other node uses another channel factory")]
    OtherFactory,
    /// `part_a` is not the wallet that the asker has proved, or shares don't make up the amount.
    #[error("the terms don't add up")]
    BadTerms,
    /// Too many channels with this peer are half open.
    #[error("too many channels with this peer are half open; cancel or fund one first")]
    TooMany,
    /// The other node can't reach its chain.
    #[error("the other node can't reach its chain at the moment")]
    ChainUnreachable,
    /// The address was used before.
    #[error("the channel address was used before")]
    AddressUsed,
}

/// The salt of a channel: both halves, hashed, so that neither side alone can bring an old address
/// back.
pub fn salt(half_a: B256, half_b: B256) -> B256 {
    keccak256([half_a.0, half_b.0].concat())
}

/// Why a request was not handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum WireError {
    /// No wallet is loaded on the answering node.
    #[error("the other node has no wallet yet; its user has to run importwallet")]
    NoWallet,
    /// The chains differ.
    #[error("the other node is on chain {0}")]
    OtherChain(u64),
    /// The answering node does not know its chain yet.
    #[error("the other node has not reached its chain yet")]
    NoChain,
    /// The session is not, or no longer, open: say hello again.
    #[error("the session is not open")]
    NoSession,
    /// The proof is wrong.
    #[error("the proof of wallet ownership is wrong")]
    BadProof,
    /// The answering node is not ready to handle messages, for example because it catches up with
    /// the chain.
    #[error("the other node is not ready yet")]
    NotReady,
    /// A bound of this page was exceeded.
    #[error("the message exceeds a limit")]
    TooLarge,
}
