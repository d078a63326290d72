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

/// Which payments to list. A payment that is not settled has no `seq`; such ones are listed first, unless `after` or
/// `before` is given.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct HistoryRequest {
    /// Only of these channels.
    pub channel: Selector,
    /// Only with a higher `seq`.
    pub after: Option<u64>,
    /// Only with a lower `seq`.
    pub before: Option<u64>,
    /// Only from this time on, in milliseconds since 1970.
    pub since: Option<u64>,
    /// Only before this time, in milliseconds since 1970.
    pub until: Option<u64>,
    /// Only with this id.
    pub id: Option<PaymentId>,
    /// Only those received, or only those paid.
    pub direction: Option<Direction>,
    /// At most this many in this answer, which has at most 1,000.
    pub limit: u32,
}

/// `history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Newest first.
    pub payments: Vec<PaymentInfo>,
    /// The `before` that goes on with older payments; null if there are none.
    pub next: Option<u64>,
}

/// One payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentInfo {
    /// The number of its event; null until it is settled.
    pub seq: Option<u64>,
    /// Its id.
    pub id: PaymentId,
    /// The channel contract.
    pub channel: ChecksumAddress,
    /// The wallet of the other side: the payer of what comes in.
    pub partner: ChecksumAddress,
    /// Which way.
    pub direction: Direction,
    /// How much.
    pub amount: Amount,
    /// The payer's note.
    pub memo: Memo,
    /// The receipt that it is in.
    pub nonce: Option<u64>,
    /// When it was settled, or, until it is, proposed, in milliseconds since 1970.
    pub time: u64,
    /// Whether it stands.
    pub status: PaymentStatus,
    /// The id of the invoice that it pays; null if it pays none.
    pub invoice: Option<String>,
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
