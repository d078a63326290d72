//! What `thunder-cli` may ask of `thunderd`: the [`Thunder`] service, with its requests, answers and errors.
//!
//! Errors have exit codes; the local socket carries all of it.
//!
//! The answers serialise to exactly the JSON that `thunder-cli --json` prints.

mod error;
#[cfg(feature = "rpc")]
pub mod local;
mod types;

pub use error::{ApiError, ApiResult, Code, ExitCode};
pub use types::*;

/// The calls. Each has one handler in the node. Most commands of the command line make one of them, once; `new_phrase`
/// is the first half of `newwallet`, and `pay_many` is for programs: `pay --file` makes its payments one by one.
#[cfg(feature = "rpc")]
#[tarpc::service]
pub trait Thunder {
    /// What the node is, where it listens, whom it knows, its chain and its channels.
    async fn infos(all: bool) -> Result<Infos, ApiError>;
    /// Loads a wallet and keeps it, encrypted. Another wallet that is there is replaced only with `replace`.
    async fn import_wallet(source: WalletSource, replace: bool) -> Result<WalletImported, ApiError>;
    /// Makes a seed phrase of so many words, and keeps nothing of it. Refused where importing it would be.
    async fn new_phrase(words: u8, replace: bool) -> Result<Secret, ApiError>;
    /// THD in the wallet and in channels, and ether for gas.
    async fn balance() -> Result<Balance, ApiError>;
    /// Connects to another node; returns once both sides have proved who they are.
    async fn connect(address: String) -> Result<Peer, ApiError>;
    /// Opens a channel with a connected node; returns when it is ACTIVE, or deployed.
    async fn open_channel(request: OpenRequest) -> Result<PaidIn, ApiError>;
    /// Pays the own share into a channel.
    async fn fund(request: FundRequest) -> Result<PaidIn, ApiError>;
    /// Pays; returns when the countersigned receipt is on disk.
    async fn pay(request: PayRequest) -> Result<Paid, ApiError>;
    /// Makes many payments over one channel in one call; the answers are in the payments' order.
    async fn pay_many(request: PayManyRequest) -> Result<Vec<Result<Paid, ApiError>>, ApiError>;
    /// Closes a channel; returns when the closing is on the chain.
    async fn close_channel(request: CloseRequest) -> Result<ClosingStarted, ApiError>;
    /// Punishes the other side for closing on an old receipt.
    async fn challenge(channel: Selector) -> Result<PaidOut, ApiError>;
    /// Pays a closed channel out after the challenge period.
    async fn withdraw(channel: Selector) -> Result<PaidOut, ApiError>;
    /// Takes back what was paid into a channel that never became ACTIVE.
    async fn cancel(channel: Selector) -> Result<PaidOut, ApiError>;
    /// Payments, newest first.
    async fn history(request: HistoryRequest) -> Result<History, ApiError>;
    /// The newest receipts of a channel, for use with any Ethereum tool.
    async fn receipts(channel: Selector) -> Result<ExportedReceipts, ApiError>;
    /// Takes an exported receipt or a watchtower record into a channel with lost data.
    async fn import_receipt(request: ImportReceiptRequest) -> Result<ReceiptImported, ApiError>;
    /// Writes a backup of the node to a file of thunderd's user.
    async fn backup(request: BackupRequest) -> Result<BackedUp, ApiError>;
    /// Restores a backup into a node that has nothing; thunderd starts anew with it.
    async fn restore(request: RestoreRequest) -> Result<Restored, ApiError>;
    /// Deletes the events before a time, in milliseconds since 1970. Receipts and the ids of payments stay.
    async fn prune(before: u64) -> Result<Pruned, ApiError>;
    /// What has happened since the event with the number `after`; waits a while if nothing has. Without `after` it says
    /// from which number on events come.
    async fn events(after: Option<u64>) -> Result<Events, ApiError>;
}

/// Whether other users of the machine may read or change a file, which matters where a secret is in it. A pipe or a
/// terminal is none.
#[cfg(all(feature = "rpc", unix))]
pub fn is_open_to_others(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path);
    metadata.is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o077 != 0)
}

/// Windows has no modes; a user's files are the user's own.
#[cfg(all(feature = "rpc", not(unix)))]
pub fn is_open_to_others(_: &std::path::Path) -> bool {
    false
}
