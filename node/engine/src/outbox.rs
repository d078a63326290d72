//! What comes out of the engine: a batch for the disk, and, only once that is there, what is to be sent.

use thunder_api::{ApiResult, ClosingStarted, Paid, PaidIn, PaidOut, Peer, ReceiptImported};
use thunder_protocol::channel::{CommandError, CommandId, CommandOutcome, Direction};
use thunder_protocol::onchain::Call;
use thunder_protocol::wire::{self, Envelope};
use thunder_protocol::{Address, Nonce, Payment, Stake, WatchRequest, channel::Terms};

use crate::PeerId;
use crate::event::{InboundRequestId, OutboundRequestId, UserRequestId};
use crate::storage::{NewEvent, Storage, StorageError, Writes};

/// Everything that a batch of events has brought about. What depends on the disk can be had only through
/// [`Self::commit`].
#[derive(Debug, Default)]
#[must_use]
pub struct Batch {
    pub(crate) writes: Writes,
    /// Why the disk did not answer a question; then nothing of the batch is written.
    pub(crate) failure: Option<StorageError>,
    pub(crate) effects: BatchEffects,
}

impl Batch {
    /// Whether the disk has anything to do.
    pub fn has_writes(&self) -> bool {
        !self.writes.is_empty()
    }

    /// Takes out what has happened. What is worth an event is to be [recorded](Self::record) with the batch.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.effects.notices)
    }

    /// Adds an event to what the batch writes. Payments that are settled are events already.
    pub fn record(&mut self, event: NewEvent) {
        self.writes.events.push(event);
    }

    /// Puts the batch on the disk, whole or not at all.
    pub fn commit(self, storage: &mut dyn Storage) -> Result<CommittedBatch, Box<RefusedBatch>> {
        let Self { writes, failure, effects } = self;
        let result = match failure {
            Some(error) => {
                storage.discard();
                Err(error)
            }
            None => storage.commit(&writes),
        };
        match result {
            Ok(()) => Ok(CommittedBatch(effects)),
            Err(error) => Err(Box::new(RefusedBatch { effects, error })),
        }
    }
}

/// A batch that is on the disk.
#[derive(Debug)]
#[must_use]
pub struct CommittedBatch(pub(crate) BatchEffects);

/// A batch of which the disk has nothing.
#[derive(Debug)]
#[must_use]
pub struct RefusedBatch {
    pub(crate) effects: BatchEffects,
    /// Why.
    pub(crate) error: StorageError,
}

/// What a batch asks for.
#[derive(Debug, Default)]
pub(crate) struct BatchEffects {
    /// What does not depend on the disk: handshakes, refusals, and commands on how to read the chain.
    pub(crate) independent: Outbox,
    pub(crate) calls: Vec<(Address, Call)>,
    /// Messages, by the wallet that they are for.
    pub(crate) messages: Vec<(Address, Envelope)>,
    /// Requests whose response carries the messages that are ready.
    pub(crate) inbound: Vec<(PeerId, InboundRequestId)>,
    /// The commands that channels were given in this batch.
    pub(crate) commands: Vec<CommandId>,
    pub(crate) outcomes: Vec<(Address, CommandId, Result<CommandOutcome, CommandError>)>,
    pub(crate) notices: Vec<Notice>,
    /// Partners that broke a rule, and which.
    pub(crate) misbehaviours: Vec<(Address, String)>,
    /// Users who wait for a peer that is remembered with this batch.
    pub(crate) connected: Vec<(PeerId, Vec<UserRequestId>)>,
    /// The chain is read up to the block that [`crate::Engine`] has as its head.
    pub(crate) is_block_read: bool,
    /// Everything that was read since the start is handled.
    pub(crate) is_caught_up: bool,
    /// Channels that were written.
    pub(crate) written: Vec<Address>,
}

