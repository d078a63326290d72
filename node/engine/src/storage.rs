//! The disk, as the engine needs it: a few questions while inputs are applied, and one write a batch.

use thunder_protocol::channel::{Direction, PaymentWrite};
use thunder_protocol::{Address, B256, Channel, Nonce, Payment, PaymentId};

/// Why the disk did not do what it was asked for. Nothing that depends on a failed write is ever sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StorageError(pub String);

/// The disk. What [`Self::commit`] has returned `Ok` for survives the death of the process and of the machine.
pub trait Storage {
    /// The channels of a chain, oldest first, without those that were given up.
    fn channels(&self, genesis: B256) -> Result<Vec<StoredChannel>, StorageError>;
    /// A row number above that of every channel that ever was.
    fn next_channel_row(&self) -> Result<i64, StorageError>;
    /// Whether a channel ever had this address, on whatever chain.
    fn knows_address(&self, address: &Address) -> Result<bool, StorageError>;
    /// The own payments with this id, over whatever channels.
    fn own_payments(&self, id: &PaymentId) -> Result<Vec<StoredPayment>, StorageError>;
    /// Whether a payment of the partner's with this id was applied in the channel of this row.
    fn knows_payment_of_partner(&self, row: i64, id: &PaymentId) -> Result<bool, StorageError>;
    /// Puts all of this on the disk, or nothing. Once it returns `Ok`, it is there; after an error nothing is.
    fn commit(&mut self, writes: &Writes) -> Result<(), StorageError>;
    /// Drops what was prepared for a batch that will not be committed, because a question was not answered.
    fn discard(&mut self) {}
}

/// A channel as the disk has it.
#[derive(Debug)]
pub struct StoredChannel {
    /// Its row.
    pub id: i64,
    /// Block 0 of its chain.
    pub genesis: B256,
    /// Its state.
    pub channel: Channel,
    /// Its events are not older than this block.
    pub first_block: u64,
    /// When it was agreed on, in milliseconds since 1970.
    pub created: u64,
    /// Whether it can't change any more, or was given up.
    pub is_over: bool,
}

/// A payment as the disk has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPayment {
    /// The channel's row.
    pub channel: i64,
    /// Which way.
    pub direction: Direction,
    /// The payment.
    pub payment: Payment,
    /// The receipt it went into, or `None` if certainly none.
    pub nonce: Option<Nonce>,
    /// When, in milliseconds since 1970.
    pub time: u64,
}

/// A peer to be connected with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPeer {
    /// Its libp2p peer id.
    pub peer_id: String,
    /// The multiaddr it was last reached under.
    pub address: String,
    /// The wallet it has proved to speak for.
    pub wallet: Option<Address>,
}

/// Everything that a batch puts on the disk, in one step.
#[derive(Debug, Default)]
pub struct Writes {
    /// New channels, whose states are among `states`.
    pub opened: Vec<NewChannel>,
    /// The payments that changed, in the order in which they did.
    pub payments: Vec<PaymentWrites>,
    /// The channels that changed.
    pub states: Vec<ChannelWrite>,
    /// Rows of channels that never came onto the chain: deleted.
    pub forgotten: Vec<i64>,
    /// Rows of channels out of a backup that never came onto the chain: over, and their addresses stay known.
    pub given_up: Vec<i64>,
    /// Peers to be connected with.
    pub peers: Vec<KnownPeer>,
    /// Up to which block which chain was read.
    pub head: Option<(B256, u64)>,
    /// What else has happened, after the payments that are settled.
    pub events: Vec<NewEvent>,
}

impl Writes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        let Self { opened, payments, states, forgotten, given_up, peers, head, events } = self;
        opened.is_empty()
            && payments.is_empty()
            && states.is_empty()
            && forgotten.is_empty()
            && given_up.is_empty()
            && peers.is_empty()
            && head.is_none()
            && events.is_empty()
    }
}

/// The row of a new channel.
#[derive(Debug)]
pub struct NewChannel {
    /// Its number.
    pub row: i64,
    /// The channel contract.
    pub address: Address,
    /// Block 0 of its chain.
    pub genesis: B256,
    /// The own wallet.
    pub wallet: Address,
    /// The partner's wallet.
    pub partner: Address,
    /// Its events are not older than this block.
    pub first_block: u64,
    /// When it was agreed on, in milliseconds since 1970.
    pub created: u64,
}

/// Payments of a channel that changed with one input.
#[derive(Debug)]
pub struct PaymentWrites {
    /// The channel's row.
    pub row: i64,
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// What changed.
    pub writes: Vec<PaymentWrite>,
    /// The payments that are settled by it: events, with numbers of their own.
    pub settled: Settlements,
}

/// The payments that are settled by one input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settlements {
    /// The own payments of a proposal of before.
    pub own: Option<OwnSettlement>,
    /// The partner's payments in the receipt with this nonce.
    pub partner: Option<Nonce>,
}

/// An own proposal of which it is certain what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnSettlement {
    /// Its nonce.
    pub nonce: Nonce,
    /// How many payments it has.
    pub count: u64,
    /// Whether they are made, or certainly not.
    pub is_paid: bool,
}

/// An event that is no payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// Whether it is kept until it is pruned. Of the others only the newest are.
    pub is_kept: bool,
    /// The event in JSON, as `watch` shows it.
    pub body: String,
}

/// The new state of a channel.
#[derive(Debug)]
pub struct ChannelWrite {
    /// The channel's row.
    pub row: i64,
    /// The state, encoded.
    pub state: Vec<u8>,
    /// Whether the channel can't change any more.
    pub is_over: bool,
}
