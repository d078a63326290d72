//! The store: what survives the death of the process and of the machine.
//!
//! The node knows it by three traits: [`Storage`], what the engine asks and commits; [`TransactionLog`], what the chain
//! task keeps; [`NodeStore`], what the daemon asks beside them. [`sqlite`] implements them, and [`start`](crate::start)
//! is the one place that opens it. [Backups](crate::backup) are files of SQLite by their format, and so is what makes
//! and restores them: another store has ways of its own for that.
//!
//! Everything here is synchronous and runs on the daemon's one thread.

pub mod sqlite;

use thunder_chain::{ChainIdentity, SignedCall};
use thunder_engine::{KnownPeer, StoredChannel, StoredPayment};
pub use thunder_engine::{Storage, StorageError};
use thunder_protocol::{Address, B256};

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

/// Which payments.
#[derive(Debug, Clone, Default)]
pub struct PaymentQuery {
    /// Only of this channel's row.
    pub channel: Option<i64>,
    /// At most this many.
    pub limit: u32,
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
    /// Payments, newest first.
    fn payments(&self, query: &PaymentQuery) -> Result<Vec<StoredPayment>, StorageError>;
    /// How large the store is, in bytes.
    fn size(&self) -> Result<u64, StorageError>;
}
