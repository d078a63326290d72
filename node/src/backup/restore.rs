//! A backup becomes a node's state.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use libp2p::identity::Keypair;
use tempfile::TempDir;
use thunder_api::{Numbered, Warning, WatchEvent};
use thunder_chain::keys::is_keyfile;
use thunder_chain::{LOCAL_CHAIN_IDS, now_ms};
use thunder_protocol::{Address, Channel};
use zeroize::Zeroizing;

use super::format::{Seal, copy_hashed};
use super::{
    BackupError, DATABASE, LOG, NODE_KEY, SCRATCH, WALLET, failed, is_key_file, require_room, scratch,
};
use crate::keys::{private_options, sync_directory, write_private};
use crate::store::sqlite::{DatabaseError, SqliteStore, open_untrusted, require_table};
use thunder_engine::{NewEvent, StoredChannel, is_inbound_pending};

/// A restored directory that is complete, and is put in place by the next start.
const READY: &str = "restored";

/// The longest key file, in bytes.
const MAX_KEY_FILE: u32 = 1 << 16;

/// A verified backup, unpacked beside the node's files, with every channel lost.
#[derive(Debug)]
pub struct Unpacked {
    scratch: TempDir,
    /// How many channels are not over.
    pub channels: u64,
    /// The wallet that the node had: the one that has signed, or that the newest channel belongs to.
    pub wallet: Option<Address>,
    /// Whether it was signed.
    pub is_signed: bool,
}

/// Verifies a whole backup and unpacks it inside `directory`, where nothing looks at it yet. One without a
/// signature is refused, unless `unsigned` says otherwise.
pub fn unpack(directory: &Path, from: &Path, unsigned: bool) -> Result<Unpacked, BackupError> {
    require_room(directory, fs::metadata(from).map_err(failed(from))?.len())?;
    // What is in the file goes into a directory of its own: only what is made of it is put in place.
    let untrusted = scratch(directory)?;
    let source = untrusted.path().join(DATABASE);
    let signer = unseal(from, &source)?;
    if signer.is_none() && !unsigned {
        return Err(BackupError::Unsigned(from.into()));
    }
    failpoint!("restore-unpack");
    let scratch = scratch(directory)?;
    let database = scratch.path().join(DATABASE);
    let store = SqliteStore::rebuild(&source, &database, signer.is_some())?;
    unpack_key_files(from, &source, scratch.path())?;
    let (channels, wallet) = mark_channels(&store, from, signer)?;
    store.skip_event_numbers(&restored_event()?)?;
    // The last connection moves the write-ahead log into the file and removes it.
    drop(store);
    if scratch.path().join(LOG).exists() {
        return Err(failed(&database)(io::Error::other("it could not be written to its end")));
    }
    File::open(&database).and_then(|file| file.sync_all()).map_err(failed(&database))?;
    sync_directory(scratch.path()).map_err(failed(&database))?;
    Ok(Unpacked { scratch, channels, wallet, is_signed: signer.is_some() })
}

/// Copies the content of a backup out of it, and returns who has signed it.
fn unseal(from: &Path, to: &Path) -> Result<Option<Address>, BackupError> {
    if !fs::metadata(from).map_err(failed(from))?.is_file() {
        return Err(BackupError::NotABackup(from.into()));
    }
    let mut file = BufReader::new(File::open(from).map_err(failed(from))?);
    let Seal { content, signature } = Seal::read(from, &mut file)?;
    let mut copy = private_options().create_new(true).open(to).map_err(failed(to))?;
    if copy_hashed(&mut file, &mut copy).map_err(failed(to))? != content {
        return Err(BackupError::Damaged(from.into(), "its checksum is wrong".into()));
    }
    Ok(signature.map(|(wallet, _)| wallet))
}

