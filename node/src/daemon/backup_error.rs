//! What users are told when there is no backup, or nothing is restored.

use thunder_api::{ApiError, Code};

use crate::backup::BackupError;
use crate::store::StoreError;

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
