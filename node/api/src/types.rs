//! Requests and answers. Amounts are THD, written as exact decimal strings; addresses are
//! checksummed hex; heights are block numbers.

use std::fmt;

use serde::{Deserialize, Serialize};
use thunder_protocol::{Amount, B256, Memo, PaymentId, Signature};
use zeroize::Zeroize;

use crate::{Account, ApiError};

/// A secret text: never shown, wiped when dropped.
#[derive(Clone, Serialize, Deserialize, zeroize::ZeroizeOnDrop)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret over, without the line end that files and terminals put after it.
    pub fn new(mut text: String) -> Self {
        let secret = Self(text.trim_end_matches(['\r', '\n']).to_owned());
        text.zeroize();
        secret
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Where a wallet comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum WalletSource {
    /// A BIP-39 seed phrase and the BIP-32 path of the key.
    Phrase {
        /// 12 to 24 words.
        phrase: Secret,
        /// Like `m/44'/60'/0'/0/0`.
        path: String,
    },
    /// The content of a Web3 Secret Storage V3 file.
    Keyfile {
        /// The file's JSON.
        json: Secret,
        /// Its password.
        password: Secret,
    },
}

/// Which channel: with neither given, the only one that the command could mean, and of these, once the user
/// has asked for a node, the only one with a node that was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    /// The channel's address or a unique beginning of it.
    pub channel: Option<String>,
    /// The peer id or the wallet of the other side, or a unique beginning of either.
    pub peer: Option<String>,
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

/// A receipt to take into a channel with lost data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportRequest {
    /// Which channel, if the user says so; it has to be the file's.
    pub channel: Selector,
    /// What is in the file.
    pub file: ExportedFile,
}

/// A file that `receipts` wrote.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ExportedFile {
    /// With both signatures.
    Receipts(Box<Receipts>),
    /// With the other side's signature alone.
    Watchtower(Box<Watchtower>),
}

/// Which payments to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct HistoryRequest {
    /// Only of these channels.
    pub channel: Selector,
    /// At most this many.
    pub limit: u32,
}

/// `importwallet`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// The wallet.
    pub address: Account,
}

/// A backup to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRequest {
    /// The file, as an absolute path.
    pub file: String,
    /// Whether a file that is there is replaced.
    pub force: bool,
}

/// `backup`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUp {
    /// The file.
    pub file: String,
    /// How many channels in it are not over.
    pub channels: u64,
}

/// A backup to restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRequest {
    /// The file, as an absolute path.
    pub file: String,
    /// Whether one that nobody has signed is restored, too.
    pub unsigned: bool,
}

/// `restore`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// How many channels came back, as lost.
    pub channels: u64,
    /// The wallet that the node had; its key file opens with its own password only.
    pub wallet: Option<Account>,
    /// Whether this wallet has signed the backup.
    pub signed: bool,
}

/// `balance`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// THD, all together.
    pub total: String,
    /// THD in the wallet.
    pub wallet: String,
    /// THD in channels: the own shares.
    pub channel: String,
    /// Ether for gas.
    pub eth: String,
    /// What a person should look at: too little ether.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// `connect`, and the connected nodes in `infos`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The libp2p peer id.
    pub peer_id: String,
    /// The multiaddr it is connected under.
    pub address: String,
    /// The wallet that it has proved to speak for.
    pub wallet: Option<Account>,
    /// Whether the user has asked for it with `connect`: once there is such a node, a command that names
    /// neither node nor channel means one of these.
    #[serde(default)]
    pub requested: bool,
}

/// `openchannel` and `fund`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaidIn {
    /// The channel contract.
    pub channel: Account,
    /// What the channel holds, or will hold when it is ACTIVE.
    pub amount: Amount,
    /// What is paid in of one's own.
    pub mine: Amount,
    /// The contract's state.
    pub state: ChannelState,
    /// The transaction; `null` if the RPC endpoint does not show which.
    pub tx: Option<B256>,
}

/// `pay`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paid {
    /// The payment's id.
    pub id: PaymentId,
    /// The channel contract.
    pub channel: Account,
    /// How much was paid.
    pub amount: Amount,
    /// The receipt that it is in.
    pub nonce: u64,
    /// The own share now.
    pub mine: Amount,
    /// The other side's share now.
    pub theirs: Amount,
}

/// `closechannel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosingStarted {
    /// The channel contract.
    pub channel: Account,
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
    pub channel: Account,
    /// The transaction that paid out; `null` if the RPC endpoint does not show which.
    pub tx: Option<B256>,
    /// What this side got.
    pub received: Amount,
    /// How the channel ended.
    pub end: Ended,
    /// Whether somebody else had already done it.
    pub by_other: bool,
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
    pub channel: Account,
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

