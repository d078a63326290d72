//! Backups: one file with a consistent copy of the database, the node's key and the wallet's key
//! file, which stays encrypted. A restored channel may be older than what was signed since, so it
//! comes back *lost* (rule 9 of docs/protocol.md).
//!
//! The file is a header, the Keccak-256 hash of the rest, and the rest: an SQLite database with the
//! key files in a table of their own. The wallet's password is not in it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use alloy_primitives::Keccak256;
use libp2p::identity::Keypair;
use rusqlite::{Connection, params};
use tempfile::{NamedTempFile, TempDir};
use thunder_chain::keys::is_keyfile;
use thunder_protocol::Address;
use zeroize::Zeroizing;

use crate::keys::{private_options, sync_directory};
use crate::store::{Store, StoreError};

const MAGIC: &[u8] = b"thunder backup ";
const HEADER: &[u8; 17] = b"thunder backup 1\n";
const DATABASE: &str = "thunder.db";
const LOG: &str = "thunder.db-wal";
const NODE_KEY: &str = "node.key";
const WALLET: &str = "wallet.json";
/// A restored directory that is complete, and is put in place by the next start.
const READY: &str = "restored";
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
    /// What is to be replaced is something else.
    #[error("{0} is there already, and is not a backup of a Thunder node")]
    NoBackup(PathBuf),
    /// It is done, and not known to be on the disk.
    #[error("the backup was put in place, and {path} can't be written for good: {source}")]
    Unsure {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for BackupError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> BackupError + '_ {
    move |source| BackupError::File { path: path.into(), source }
}

/// Writes a backup of a running node's `directory` to `to`, whole or not at all. Returns how many
/// channels in it are not over.
pub fn write(directory: &Path, to: &Path, overwrite: bool) -> Result<u64, BackupError> {
    if to.symlink_metadata().is_ok() {
        if !overwrite {
            return Err(BackupError::Exists(to.into()));
        }
        if !is_backup(to).map_err(failed(to))? {
            return Err(BackupError::NoBackup(to.into()));
        }
    }
    let target = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
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
    let mut file = NamedTempFile::new_in(target).map_err(failed(to))?;
    seal(&copy, file.as_file_mut()).map_err(failed(to))?;
    let put = if overwrite { file.persist(to) } else { file.persist_noclobber(to) };
    put.map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(to.into()),
        _ => failed(to)(error.error),
    })?;
    sync_directory(target).map_err(failed(target))?;
    Ok(channels)
}

fn is_backup(path: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut start)?;
    Ok(start == MAGIC)
}

/// A copy must not fill the disk that the node itself writes to.
fn require_room(directory: &Path, size: u64) -> Result<(), BackupError> {
    let free = fs4::available_space(directory).map_err(failed(directory))?;
    // The copy, its own log, and the reserve.
    let needed = size.saturating_mul(2).saturating_add(RESERVE);
    if free >= needed { Ok(()) } else { Err(BackupError::NoRoom { path: directory.into(), free, needed }) }
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
    Ok(copied.query_row("SELECT count(*) FROM channels WHERE over = 0", [], |row| row.get(0))?)
}

/// The names that a backup may hold: never a path, never the password.
fn is_key_file(name: &str) -> bool {
    let earlier = |name: &str| {
        let time = name.strip_prefix("wallet-until-").and_then(|rest| rest.strip_suffix(".json"));
        time.is_some_and(|time| !time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit()))
    };
    name == NODE_KEY || name == WALLET || earlier(name)
}

fn seal(database: &Path, to: &mut File) -> io::Result<()> {
    let mut writer = BufWriter::new(to);
    writer.write_all(HEADER)?;
    writer.write_all(&[0; 32])?;
    let hash = copy_hashed(&mut File::open(database)?, &mut writer)?;
    writer.seek(SeekFrom::Start(HEADER.len() as u64))?;
    writer.write_all(&hash)?;
    writer.flush()?;
    writer.get_ref().sync_all()
}

fn copy_hashed(from: &mut impl Read, to: &mut impl Write) -> io::Result<[u8; 32]> {
    let mut hasher = Keccak256::new();
    let mut buffer = Zeroizing::new(vec![0; 1 << 16]);
    loop {
        let count = from.read(&mut buffer)?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else { break };
        hasher.update(read);
        to.write_all(read)?;
    }
    Ok(hasher.finalize().0)
}

/// A verified backup, unpacked beside the node's files, with every channel lost.
#[derive(Debug)]
pub struct Unpacked {
    scratch: TempDir,
    /// How many channels are not over.
    pub channels: u64,
    /// The wallet that the node had.
    pub wallet: Option<Address>,
}

