//! A backup is made: a copy of the database, the wallet's signature on it, and the file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use tempfile::{NamedTempFile, TempDir};
use thunder_protocol::{Address, B256, Signature};
use zeroize::Zeroizing;

use super::format::{Seal, copy_hashed, is_backup};
use super::{BackupError, DATABASE, LOG, failed, is_key_file, require_room, scratch};
use crate::keys::{private_options, sync_directory};

/// A copy of a node's state, which the node's wallet has to sign.
#[derive(Debug)]
pub struct Copied {
    scratch: TempDir,
    /// The hash of the copy.
    pub content: B256,
    channels: u64,
    to: PathBuf,
    overwrite: bool,
}

/// Copies the state of a running node in `directory`, for a backup at `to`. Writes nothing there yet.
pub fn copy(directory: &Path, to: &Path, overwrite: bool) -> Result<Copied, BackupError> {
    if to.symlink_metadata().is_ok() {
        if !overwrite {
            return Err(BackupError::Exists(to.into()));
        }
        if !is_backup(to).map_err(failed(to))? {
            return Err(BackupError::NoBackup(to.into()));
        }
    }
    let target = directory_of(to);
    let is_inside = || Ok(target.canonicalize()?.starts_with(directory.canonicalize()?));
    if is_inside().map_err(failed(target))? {
        return Err(BackupError::Inside(directory.into()));
    }
    let sizes = [DATABASE, LOG].map(|name| fs::metadata(directory.join(name)).map_or(0, |data| data.len()));
    require_room(directory, sizes.iter().sum())?;
    let scratch = scratch(directory)?;
    let copy = scratch.path().join(DATABASE);
    // Made here, because SQLite would let others read it.
    private_options().create_new(true).open(&copy).map_err(failed(&copy))?;
    let channels = copy_database(directory, &copy)?;
    failpoint!("backup-copied");
    let content = File::open(&copy).and_then(|mut file| copy_hashed(&mut file, &mut io::sink()));
    let content = content.map_err(failed(&copy))?;
    Ok(Copied { scratch, content, channels, to: to.into(), overwrite })
}

impl Copied {
    /// Writes the backup, whole or not at all. Returns how many channels in it are not over.
    pub fn seal(self, wallet: Address, signature: &Signature) -> Result<u64, BackupError> {
        let Self { scratch, content, channels, to, overwrite } = self;
        let target = directory_of(&to);
        let mut file = NamedTempFile::new_in(target).map_err(failed(&to))?;
        let write = |file: &mut File| -> io::Result<()> {
            let mut writer = BufWriter::new(file);
            Seal::write(&mut writer, &content, (&wallet, signature))?;
            let copied = copy_hashed(&mut File::open(scratch.path().join(DATABASE))?, &mut writer)?;
            if copied != content {
                return Err(io::Error::other("the copy of the database was changed"));
            }
            writer.flush()?;
            writer.get_ref().sync_all()
        };
        write(file.as_file_mut()).map_err(failed(&to))?;
        let put = if overwrite { file.persist(&to) } else { file.persist_noclobber(&to) };
        put.map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists(to.clone()),
            _ => failed(&to)(error.error),
        })?;
        sync_directory(target).map_err(failed(target))?;
        Ok(channels)
    }
}

fn directory_of(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// One moment of the database: a reader of its own, which the node's writes don't wait for.
fn copy_database(directory: &Path, copy: &Path) -> Result<u64, BackupError> {
    let source = Connection::open(directory.join(DATABASE))?;
    let name = copy.to_str().ok_or_else(|| failed(copy)(io::ErrorKind::InvalidFilename.into()))?;
    source.execute("VACUUM INTO ?1", params![name])?;
    let copied = Connection::open(copy)?;
    copied.pragma_update(None, "journal_mode", "MEMORY")?;
    copied.execute_batch("CREATE TABLE backup_files (name TEXT PRIMARY KEY, content BLOB NOT NULL)")?;
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        let entry = entry.map_err(failed(directory))?;
        let Some(name) = entry.file_name().to_str().filter(|name| is_key_file(name)).map(str::to_owned)
        else {
            continue;
        };
        let content = Zeroizing::new(fs::read(entry.path()).map_err(failed(&entry.path()))?);
        copied.execute("INSERT INTO backup_files VALUES (?1, ?2)", params![name, content.as_slice()])?;
    }
    Ok(copied.query_row("SELECT count(*) FROM channels WHERE is_over = 0", [], |row| row.get(0))?)
}