/// The contract's states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ChannelState {
    /// Not fully paid in.
    Empty,
    /// In use.
    Active,
    /// In its challenge period, or waiting for `withdraw`.
    Closing,
    /// Paid out.
    Closed,
}

impl fmt::Display for ChannelState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "EMPTY",
            Self::Active => "ACTIVE",
            Self::Closing => "CLOSING",
            Self::Closed => "CLOSED",
        })
    }
}

/// `infos`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Infos {
    /// thunderd's version.
    pub version: String,
    /// The port that names the node.
    pub port: u16,
    /// The node's libp2p peer id.
    pub peer_id: String,
    /// The multiaddrs that it listens on.
    pub listen: Vec<String>,
    /// The wallet's address.
    pub wallet: Option<Account>,
    /// The chain.
    pub chain: ChainInfo,
    /// The THD contract.
    pub token: Account,
    /// The channel factory.
    pub factory: Account,
    /// Connected nodes.
    pub peers: Vec<Peer>,
    /// Nodes of the local network that answered (`thunderd --mdns`), connected or not.
    pub discovered: Vec<Discovered>,
    /// Channels, newest first.
    pub channels: Vec<ChannelInfo>,
    /// What a person should look at.
    pub warnings: Vec<String>,
}

/// A node of the local network that says that it is there. Nothing of this is proved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovered {
    /// Its libp2p peer id.
    pub peer_id: String,
    /// Where it says that it is, as `connect` takes it.
    pub address: String,
}

/// The chain, as the node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainInfo {
    /// The RPC endpoints, as `--RPC` names them, without credentials and paths.
    pub rpc: String,
    /// Whether one of them answers.
    pub connected: bool,
    /// Its chain id, once known.
    pub chain_id: Option<u64>,
    /// The newest block at which every channel was read that was due.
    pub block: Option<u64>,
    /// How each endpoint is, in the order of `--RPC`.
    #[serde(default)]
    pub endpoints: Vec<EndpointInfo>,
}

/// One RPC endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointInfo {
    /// Where it is, without credentials and path.
    pub rpc: String,
    /// Whether it answers.
    pub connected: bool,
    /// The newest block that it has shown.
    pub block: Option<u64>,
    /// What is wrong with it, if anything is: "can't be reached: connection refused", for instance.
    pub trouble: Option<String>,
}

/// One channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelInfo {
    /// The channel contract.
    pub channel: Account,
    /// The other side's node, if it is connected.
    pub peer: Option<String>,
    /// The other side's wallet.
    pub partner: Account,
    /// The contract's state.
    pub state: ChannelState,
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
    /// What can be done with it next.
    pub next: String,
}

/// The parties of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Opened it.
    A,
    /// Was asked.
    B,
}

/// `receipts`: what the contract's functions take, as decimal base units and hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipts {
    /// The channel contract.
    pub channel: Account,
    /// The chain.
    pub chain_id: u64,
    /// A's wallet.
    pub part_a: Account,
    /// B's wallet.
    pub part_b: Account,
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

/// All that anybody needs who is to punish a closing on an old receipt in this side's place; see
/// `docs/watchtower.md`. With it nobody can do anything else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watchtower {
    /// Of this record: 1.
    pub version: u32,
    /// The chain.
    pub chain_id: u64,
    /// The channel contract: `challenge` is called on it.
    pub channel: Account,
    /// Who has signed the receipt: only a closing by this party can be challenged with it.
    pub closer: Account,
    /// Who gets the whole amount then.
    pub beneficiary: Account,
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

/// `receipts --import`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptImported {
    /// The channel contract.
    pub channel: Account,
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

/// `watch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// Where to go on from.
    pub next: u64,
    /// What happened, oldest first.
    pub events: Vec<Event>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
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
        channel: Option<Account>,
    },
}

/// The answer to a call.
pub type ApiResult<T> = Result<T, ApiError>;

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests are logged and shown while debugging.
    #[test]
    fn no_secret_is_in_the_debug_output_of_a_request() {
        let secret = || Secret::new("legal winner".into());
        let path = "m/44'/60'/0'/0/0".to_owned();
        for source in [
            WalletSource::Phrase { phrase: secret(), path },
            WalletSource::Keyfile { json: secret(), password: secret() },
        ] {
            assert!(!format!("{source:?} {source:#?}").contains("winner"));
        }
    }
}
