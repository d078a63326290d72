//! Backups.

use serde::{Deserialize, Serialize};

use crate::ChecksumAddress;

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
    pub wallet: Option<ChecksumAddress>,
    /// Whether this wallet has signed the backup.
    pub signed: bool,
}
