//! The middle of a Thunder node, without I/O: channels, sessions with peers, openings, pending replies and timers.
//!
//! [`Engine::handle`] takes an [`Event`]; [`Engine::finish_batch`] ends a [`Batch`] of them. A batch is put on the
//! disk as a whole ([`Batch::commit`]), and only what comes of that can be opened: [`Engine::committed`] gives the
//! [`Outbox`] with what is to be sent. So nothing leaves the node before the disk has it.
//!
//! Nothing here waits, reads a clock, draws random numbers or touches a file or a socket. The daemon drives an engine
//! with libp2p, SQLite and the guard; the tests drive the same engine with doubles of them.

// The test doubles call the engine by its name, whether it is built for unit tests or for others.
#[cfg(test)]
extern crate self as thunder_engine;

mod accept;
mod apply;
mod chain;
mod chain_state;
mod channels;
mod closing_commands;
mod data_loss;
mod engine;
mod errors;
mod event;
mod offers;
mod outbox;
mod packets;
mod payment_ids;
mod payments;
mod peer_id;
mod peers;
mod replies;
mod selection;
mod sessions;
mod settlement;
mod storage;
#[cfg(test)]
mod testing;
mod token_bucket;
mod wording;

pub use accept::{AcceptFrom, AcceptPolicy};
pub use chain_state::ChainState;
pub use channels::{ChannelEntry, Channels, is_inbound_pending, is_live};
pub use engine::{Engine, EngineConfig, EngineStart, confirmations_on};
pub use errors::disk_error;
pub use event::{
    ChainEvent, ConnectionId, Event, InboundRequestId, OutboundRequestId, PeerEvent, SettleCommand,
    UserCommand, UserRequestId,
};
pub use offers::deposit_of;
pub use outbox::{
    Batch, ChainCommand, CommittedBatch, Dial, DisconnectReason, Notice, Outbox, RefusedBatch, Reply,
};
pub use peer_id::PeerId;
pub use peers::Peers;
pub use replies::contract_state;
pub use selection::Purpose;
pub use storage::{
    ChannelWrite, KnownPeer, NewChannel, NewEvent, OwnSettlement, PaymentWrites, Settlements, Storage,
    StorageError, StoredChannel, StoredPayment, Writes,
};
pub use wording::next_step;

/// What the engine bounds in its dealings with peers, and in one call of a user.
pub mod limits {
    pub use crate::offers::{
        INBOUND_PENDING_FOR, MAX_INBOUND_PENDING, MAX_INBOUND_PENDING_IN_ALL, OFFER_LASTS,
    };
    pub use crate::payments::MAX_PAYMENTS_IN_CALL;
    pub use crate::peers::{FIRST_RETRY, LAST_RETRY, MAX_STRANGERS, PROVE_WITHIN};
    pub use crate::token_bucket::{
        BUDGET, BUDGET_PER_SECOND, HANDSHAKE_COST, STRANGER_LINES, STRANGER_LINES_PER_SECOND,
        UNKNOWN_CHANNEL_COST,
    };
}
