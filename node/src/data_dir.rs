//! The data directory: whose it is, who else may enter it, and the lock of the one thunderd that uses it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use fs4::FileExt;

use crate::keys;

/// Why the data directory can't be used. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataDirectoryError {
    /// The operating system refuses.
    #[error("can't use the data directory {path}: {source}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another thunderd uses it.
    #[error("another thunderd is using the data directory {0}; stop it, or give this one another --data-dir")]
    InUse(PathBuf),
    /// It belongs to another user, who could read the keys and change what is there.
    #[error(
        "the data directory {path} belongs to another user (uid {owner}, thunderd runs as {user}): \
         run `chown -R {user} {path}`, or give another --data-dir"
    )]
    OthersOwn {
        /// The directory.
        path: PathBuf,
        /// The owner's number.
        owner: u32,
        /// The number of the user that thunderd runs as.
        user: u32,
    },
    /// Other users could put files into it.
    #[error(
        "other users may write to the data directory {path} (mode {mode:04o}): look whether all files in it are yours, \
         run `chmod 700 {path}`, or give another --data-dir"
    )]
    OthersWrite {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// The data directory, locked for as long as this lives.
pub(crate) struct DataDirectory {
    path: PathBuf,
    _lock: File,
}

impl DataDirectory {
    /// Makes the directory if there is none, makes sure that it is this user's alone, and locks it.
    pub(crate) fn open(path: PathBuf) -> Result<Self, DataDirectoryError> {
        let failed = |source| DataDirectoryError::Io { path: path.clone(), source };
        let was_open = access::make_private(&path)?;
        let mut options = keys::private_options();
        let lock = options.create(true).truncate(false).open(path.join("thunderd.lock")).map_err(failed)?;
        match FileExt::try_lock(&lock) {
            Ok(()) => {}
            Err(fs4::TryLockError::WouldBlock) => return Err(DataDirectoryError::InUse(path)),
            Err(fs4::TryLockError::Error(error)) => return Err(failed(error)),
        }
        let were_open = access::close_files(&path).map_err(failed)?;
        if was_open || were_open {
            tracing::warn!(
                path = %path.display(),
                "other users could read the data directory or keys in it; both are their owner's alone now"
            );
        }
        access::warn_of_parents(&path).map_err(failed)?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

#[cfg(unix)]
mod access {
    use std::collections::BTreeSet;
    use std::fs::{self, Metadata, Permissions};
    use std::io;
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
    use std::path::Path;

    use super::DataDirectoryError;

    /// What others may do with a file or a directory.
    const OTHERS: u32 = 0o077;
    /// What lets others change a directory.
    const OTHERS_WRITE: u32 = 0o022;
    /// Only the owner of a file in such a directory may rename or remove it.
    const STICKY: u32 = 0o1000;

    /// Makes a directory that is its user's alone, or makes sure that the one that is there is: what others could have
    /// changed is refused, what they could read is closed. Reports whether they could.
    pub(super) fn make_private(path: &Path) -> Result<bool, DataDirectoryError> {
        let failed = |source| DataDirectoryError::Io { path: path.into(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let found = fs::metadata(path).map_err(failed)?;
        let user = user();
        if found.uid() != user {
            return Err(DataDirectoryError::OthersOwn { path: path.into(), owner: found.uid(), user });
        }
        if found.mode() & OTHERS_WRITE != 0 {
            return Err(DataDirectoryError::OthersWrite { path: path.into(), mode: found.mode() & 0o7777 });
        }
        close(path, &found).map_err(failed)
    }

    fn user() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    /// Takes from others what they may do. Reports whether that was anything.
    fn close(path: &Path, found: &Metadata) -> io::Result<bool> {
        let is_open = found.mode() & OTHERS != 0;
        if is_open {
            fs::set_permissions(path, Permissions::from_mode(found.mode() & 0o7777 & !OTHERS))?;
            if fs::metadata(path)?.mode() & OTHERS != 0 {
                return Err(io::Error::other("its file system does not keep other users out"));
            }
        }
        Ok(is_open)
    }

    /// The same for the files of a directory. Reports whether others could read one.
    pub(super) fn close_files(directory: &Path) -> io::Result<bool> {
        let mut were_open = false;
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            // Of a link, this is the link itself.
            let found = entry.metadata()?;
            were_open |= found.is_file() && close(&entry.path(), &found)?;
        }
        Ok(were_open)
    }

    /// Who may rename a directory above this one, or a link that leads to it, may put another in its place.
    pub(super) fn warn_of_parents(path: &Path) -> io::Result<()> {
        let (named, real) = (std::path::absolute(path)?, path.canonicalize()?);
        let parents: BTreeSet<_> = named.ancestors().skip(1).chain(real.ancestors().skip(1)).collect();
        for parent in parents {
            let found = fs::metadata(parent)?;
            let is_theirs = found.uid() != user() && found.uid() != 0;
            if is_theirs || (found.mode() & OTHERS_WRITE != 0 && found.mode() & STICKY == 0) {
                tracing::warn!(
                    path = %parent.display(),
                    "other users can replace the data directory, because they may write to a directory above it"
                );
            }
        }
        Ok(())
    }
}

/// On Windows a user's data directory is the user's own.
#[cfg(not(unix))]
mod access {
    use std::io;
    use std::path::Path;

    use super::DataDirectoryError;

    pub(super) fn make_private(path: &Path) -> Result<bool, DataDirectoryError> {
        let failed = |source| DataDirectoryError::Io { path: path.into(), source };
        std::fs::create_dir_all(path).map(|()| false).map_err(failed)
    }

    pub(super) fn close_files(_: &Path) -> io::Result<bool> {
        Ok(false)
    }

    pub(super) fn warn_of_parents(_: &Path) -> io::Result<()> {
        Ok(())
    }
}