/// Verifies a whole backup and unpacks it inside `directory`, where nothing looks at it yet.
pub fn unpack(directory: &Path, from: &Path) -> Result<Unpacked, BackupError> {
    require_room(directory, fs::metadata(from).map_err(failed(from))?.len())?;
    let scratch = scratch(directory)?;
    let database = scratch.path().join(DATABASE);
    unseal(from, &database)?;
    let damaged = |reason: &dyn std::fmt::Display| BackupError::Damaged(from.into(), reason.to_string());
    let mut node_key = false;
    let connection = Connection::open(&database)?;
    {
        let mut files = connection.prepare("SELECT name, content FROM backup_files")?;
        let mut rows = files.query([])?;
        while let Some(row) = rows.next()? {
            let (name, content): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let content = Zeroizing::new(content);
            if !is_key_file(&name) {
                return Err(damaged(&format!("it has a file {name:?}")));
            }
            if name == NODE_KEY {
                Keypair::from_protobuf_encoding(&content).map_err(|error| damaged(&error))?;
                node_key = true;
            } else if !is_keyfile(&content) {
                return Err(damaged(&format!("{name} is not a key file")));
            }
            let path = scratch.path().join(&name);
            crate::keys::write_private(&path, &content).map_err(|error| damaged(&error))?;
        }
    }
    if !node_key {
        return Err(damaged(&"it has no key of the node"));
    }
    // The key is not to be left in free pages of the database.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.execute_batch("DROP TABLE backup_files")?;
    drop(connection);
    let store = Store::open(&database)?;
    store.check_whole()?;
    let channels = store.mark_all_lost()?;
    let chain = store.identity()?;
    let wallet = chain.map(|chain| store.followed(chain.genesis)).transpose()?.flatten();
    // The last connection moves the write-ahead log into the file and removes it.
    drop(store);
    if scratch.path().join(LOG).exists() {
        return Err(failed(&database)(io::Error::other("it could not be written to its end")));
    }
    File::open(&database).and_then(|file| file.sync_all()).map_err(failed(&database))?;
    sync_directory(scratch.path()).map_err(failed(&database))?;
    Ok(Unpacked { scratch, channels, wallet })
}

fn unseal(from: &Path, to: &Path) -> Result<(), BackupError> {
    let read = failed(from);
    if !fs::metadata(from).map_err(&read)?.is_file() {
        return Err(BackupError::NotABackup(from.into()));
    }
    let mut file = BufReader::new(File::open(from).map_err(&read)?);
    let mut header = Vec::new();
    (&mut file).take(HEADER.len() as u64).read_to_end(&mut header).map_err(&read)?;
    if header != HEADER {
        return Err(match header.starts_with(MAGIC) {
            true if header.len() == HEADER.len() => BackupError::TooNew(from.into()),
            true => BackupError::Damaged(from.into(), "it is cut off".into()),
            false => BackupError::NotABackup(from.into()),
        });
    }
    let mut hash = Vec::new();
    (&mut file).take(32).read_to_end(&mut hash).map_err(&read)?;
    let mut copy = private_options().create_new(true).open(to).map_err(failed(to))?;
    if copy_hashed(&mut file, &mut copy).map_err(failed(to))?.as_slice() != hash {
        return Err(BackupError::Damaged(from.into(), "its checksum is wrong".into()));
    }
    Ok(())
}

impl Unpacked {
    /// From here on the backup is the node's state: the next start puts it in place. Before, a dying
    /// process leaves everything as it was.
    pub fn commit(self, directory: &Path) -> Result<(), BackupError> {
        let ready = directory.join(READY);
        failpoint!("restore-before");
        fs::rename(self.scratch.path(), &ready).map_err(failed(&ready))?;
        failpoint!("restore-after");
        sync_directory(directory).map_err(|source| BackupError::Unsure { path: directory.into(), source })
    }
}

/// Puts in place what was restored, and clears away what a dead process left. Dying anywhere in it is
/// made good by the next start: what is in place is no longer in the directory `restored`.
pub fn install(directory: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        let entry = entry.map_err(failed(directory))?;
        if entry.file_name().to_string_lossy().starts_with(SCRATCH) {
            fs::remove_dir_all(entry.path()).map_err(failed(&entry.path()))?;
        }
    }
    let ready = directory.join(READY);
    if !ready.is_dir() {
        return Ok(());
    }
    // Nothing is touched before the backup is on the disk under its name, and all of it has a place.
    sync_directory(directory).map_err(failed(directory))?;
    let names = waiting(&ready)?;
    // A wallet that came meanwhile is not the backup's: that one would no longer be here.
    let is_taken = |name: &OsString| name != DATABASE && name != NODE_KEY && directory.join(name).exists();
    if names.iter().any(is_taken) {
        return Err(BackupError::NotEmpty(directory.into()));
    }
    if names.iter().any(|name| name == DATABASE) {
        make_room(directory)?;
    }
    for name in names {
        let place = directory.join(&name);
        failpoint!("install-before");
        fs::rename(ready.join(&name), &place).map_err(failed(&place))?;
        failpoint!("install-after");
    }
    sync_directory(directory).map_err(failed(directory))?;
    fs::remove_dir(&ready).map_err(failed(&ready))?;
    tracing::warn!(
        "a backup was restored: every channel in it is lost until the other side helps to close it; never run the \
         node that it was made of again"
    );
    Ok(())
}

/// What is to be put in place: the database last, so that whoever moves things away after an error never
/// moves the restored one.
fn waiting(ready: &Path) -> Result<Vec<OsString>, BackupError> {
    let entries = fs::read_dir(ready).map_err(failed(ready))?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    let mut names: Vec<_> = names.collect::<Result<_, _>>().map_err(failed(ready))?;
    names.sort_by_key(|name| name == DATABASE);
    Ok(names)
}

/// Clears away the empty database of the node that the backup is restored into, if it is empty. Its
/// log first and for good: SQLite would apply it to the restored one.
fn make_room(directory: &Path) -> Result<(), BackupError> {
    let present = directory.join(DATABASE);
    if present.exists() && Store::open(&present)?.has_channels()? {
        return Err(BackupError::NotEmpty(directory.into()));
    }
    for log in [LOG, "thunder.db-shm"] {
        let log = directory.join(log);
        fs::remove_file(&log).or_else(if_missing).map_err(failed(&log))?;
    }
    sync_directory(directory).map_err(failed(directory))
}

fn if_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Whether a directory has a wallet, readable or not.
pub fn has_wallet(directory: &Path) -> bool {
    directory.join(WALLET).exists()
}

fn scratch(directory: &Path) -> Result<TempDir, BackupError> {
    tempfile::Builder::new().prefix(SCRATCH).tempdir_in(directory).map_err(failed(directory))
}
