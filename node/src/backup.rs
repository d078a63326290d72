//! Backups: one file with a consistent copy of the database and of the node's and the wallet's keys.
//!
//! The wallet's key file stays encrypted. A restored channel may be older than what was signed since, so it comes
//! back *lost* (rule 9 of docs/protocol.md).
//!
//! The file is a header, the Keccak-256 hash of the content, the wallet and its signature on the hash
//! (EIP-712), and the content: an SQLite database with the key files in a table of their own. The
//! wallet's password is not in it. The content is SQLite's, so this module speaks to SQLite itself: another store needs
//! backups of its own. Nothing in the file is believed but the rows that are known, and the
//! signature says whose they are: it can be checked without any secret.

mod format;
mod restore;
mod write;

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use thunder_protocol::Address;

use crate::store::sqlite::DatabaseError;

pub use restore::{Unpacked, has_wallet, install, unpack};
pub use write::{Copied, copy};

const DATABASE: &str = "thunder.db";
const LOG: &str = "thunder.db-wal";
const NODE_KEY: &str = "node.key";
const WALLET: &str = "wallet.json";
/// Work that a dead process left unfinished begins with this.
const SCRATCH: &str = "backup-scratch-";

/// What has to stay free beside a copy of the database, for what the node itself writes.
const RESERVE: u64 = 64 << 20;

/// Why there is no backup, or nothing is restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file can't be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is there already.
    #[error("{0} is there already")]
    Exists(PathBuf),
    /// A backup on the same disk is of no use, and could replace what it is to keep.
    #[error("a backup does not belong into the data directory {0}")]
    Inside(PathBuf),
    /// Not a backup.
    #[error("{0} is not a backup of a Thunder node")]
    NotABackup(PathBuf),
    /// Written by a later version.
    #[error("{0} was written by a newer thunderd")]
    TooNew(PathBuf),
    /// Cut off or changed.
    #[error("{0} is damaged or not complete: {1}")]
    Damaged(PathBuf, String),
    /// Written before backups were signed.
    #[error(
        "{0} is not signed, because an older thunderd wrote it: whoever could write to it may have changed it"
    )]
    Unsigned(PathBuf),
    /// A channel in it is not the signer's.
    #[error(
        "{path} was changed or put together by somebody else: {signer} has signed it, and the open channel {channel} \
         in it belongs to the wallet {wallet}"
    )]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Who has signed it.
        signer: Address,
        /// The channel.
        channel: Address,
        /// Whose it is.
        wallet: Address,
    },
    /// Something came to be there after the backup was restored.
    #[error(
        "{0} has a wallet or channels that are not the backup's; if they are of no use, move them out of it \
         (thunder.db*, wallet*), else move the directory `restored` out of it"
    )]
    NotEmpty(PathBuf),
    /// Too little room for a copy of the database.
    #[error("{path} has {free} bytes of room, and {needed} are needed")]
    NoRoom {
        /// Where.
        path: PathBuf,
        /// How much there is.
        free: u64,
        /// How much there has to be.
        needed: u64,
    },
    /// The file that `--force` would replace is not a backup.
    #[error("{0} is there already, and is not a backup of a Thunder node")]
    NoBackup(PathBuf),
    /// The backup is in place, and it is not certain that it is on the disk.
    #[error("the backup was put in place, and {path} can't be written for good: {source}")]
    Unsure {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database refuses.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<rusqlite::Error> for BackupError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> BackupError + '_ {
    move |source| BackupError::File { path: path.into(), source }
}

/// A copy must not fill the disk that the node itself writes to.
fn require_room(directory: &Path, size: u64) -> Result<(), BackupError> {
    let free = fs4::available_space(directory).map_err(failed(directory))?;
    // The copy, its own log, and the reserve.
    let needed = size.saturating_mul(2).saturating_add(RESERVE);
    if free >= needed { Ok(()) } else { Err(BackupError::NoRoom { path: directory.into(), free, needed }) }
}

/// The names that a backup may hold: never a path, never the password.
fn is_key_file(name: &str) -> bool {
    let earlier = |name: &str| {
        let time = name.strip_prefix("wallet-until-").and_then(|rest| rest.strip_suffix(".json"));
        time.is_some_and(|time| !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit()))
    };
    name == NODE_KEY || name == WALLET || earlier(name)
}

fn scratch(directory: &Path) -> Result<TempDir, BackupError> {
    tempfile::Builder::new().prefix(SCRATCH).tempdir_in(directory).map_err(failed(directory))
}
