//! `impl Daemon`: whether a backup may be restored, and restoring it; `backup_error`, the error that users see.

use std::path::Path;

use thunder_api::{ApiError, ApiResult, ChecksumAddress, Code, Restored};

use thunder_engine::disk_error;

use super::Daemon;
use crate::backup::{self, BackupError, Unpacked};
use crate::store::sqlite::DatabaseError;

impl Daemon {
    /// Refuses a restore into a node that has a wallet or channels, which the backup would replace.
    pub(super) fn may_restore(&self, directory: &Path) -> ApiResult<()> {
        let has_channels = self.store.has_channels().map_err(|error| disk_error(&error))?;
        if has_channels || self.engine.wallet().is_some() || backup::has_wallet(directory) {
            return Err(ApiError::new(
                Code::NotEmpty,
                "this node has a wallet or channels, which a backup would replace; nothing was changed",
                "start a thunderd with a new --data-dir, and restore into that one",
            ));
        }
        Ok(())
    }

    /// Makes a backup the node's state, with which it starts anew.
    pub(super) fn restore(&mut self, backup: Unpacked, directory: &Path) -> ApiResult<Restored> {
        self.may_restore(directory)?;
        let (channels, signed) = (backup.channels, backup.is_signed);
        let wallet = backup.wallet.map(ChecksumAddress::from);
        let committed = backup.commit(directory);
        self.is_restored = matches!(committed, Ok(()) | Err(BackupError::Unsure { .. }));
        committed.map_err(|error| backup_error(&error))?;
        if !signed {
            tracing::warn!(
                "a backup without a signature is restored on its user's word: whoever could write to the file can have \
                 changed it"
            );
        }
        Ok(Restored { channels, wallet, signed })
    }
}

/// The error for a backup or a restore that failed, with what to do.
pub(crate) fn backup_error(error: &BackupError) -> ApiError {
    let (code, hint) = match error {
        BackupError::NoBackup(_) => (Code::File, "name another file; --force replaces backups only"),
        BackupError::Exists(_) => (Code::File, "name another file, or replace it with --force"),
        BackupError::Inside(_) => (Code::File, "name a file elsewhere, best on another disk"),
        BackupError::File { .. } => {
            (Code::File, "name a file that thunderd's user can read or write; nothing was changed")
        }
        BackupError::NotABackup(_) => {
            (Code::InvalidBackup, "give a file that `thunder-cli backup` wrote; nothing was changed")
        }
        BackupError::Unsigned(_) => (
            Code::InvalidBackup,
            "if nobody but you could write to it, repeat it with --unsigned (docs/keys.md); nothing was changed",
        ),
        BackupError::TooNew(_) | BackupError::Database(DatabaseError::TooNew { .. }) => {
            (Code::InvalidBackup, "use a newer thunderd; nothing was changed")
        }
        BackupError::NoRoom { .. } => (Code::File, "make room, and try again; nothing was changed"),
        BackupError::Unsure { .. } => (
            Code::File,
            "repair the disk, start thunderd again, and see infos; the backup is in place, or restore it again",
        ),
        BackupError::NotEmpty(_) => (Code::NotEmpty, "see docs/keys.md; nothing was changed"),
        BackupError::Damaged(..) | BackupError::Foreign { .. } | BackupError::Database(_) => {
            (Code::InvalidBackup, "use another copy of the file; nothing was changed")
        }
    };
    ApiError::new(code, error.to_string(), hint)
}
