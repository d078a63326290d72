//! Receipts that leave the node and come into it.

use serde::{Deserialize, Serialize};
use thunder_protocol::{Amount, B256, Signature};

use crate::{ChecksumAddress, Role, Selector};

/// `receipts`: what the contract's functions take, as decimal base units and hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedReceipts {
    /// The channel contract.
    pub channel: ChecksumAddress,
    /// The chain.
    pub chain_id: u64,
    /// A's wallet.
    pub part_a: ChecksumAddress,
    /// B's wallet.
    pub part_b: ChecksumAddress,
    /// Which party this side is.
    pub role: Role,
    /// The newest agreed receipt.
    pub agreed: ExportedReceipt,
    /// The own proposal that is not answered: `closingProposal` takes it with `agreed` as its base.
    pub proposal: Option<ExportedReceipt>,
    /// What a third party needs to challenge in this side's place; not before the first receipt.
    #[serde(default)]
    pub watchtower: Option<Watchtower>,
}

/// A receipt, as the contract takes it: amounts in base units (10^-18 THD).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedReceipt {
    /// `_nonce`.
    pub nonce: u64,
    /// `_balanceA`, in base units.
    pub balance_a: String,
    /// `_balanceB`, in base units.
    pub balance_b: String,
    /// The EIP-712 digest that is signed.
    pub digest: B256,
    /// A's signature, if it has signed.
    pub signature_a: Option<Signature>,
    /// B's signature, if it has signed.
    pub signature_b: Option<Signature>,
}

/// All that anybody needs who is to punish a closing on an old receipt in this side's place; see
/// `docs/watchtower.md`. With it nobody can do anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watchtower {
    /// Of this record: 1.
    pub version: u32,
    /// The chain.
    pub chain_id: u64,
    /// The channel contract: `challenge` is called on it.
    pub channel: ChecksumAddress,
    /// Who has signed the receipt: only a closing by this party can be challenged with it.
    pub closer: ChecksumAddress,
    /// Who gets the whole amount then.
    pub beneficiary: ChecksumAddress,
    /// `_nonce`: what closes on a lower one, or on this one with other balances, is punished.
    pub nonce: u64,
    /// `_balanceA`, in base units.
    pub balance_a: String,
    /// `_balanceB`, in base units.
    pub balance_b: String,
    /// `_signature`, by `closer`.
    pub signature: Signature,
    /// The whole calldata of `challenge`, in hex.
    pub data: String,
}

/// A receipt to take into a channel with lost data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportReceiptRequest {
    /// Which channel, if the user says so; it has to be the file's.
    pub channel: Selector,
    /// What is in the file.
    pub file: ExportedFile,
}

/// A file that `receipts` wrote.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ExportedFile {
    /// With both signatures.
    Receipts(Box<ExportedReceipts>),
    /// With the other side's signature alone.
    Watchtower(Box<Watchtower>),
}

/// `receipts --import`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptImported {
    /// The channel contract.
    pub channel: ChecksumAddress,
    /// The receipt.
    pub nonce: u64,
    /// The own share in it.
    pub mine: Amount,
    /// The other side's share in it.
    pub theirs: Amount,
    /// Whether both sides have signed it; a watchtower record has the other side's signature alone.
    pub both_signed: bool,
    /// What can be done with the channel next.
    pub next: String,
}
