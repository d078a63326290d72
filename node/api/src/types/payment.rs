//! Payments, and their history.

use serde::{Deserialize, Serialize};
use thunder_protocol::{Amount, Memo, PaymentId};

use crate::{ChecksumAddress, Selector};

/// A payment to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PaymentRequest {
    /// How much.
    pub amount: Amount,
    /// A note for the receiver.
    pub memo: Memo,
    /// The payment's name; repeating a payment with the same one pays once. Chosen by the node if
    /// absent.
    pub id: Option<PaymentId>,
}

/// A payment over a channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PayRequest {
    /// Which channel.
    pub channel: Selector,
    /// What to pay.
    pub payment: PaymentRequest,
}

/// Many payments over one channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PayManyRequest {
    /// Which channel.
    pub channel: Selector,
    /// What to pay, in order.
    pub payments: Vec<PaymentRequest>,
}

/// `pay`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paid {
    /// The payment's id.
    pub id: PaymentId,
    /// The channel contract.
    pub channel: ChecksumAddress,
    /// How much was paid.
    pub amount: Amount,
    /// The receipt that it is in.
    pub nonce: u64,
    /// The own share now.
    pub mine: Amount,
    /// The other side's share now.
    pub theirs: Amount,
}

/// Which payments to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct HistoryRequest {
    /// Only of these channels.
    pub channel: Selector,
    /// At most this many.
    pub limit: u32,
}

/// `history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Newest first.
    pub payments: Vec<PaymentInfo>,
}

/// One payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentInfo {
    /// Its id.
    pub id: PaymentId,
    /// The channel contract.
    pub channel: ChecksumAddress,
    /// Which way.
    pub direction: Direction,
    /// How much.
    pub amount: Amount,
    /// The payer's note.
    pub memo: Memo,
    /// The receipt that it is in.
    pub nonce: Option<u64>,
    /// When, in milliseconds since 1970.
    pub time: u64,
    /// Whether it stands.
    pub status: PaymentStatus,
}

/// Which way a payment went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Received.
    In,
    /// Paid.
    Out,
}

/// Whether a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaymentStatus {
    /// In a receipt that both have signed.
    Done,
    /// Not answered yet, or for the chain to decide.
    Pending,
    /// Not paid.
    Failed,
}