fn unpack_key_files(from: &Path, source: &Path, to: &Path) -> Result<(), BackupError> {
    let damaged = |reason: &dyn std::fmt::Display| BackupError::Damaged(from.into(), reason.to_string());
    let mut node_key = false;
    let connection = open_untrusted(source)?;
    require_table(&connection, "backup_files")?;
    if connection.prepare("SELECT 1 FROM backup_files WHERE length(content) > ?1")?.exists([MAX_KEY_FILE])? {
        return Err(damaged(&"it has a key file that is too long"));
    }
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
        write_private(&to.join(&name), &content).map_err(|error| damaged(&error))?;
    }
    if node_key { Ok(()) } else { Err(damaged(&"it has no key of the node")) }
}

/// The event that a restored node goes on from.
fn restored_event() -> Result<NewEvent, BackupError> {
    let message = "this node was restored from a backup: what happened after the backup was made is not among its events";
    let time = now_ms();
    let warning = Warning { message: message.into(), channel: None };
    let event = WatchEvent::Warning(Numbered { seq: 0, time, of: warning });
    let body = serde_json::to_string(&event).map_err(DatabaseError::from)?;
    Ok(NewEvent { time, is_kept: true, body })
}

/// Marks every channel as lost. Returns how many are not over, and whose the backup is: the signer's, or, without
/// a signature, that of the newest channel.
fn mark_channels(
    store: &SqliteStore,
    from: &Path,
    signer: Option<Address>,
) -> Result<(u64, Option<Address>), BackupError> {
    let (mut channels, mut newest) = (0, None);
    let here = store.identity()?.map(|identity| identity.genesis);
    store.mark_all_lost(|stored| {
        let (is_closed, is_nothing) = (is_closed(&stored.channel), is_inbound_pending(&stored.channel));
        let is_over = stored.is_over && (is_closed || is_nothing);
        channels += u64::from(!is_over && !is_closed);
        newest = Some(own_wallet(&stored.channel));
        let is_gone = here != Some(stored.genesis) && is_local(&stored.channel);
        let may_be_foreign = is_closed || is_nothing || is_gone;
        let channel = match signer {
            None => untrusted_channel(stored.channel, from)?,
            Some(signer) => signed_channel(stored.channel, from, signer, may_be_foreign)?,
        };
        Ok::<_, BackupError>(StoredChannel { channel, is_over, ..stored })
    })?;
    Ok((channels, signer.or(newest)))
}

fn own_wallet(channel: &Channel) -> Address {
    channel.setup().party(channel.setup().role())
}

const fn is_closed(channel: &Channel) -> bool {
    matches!(channel, Channel::Closed(_))
}

/// Whether it is on a local testnet: one that was started anew is gone for good, and its channels with it.
fn is_local(channel: &Channel) -> bool {
    LOCAL_CHAIN_IDS.contains(&channel.setup().terms().chain_id)
}

/// What becomes of a channel in a backup that a wallet has signed. It vouches for its own channels. Those of
/// other wallets it could have invented: they are there for the history alone.
fn signed_channel(
    channel: Channel,
    from: &Path,
    signer: Address,
    may_be_foreign: bool,
) -> Result<Channel, BackupError> {
    let wallet = own_wallet(&channel);
    if wallet == signer {
        return Ok(channel.mark_stale());
    }
    if !may_be_foreign {
        let channel = channel.setup().terms().channel;
        return Err(BackupError::Foreign { path: from.into(), signer, channel, wallet });
    }
    Ok(channel.for_history_only().mark_stale_untrusted())
}

/// What becomes of a channel in a backup that nobody has signed.
fn untrusted_channel(channel: Channel, from: &Path) -> Result<Channel, BackupError> {
    if channel.has_valid_receipts() {
        return Ok(channel.mark_stale_untrusted());
    }
    let address = channel.setup().terms().channel;
    let reason = format!("the receipts of channel {address} do not carry the signatures of both sides");
    Err(BackupError::Damaged(from.into(), reason))
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
    if present.exists() && SqliteStore::open(&present)?.has_channels()? {
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
