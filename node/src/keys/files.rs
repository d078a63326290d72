//! Files that only their owner may read.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file can't be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct FileError {
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    pub(super) fn new(path: &Path, source: io::Error) -> Self {
        Self { path: path.into(), source }
    }
}

/// Writes a file whole or not at all, readable by its owner only, and on the disk when it returns.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let failed = |source| FileError::new(path, source);
    prepare(path, content)?.persist(path).map_err(|error| failed(error.error))?;
    sync_directory(directory_of(path)).map_err(failed)
}

/// Writes a file like [`write_private`], unless there is one. Reports whether it was written.
pub(super) fn create_private(path: &Path, content: &[u8]) -> Result<bool, FileError> {
    let failed = |source| FileError::new(path, source);
    match prepare(path, content)?.persist_noclobber(path) {
        Ok(_) => sync_directory(directory_of(path)).map_err(failed).map(|()| true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(error.error)),
    }
}

/// Writes the content beside the place where it is to go, and waits until it is on the disk.
pub(super) fn prepare(path: &Path, content: &[u8]) -> Result<NamedTempFile, FileError> {
    let failed = |source| FileError::new(path, source);
    // Temporary files are made with mode 0600.
    let mut file = NamedTempFile::new_in(directory_of(path)).map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    Ok(file)
}

pub(super) fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new("."))
}

/// Options to write a file that its owner only may read.
#[cfg(unix)]
pub(crate) fn private_options() -> fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::File::options();
    options.write(true).mode(0o600);
    options
}

/// On Windows a user's data directory is the user's own.
#[cfg(not(unix))]
pub(crate) fn private_options() -> fs::OpenOptions {
    let mut options = fs::File::options();
    options.write(true);
    options
}

/// A new name in a directory is on the disk only with the directory.
#[cfg(unix)]
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

/// Windows has no such thing; NTFS journals its directories.
#[cfg(not(unix))]
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::metadata(directory).map(|_| ())
}

/// A file's content, or `None` if there is no such file.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::new(path, error)),
    }
}
