//! Whether a file with a secret in it is open to other users of the machine.

use std::path::Path;

/// Whether other users of the machine may read or change a file. A pipe or a terminal is none.
#[cfg(unix)]
pub fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let metadata = std::fs::metadata(path);
    metadata.is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o077 != 0)
}

/// Windows has no modes; a user's files are the user's own.
#[cfg(not(unix))]
pub fn is_open_to_others(_: &Path) -> bool {
    false
}
