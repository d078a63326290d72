//! The store: what survives the death of the process and of the machine.
//!
//! The node knows it by four traits: [`Storage`], what the engine asks and commits; [`TransactionLog`], what the chain
//! task keeps; [`NodeStore`], what the daemon asks beside them; [`EventReader`], what readers of events and payments ask. [`sqlite`] implements them, and [`start`](crate::start)
//! is the one place that opens it. [Backups](crate::backup) are files of SQLite by their format, and so is what makes
//! and restores them: another store has ways of its own for that.
//!
//! Everything here is synchronous. All but the [`EventReader`] runs on the daemon's one thread.

pub mod sqlite;

use thunder_chain::{ChainIdentity, SignedCall};
use thunder_engine::{KnownPeer, StoredChannel, StoredPayment};
pub use thunder_engine::{Storage, StorageError};
use thunder_protocol::channel::Direction;
use thunder_protocol::{Address, B256, Nonce, PaymentId};

/// The chain in use, and the transactions on each chain that were signed and may be anywhere.
pub trait TransactionLog {
    /// The chain that is in use, if one ever was.
    fn identity(&self) -> Result<Option<ChainIdentity>, StorageError>;
    /// Uses another chain from now on. What belongs to the earlier one stays in the store, how far it was processed
    /// too, and is taken up where it was left when it is back.
    fn set_identity(&mut self, identity: &ChainIdentity) -> Result<(), StorageError>;
    /// Every transaction that was signed for a chain and not forgotten. A damaged record hides no other.
    fn transactions(
        &self,
        genesis: B256,
    ) -> Result<Vec<Result<SignedCall, UnreadableTransaction>>, StorageError>;
    /// Writes a transaction, in place of an earlier state of it, durably, before it is broadcast.
    fn put_transaction(&mut self, genesis: B256, sent: &SignedCall) -> Result<(), StorageError>;
    /// Forgets a transaction.
    fn remove_transaction(&mut self, genesis: B256, sent: &SignedCall) -> Result<(), StorageError>;
}

/// A transaction whose record can't be read. Channel and kind are as the store has them, damaged or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableTransaction {
    /// The channel's address.
    pub channel: String,
    /// Which call.
    pub kind: String,
    /// Why the record can't be read.
    pub error: String,
}

/// Which payments, of those that are settled. A field that is `None` leaves none out.
#[derive(Debug, Clone, Default)]
pub struct PaymentQuery {
    /// Of these channels' rows.
    pub channels: Option<Vec<i64>>,
    /// With a higher number.
    pub after: Option<u64>,
    /// With a lower number.
    pub before: Option<u64>,
    /// Settled at this time or later, in milliseconds since 1970.
    pub since: Option<u64>,
    /// Settled before this time, in milliseconds since 1970.
    pub until: Option<u64>,
    /// With this id.
    pub id: Option<PaymentId>,
    /// Which way.
    pub direction: Option<Direction>,
    /// At most this many.
    pub limit: usize,
}

/// A payment with its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledPayment {
    /// Its event's number; `None` if it has none (yet, or any more).
    pub seq: Option<u64>,
    /// The payment. Its time is that of its event, if it has one.
    pub payment: StoredPayment,
    /// The channel contract.
    pub channel: Address,
    /// The partner's wallet.
    pub partner: Address,
}

/// The own proposal of a channel that is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProposedPayments {
    /// The channel's row.
    pub channel: i64,
    /// The proposal's nonce.
    pub nonce: Nonce,
    /// How many payments it has.
    pub count: usize,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredEvent {
    /// A payment is settled.
    Payment(SettledPayment),
    /// Anything else: its number, and what it is in JSON.
    Other(u64, String),
}

impl StoredEvent {
    /// Its number.
    pub const fn seq(&self) -> Option<u64> {
        match self {
            Self::Payment(payment) => payment.seq,
            Self::Other(seq, _) => Some(*seq),
        }
    }
}

/// What is read of the store on other threads than the daemon's.
pub trait EventReader: Send + Sync {
    /// The events with higher numbers than `after`, oldest first, at most `limit`.
    fn events(&self, after: u64, limit: usize) -> Result<Vec<StoredEvent>, StorageError>;
    /// Payments that are settled, newest first; those with an id are listed even if they are not.
    fn payments(&self, query: &PaymentQuery) -> Result<Vec<SettledPayment>, StorageError>;
    /// The payments of own proposals that are not answered, newest first.
    fn proposed(&self, proposals: &[ProposedPayments]) -> Result<Vec<SettledPayment>, StorageError>;
    /// The highest number up to which events were pruned; 0 if none were.
    fn pruned(&self) -> Result<u64, StorageError>;
}

/// What the daemon asks of the store beside the engine's questions.
pub trait NodeStore: Storage + TransactionLog {
    /// The newest block of a chain that was read, as far as was noted.
    fn head(&self, genesis: B256) -> Result<Option<u64>, StorageError>;
    /// Nodes to be connected with.
    fn peers(&self) -> Result<Vec<KnownPeer>, StorageError>;
    /// Whether any channel was ever agreed on.
    fn has_channels(&self) -> Result<bool, StorageError>;
    /// How many channels of other chains are kept but can't be used here.
    fn channels_elsewhere(&self, genesis: B256) -> Result<u64, StorageError>;
    /// The channels, of whatever chain, that another wallet than this one is needed for.
    fn channels_of_other_wallets(&self, wallet: &Address) -> Result<Vec<StoredChannel>, StorageError>;
    /// The number of the newest event; 0 if there is none.
    fn newest_event(&self) -> u64;
    /// Deletes some of the oldest events before a time, in milliseconds since 1970. Returns how many numbers they had; 0
    /// if there are no more.
    fn prune_events(&mut self, before: u64) -> Result<u64, StorageError>;
    /// How large the store is, in bytes.
    fn size(&self) -> Result<u64, StorageError>;
}
