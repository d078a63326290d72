//! `Event`: everything that goes into the engine, from peers, the chain, users and the clock.

use std::collections::HashSet;

use thunder_api::{
    ApiResult, CloseRequest, EndpointInfo, ImportReceiptRequest, OpenRequest, PayManyRequest, PayRequest,
    Selector,
};
use thunder_protocol::channel::Millis;
use thunder_protocol::onchain::{CallFailure, CallKind, ChainClosing, ChainView};
use thunder_protocol::wire;
use thunder_protocol::{Address, Amount, ChainIdentity};

use crate::PeerId;

/// Names a command of a user, whose reply carries the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserRequestId(pub u64);

/// Names a connection with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Names a peer's request, whose response carries the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InboundRequestId(pub u64);

/// Names a request to a peer, whose response or failure carries the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboundRequestId(pub u64);

/// Something that happens to a node.
#[derive(Debug)]
pub enum Event {
    /// In the network.
    Peer(PeerEvent),
    /// On the chain, as the guard reports it.
    Chain(ChainEvent),
    /// A user's command.
    Command(UserRequestId, UserCommand),
    /// The users who gave these commands wait for no reply any more.
    Abandoned(HashSet<UserRequestId>),
    /// The time of [`crate::Engine::next_deadline`] has come.
    Deadline,
}

/// Something that happens in the network.
#[derive(Debug)]
pub enum PeerEvent {
    /// A connection is there.
    Connected {
        /// With whom.
        peer: PeerId,
        /// The connection.
        connection: ConnectionId,
        /// The peer's multiaddr.
        address: String,
        /// Whether this side dialed.
        is_dialer: bool,
        /// The `connect` that it was dialed for.
        request: Option<UserRequestId>,
    },
    /// A connection is over.
    Disconnected {
        /// With whom.
        peer: PeerId,
        /// The connection.
        connection: ConnectionId,
        /// How many others are left with the same peer.
        others: u32,
    },
    /// A peer could not be dialed.
    DialFailed {
        /// Whom.
        peer: PeerId,
    },
    /// Another address of a peer was found.
    AddressFound {
        /// Whose.
        peer: PeerId,
    },
    /// A peer asks.
    Request {
        /// Who.
        peer: PeerId,
        /// The number that the response carries.
        id: InboundRequestId,
        /// What.
        request: wire::Request,
    },
    /// A peer has answered.
    Response {
        /// Who.
        peer: PeerId,
        /// The number of the request.
        id: OutboundRequestId,
        /// What.
        response: wire::Response,
    },
    /// A request has failed.
    RequestFailed {
        /// To whom.
        peer: PeerId,
        /// The number of the request.
        id: OutboundRequestId,
        /// The peer does not speak the protocol.
        is_unsupported: bool,
    },
    /// A response was not delivered.
    ResponseFailed {
        /// To whom.
        peer: PeerId,
    },
}

/// Something that happens on the chain.
#[derive(Debug)]
pub enum ChainEvent {
    /// This is the chain from now on. Every channel is to be watched anew.
    ChainSelected(ChainIdentity),
    /// Whether THD and the factory are there, or why not.
    Contracts(Result<(), String>),
    /// A channel's state has changed, or more is known of it.
    View {
        /// The channel.
        channel: Address,
        /// As the chain has it.
        view: ChainView,
    },
    /// The contract is not the channel that was agreed on.
    Invalid {
        /// The channel.
        channel: Address,
        /// Why.
        why: String,
    },
    /// One endpoint shows this closing and another contradicts it (rule G6).
    Claim {
        /// The channel.
        channel: Address,
        /// The closing.
        closing: ChainClosing,
    },
    /// A channel can't be read; `None` if it can again.
    Unreadable {
        /// The channel.
        channel: Address,
        /// Why.
        why: Option<String>,
    },
    /// Every channel that is due at this block is read.
    BlockRead {
        /// The block.
        head: u64,
    },
    /// When every channel was last read.
    ReadTimes {
        /// How long ago, in milliseconds; `None` if never.
        age: Option<Millis>,
        /// For how long that is good enough, in milliseconds.
        lasts: Millis,
        /// The time between two blocks, in milliseconds, once it is measured.
        block_time: Option<Millis>,
    },
    /// Blocks from this height on were taken back.
    Reorganisation {
        /// The lowest height that is known to have changed.
        first: u64,
    },
    /// The chain task is alive.
    Heartbeat,
    /// How the RPC endpoints are.
    Endpoints(Vec<EndpointInfo>),
    /// A contract call could not be made, or was refused.
    CallFailed {
        /// The channel.
        channel: Address,
        /// Which.
        kind: CallKind,
        /// Why.
        reason: CallFailure,
    },
}

/// A user's command.
#[derive(Debug)]
pub enum UserCommand {
    /// `connect`.
    Connect {
        /// The peer that is expected at the addresses.
        peer: Option<PeerId>,
        /// The multiaddrs to try, without `/p2p/…`.
        addresses: Vec<String>,
    },
    /// `openchannel`, once the wallet is known to have what it takes.
    Open {
        /// The channel.
        request: OpenRequest,
        /// The wallet of the other side.
        partner: Address,
    },
    /// `fund`, once the wallet is known to have what it takes.
    Fund {
        /// The channel.
        channel: Address,
        /// How much.
        value: Amount,
    },
    /// `pay`.
    Pay(PayRequest),
    /// Many payments over one channel.
    PayMany(PayManyRequest),
    /// `closechannel`.
    Close {
        /// The channel, and how.
        request: CloseRequest,
        /// Whether the wallet can pay for gas.
        gas: ApiResult<()>,
    },
    /// `challenge`, `withdraw` or `cancel`.
    Settle {
        /// Which.
        command: SettleCommand,
        /// The channel.
        selector: Selector,
        /// Whether the wallet can pay for gas.
        gas: ApiResult<()>,
    },
    /// `receipts --import`.
    ImportReceipt(Box<ImportReceiptRequest>),
    /// Replies once the chain is read up to this block.
    AwaitBlock(u64),
}

/// The commands that end in a payment to the wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleCommand {
    /// `challenge`.
    Challenge,
    /// `withdraw`.
    Withdraw,
    /// `cancel`.
    Cancel,
}
