//! What has happened.

use serde::{Deserialize, Serialize};

use crate::{ChainInfo, ChannelInfo, ChecksumAddress, PaymentInfo, Peer};

/// `watch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Where to go on from.
    pub next: u64,
    /// What happened, oldest first.
    pub events: Vec<WatchEvent>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum WatchEvent {
    /// A payment is in a receipt that both have signed.
    Payment(PaymentInfo),
    /// A channel changed.
    Channel(ChannelInfo),
    /// A node connected and proved who it is.
    Connected(Peer),
    /// A node is gone.
    Disconnected(Peer),
    /// The chain is reachable again, or not, or was started anew.
    Chain(ChainInfo),
    /// Money is at risk, or something else that a person should look at.
    Warning {
        /// What.
        message: String,
        /// Which channel.
        channel: Option<ChecksumAddress>,
    },
}