/// What is to be done now, in the order of the fields.
#[derive(Debug, Default)]
#[must_use]
pub struct Outbox {
    /// For the chain task.
    pub chain: Vec<ChainCommand>,
    /// Responses to peers' requests. A request that gets none is dropped.
    pub responses: Vec<(InboundRequestId, wire::Response)>,
    /// Requests to peers.
    pub requests: Vec<(OutboundRequestId, PeerId, wire::Request)>,
    /// Replies to users.
    pub replies: Vec<(UserRequestId, ApiResult<Reply>)>,
    /// Peers whose connections are to be ended, and why.
    pub disconnects: Vec<(PeerId, DisconnectReason)>,
    /// Peers to be dialed.
    pub dials: Vec<Dial>,
}

impl Outbox {
    pub(crate) fn append(&mut self, other: Self) {
        let Self { chain, responses, requests, replies, disconnects, dials } = other;
        self.chain.extend(chain);
        self.responses.extend(responses);
        self.requests.extend(requests);
        self.replies.extend(replies);
        self.disconnects.extend(disconnects);
        self.dials.extend(dials);
    }
}

/// Why a peer's connections are ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisconnectReason {
    /// It broke a rule that no honest node breaks.
    Misbehaviour,
    /// It has spent its budget of refused requests.
    BudgetSpent,
    /// It comes back while its earlier connections are still being ended.
    Banned,
    /// It has not proved in time for whom it speaks.
    Unproved,
    /// Too many peers have not proved yet for whom they speak.
    TooManyStrangers,
}

/// A command to the chain task.
#[derive(Debug)]
pub enum ChainCommand {
    /// Watch these channels, and no others.
    WatchAll(Vec<WatchRequest>),
    /// Watch one more channel, or one otherwise than before.
    Watch(Box<WatchRequest>),
    /// How much depends on a channel has changed.
    SetStake(Address, Stake),
    /// Don't watch a channel any more.
    Unwatch(Address),
    /// Make this call.
    Submit(Box<(Terms, Call)>),
    /// What was read since the start is handled, and the challenges that it calls for are ordered.
    CaughtUp,
}

/// A peer to be dialed.
#[derive(Debug, PartialEq, Eq)]
pub enum Dial {
    /// A peer that is remembered, unless it is connected or being dialed.
    Remembered {
        /// Whom.
        peer: PeerId,
        /// The multiaddr it was last reached under.
        address: String,
    },
    /// Whoever answers at the first of these addresses that can be reached.
    Requested {
        /// The `connect` that this is for.
        request: UserRequestId,
        /// Whom, if that is known.
        peer: Option<PeerId>,
        /// The multiaddrs, in order.
        addresses: Vec<String>,
    },
}

/// The reply to a command that was carried out.
#[derive(Debug)]
pub enum Reply {
    /// To `connect`.
    Peer(Peer),
    /// To `openchannel` and `fund`.
    PaidIn(PaidIn),
    /// To `pay`.
    Paid(Paid),
    /// To many payments, in their order.
    PaidMany(Vec<ApiResult<Paid>>),
    /// To `closechannel`.
    Closing(ClosingStarted),
    /// To `challenge`, `withdraw` and `cancel`.
    PaidOut(PaidOut),
    /// To `receipts --import`.
    ReceiptImported {
        /// What was taken into the channel; its `next` is empty, and the caller's to fill in.
        imported: ReceiptImported,
        /// The channel.
        channel: Address,
    },
    /// The block is read.
    BlockRead,
}

/// Something that has happened.
#[derive(Debug)]
pub enum Notice {
    /// A payment is in a receipt that both have signed.
    Payment {
        /// The channel.
        channel: Address,
        /// Which way.
        direction: Direction,
        /// The payment.
        payment: Payment,
        /// The receipt.
        nonce: Nonce,
    },
    /// A channel has another state.
    State {
        /// The channel.
        channel: Address,
    },
    /// Something about a channel that a person should look at.
    Warning {
        /// The channel.
        channel: Option<Address>,
        /// What.
        message: String,
    },
    /// A peer has proved who it is.
    Connected(Peer),
    /// Such a peer is gone.
    Disconnected(Peer),
    /// The chain is reachable again, or not, or another one.
    Chain,
}
