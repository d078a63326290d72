//! Channels: which one is meant, opening and funding one, and what it is.

use std::fmt;

use serde::{Deserialize, Serialize};
use thunder_protocol::{Amount, B256};

use crate::ChecksumAddress;

/// Which channel: with neither given, the only one that the command could mean, and of these, once the user
/// has asked for a node, the only one with a node that was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    /// The channel's address or a unique beginning of it.
    pub channel: Option<String>,
    /// The peer id or the wallet of the other side, or a unique beginning of either.
    pub peer: Option<String>,
    /// Either of the two: what a channel or its other side is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl Selector {
    /// Whether it leaves the choice to the node.
    pub const fn names_nothing(&self) -> bool {
        self.channel.is_none() && self.peer.is_none() && self.to.is_none()
    }
}

/// A channel to open.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OpenRequest {
    /// What the channel will hold.
    pub amount: Amount,
    /// What the opener pays in now; everything if absent.
    pub deposit: Option<Amount>,
    /// With which connected node; the only one if absent, or, once the user has asked for a node, the only
    /// one of those that were asked for.
    pub peer: Option<String>,
    /// Also on a chain whose challenge period is shorter than two minutes.
    #[serde(default)]
    pub accept_short_period: bool,
}

/// A payment into a channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FundRequest {
    /// Which channel.
    pub channel: Selector,
    /// How much; what is missing of the own share if absent.
    pub amount: Option<Amount>,
}

/// `openchannel` and `fund`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaidIn {
    /// The channel contract.
    pub channel: ChecksumAddress,
    /// What the channel holds, or will hold when it is ACTIVE.
    pub amount: Amount,
    /// What is paid in of one's own.
    pub mine: Amount,
    /// The contract's state.
    pub state: ContractState,
    /// The transaction; `null` if the RPC endpoint does not show which.
    pub tx: Option<B256>,
}

/// One channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelInfo {
    /// The channel contract.
    pub channel: ChecksumAddress,
    /// The other side's node, if it is connected.
    pub peer: Option<String>,
    /// The other side's wallet.
    pub partner: ChecksumAddress,
    /// The contract's state.
    pub state: ContractState,
    /// Which party this side is.
    pub role: Role,
    /// What the channel holds, or will hold when it is ACTIVE.
    pub amount: Amount,
    /// The own share.
    pub mine: Amount,
    /// The other side's share.
    pub theirs: Amount,
    /// The newest receipt that both have signed.
    pub nonce: u64,
    /// What of the own share is paid and not answered yet.
    pub pending: Amount,
    /// The block of the closing.
    pub closing_block: Option<u64>,
    /// The first block for `withdraw`.
    pub withdrawable_at: Option<u64>,
    /// The commands that work on it now.
    pub next: Vec<String>,
    /// What can be done with it next, or what it waits for, for people.
    #[serde(default)]
    pub next_text: String,
}

/// The contract's states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ContractState {
    /// Not fully paid in.
    Empty,
    /// In use.
    Active,
    /// In its challenge period, or waiting for `withdraw`.
    Closing,
    /// Paid out.
    Closed,
}

impl fmt::Display for ContractState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "EMPTY",
            Self::Active => "ACTIVE",
            Self::Closing => "CLOSING",
            Self::Closed => "CLOSED",
        })
    }
}

/// The parties of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Opened it.
    A,
    /// Was asked.
    B,
}
