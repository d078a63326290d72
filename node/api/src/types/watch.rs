//! What has happened.

use serde::{Deserialize, Serialize};

use crate::{ChainInfo, ChannelInfo, ChecksumAddress, PaymentInfo, Peer};

/// A part of the sequence of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// The `after` that goes on with what comes next.
    pub next: u64,
    /// What happened, oldest first.
    pub events: Vec<WatchEvent>,
}

/// `prune`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// How many events were deleted.
    pub events: u64,
}

/// Something that happened, as `watch` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum WatchEvent {
    /// A payment is in a receipt that both have signed; or, with status `failed`, it certainly is in none.
    Payment(PaymentInfo),
    /// A channel changed.
    Channel(Numbered<ChannelInfo>),
    /// A node has connected and proved who it is, or is gone.
    Peer(Numbered<PeerChange>),
    /// The chain is reachable again, or not, or was started anew.
    Chain(Numbered<ChainInfo>),
    /// Money is at risk, or something else that a person should look at.
    Warning(Numbered<Warning>),
}

/// An event with its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered<T> {
    /// Its number: it only grows, also across restarts, and numbers may be left out.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// What has happened.
    #[serde(flatten)]
    pub of: T,
}

/// A peer that came or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerChange {
    /// Whether it is connected now.
    pub connected: bool,
    /// The peer.
    #[serde(flatten)]
    pub peer: Peer,
}

/// Something that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What.
    pub message: String,
    /// Which channel.
    pub channel: Option<ChecksumAddress>,
}

impl WatchEvent {
    /// Its number; `None` for a payment that is not settled.
    pub const fn seq(&self) -> Option<u64> {
        match self {
            Self::Payment(payment) => payment.seq,
            Self::Channel(Numbered { seq, .. })
            | Self::Peer(Numbered { seq, .. })
            | Self::Chain(Numbered { seq, .. })
            | Self::Warning(Numbered { seq, .. }) => Some(*seq),
        }
    }

    /// The same with this number.
    #[must_use]
    pub fn numbered(mut self, number: u64) -> Self {
        match &mut self {
            Self::Payment(payment) => payment.seq = Some(number),
            Self::Channel(Numbered { seq, .. })
            | Self::Peer(Numbered { seq, .. })
            | Self::Chain(Numbered { seq, .. })
            | Self::Warning(Numbered { seq, .. }) => *seq = number,
        }
        self
    }
}
