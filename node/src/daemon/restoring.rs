//! A backup becomes the node's state; and what users are told when there is none, or it does not.

use std::path::Path;

use thunder_api::{Account, Answer, ApiError, Code, Restored};
use tokio::time::Instant;

use super::Daemon;
use super::execute::disk_error;
use crate::backup::{self, BackupError, Unpacked};
use crate::store::StoreError;

impl Daemon {
    /// The node has to have nothing, so that nothing is replaced. Afterwards it starts anew.
    pub(super) fn restore(&mut self, backup: Unpacked, directory: &Path) -> Answer<Restored> {
        let has_channels = self.store.has_channels().map_err(|error| disk_error(&error))?;
        let busy = self.importing.is_some_and(|until| until > Instant::now());
        if has_channels || busy || self.wallet.is_some() || backup::has_wallet(directory) {
            return Err(ApiError::new(
                Code::NotEmpty,
                "this node has a wallet or channels, which a backup would replace; nothing was changed",
                "start a thunderd with a new --data-dir, and restore into that one",
            ));
        }
        let (channels, wallet) = (backup.channels, backup.wallet.map(Account::from));
        backup.commit(directory).map_err(|error| backup_error(&error))?;
        self.restored = true;
        Ok(Restored { channels, wallet })
    }
}

/// Nothing was changed, and what to do.
pub(crate) fn backup_error(error: &BackupError) -> ApiError {
    let (code, hint) = match error {
        BackupError::Exists(_) => (Code::File, "name another file, or replace it with --force"),
        BackupError::Inside(_) => (Code::File, "name a file elsewhere, best on another disk"),
        BackupError::File { .. } => {
            (Code::File, "name a file that thunderd's user can read or write; nothing was changed")
        }
        BackupError::NotABackup(_) => {
            (Code::InvalidBackup, "give a file that `thunder-cli backup` wrote; nothing was changed")
        }
        BackupError::TooNew(_) | BackupError::Store(StoreError::TooNew { .. }) => {
            (Code::InvalidBackup, "use a newer thunderd; nothing was changed")
        }
        BackupError::NotEmpty(_) => (Code::NotEmpty, "see docs/keys.md; nothing was changed"),
        BackupError::Damaged(..) | BackupError::Store(_) => {
            (Code::InvalidBackup, "use another copy of the file; nothing was changed")
        }
    };
    ApiError::new(code, error.to_string(), hint)
}
