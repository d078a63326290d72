//! How a channel ends.

use serde::{Deserialize, Serialize};
use thunder_protocol::{Amount, B256};

use crate::{ChecksumAddress, ExportedReceipt, Selector};

/// A channel to close.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CloseRequest {
    /// Which channel.
    pub channel: Selector,
    /// How.
    pub mode: CloseMode,
    /// Whether the user was shown the shares of a channel with lost data, and accepts them for good.
    #[serde(default)]
    pub confirmed: bool,
}

/// How to close a channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum CloseMode {
    /// On the newest receipt; the money comes after the challenge period.
    Alone,
    /// With the other side's FINAL signature; the money comes at once.
    Cooperative,
    /// On this receipt. If it is not the newest, everything can be lost, so it has to be said
    /// twice.
    Receipt {
        /// The receipt.
        receipt: Box<ExportedReceipt>,
        /// "Yes, although it is not the newest."
        even_if_old: bool,
    },
}

/// `closechannel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosingStarted {
    /// The channel contract.
    pub channel: ChecksumAddress,
    /// The transaction; `null` if the RPC endpoint does not show which.
    pub tx: Option<B256>,
    /// How it was closed.
    pub mode: ClosedBy,
    /// The receipt closed on.
    pub nonce: u64,
    /// The first block for `withdraw`; `null` if the money is there already.
    pub withdrawable_at: Option<u64>,
}

/// The kinds of closing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClosedBy {
    /// On an agreed receipt.
    Unilateral,
    /// On the own unanswered proposal.
    Proposal,
    /// On a FINAL receipt.
    Cooperative,
}

/// `withdraw`, `challenge` and `cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaidOut {
    /// The channel contract.
    pub channel: ChecksumAddress,
    /// The transaction that paid out; `null` if the RPC endpoint does not show which.
    pub tx: Option<B256>,
    /// What this side got.
    pub received: Amount,
    /// How the channel ended.
    pub end: Ended,
    /// Whether somebody else had already done it.
    pub by_other: bool,
    /// Whether it was done before this command was given, by whomever.
    #[serde(default)]
    pub already: bool,
}

/// How a channel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// `withdraw`, after the challenge period.
    Withdrawn,
    /// A FINAL receipt.
    Cooperative,
    /// `challenge`.
    Challenged,
    /// `cancel`.
    Cancelled,
}
