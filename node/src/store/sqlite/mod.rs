//! The store in one SQLite database (WAL, synchronous FULL, so that a commit is on the disk when it returns).
//!
//! The engine handles a batch of events; [`SqliteStore`] writes what they changed in one transaction, and only then
//! is anything sent, broadcast or replied. What the engine asks for meanwhile is read in that transaction.

mod channels;
mod events;
mod meta;
mod payments;
mod reader;
mod rebuild;
mod schema;
mod transactions;
mod writes;

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;

use rusqlite::Connection;
use thunder_engine::{KnownPeer, StoredChannel};
use thunder_protocol::codec::CodecError;
use thunder_protocol::{Address, B256};

use super::{NodeStore, StorageError};

pub use events::MAX_PASSING_EVENTS;
pub use reader::SqliteReader;
pub(crate) use rebuild::{open_untrusted, require_table};

/// Databases of at most so many pages (of 4 KiB) are checked whole when they are opened.
const CHECKED_PAGES: i64 = 8192;

/// Why the database can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// SQLite or the operating system refuses: disk full, read-only, damaged.
    #[error("the database can't be used: {0}")]
    Database(#[from] rusqlite::Error),
    /// The file can't be opened.
    #[error("can't open the database {path}: {source}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A record can't be read.
    #[error("a record in the database can't be read: {0}")]
    Record(#[from] CodecError),
    /// The same for a record in JSON, as release 0.0.1 has written them.
    #[error("a record in the database can't be read: {0}")]
    Json(#[from] serde_json::Error),
    /// The database was written by a later version.
    #[error(
        "the database has format {found}, and this thunderd knows formats up to {known}; use a newer thunderd"
    )]
    TooNew {
        /// The database's.
        found: i64,
        /// The newest known.
        known: i64,
    },
    /// Something in it makes no sense.
    #[error("the database is damaged: {0}")]
    Damaged(String),
}

/// The database. Clones share it.
#[derive(Clone)]
pub struct SqliteStore {
    connection: Rc<RefCell<Connection>>,
    /// Whether a transaction is open.
    is_in_transaction: Rc<Cell<bool>>,
    /// The number of the newest event that is on the disk; 0 if there is none.
    newest_event: Rc<Cell<u64>>,
}

impl SqliteStore {
    /// Opens or makes the database file.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        make_private(path)?;
        Self::prepare(Connection::open(path)?)
    }

    /// A database for a test.
    #[cfg(test)]
    pub(crate) fn in_memory() -> Self {
        Self::prepare(Connection::open_in_memory().unwrap()).unwrap()
    }

    /// Damages a database for a test.
    #[cfg(test)]
    pub(crate) fn execute(&self, sql: &str) {
        self.connection.borrow().execute_batch(sql).unwrap();
    }

    fn prepare(mut connection: Connection) -> Result<Self, DatabaseError> {
        // One that is refused is left as it is.
        schema::format_of(&connection)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // On macOS fsync leaves data in the drive's cache; F_FULLFSYNC does not. Elsewhere these do nothing.
        connection.pragma_update(None, "fullfsync", true)?;
        connection.pragma_update(None, "checkpoint_fullfsync", true)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.set_prepared_statement_cache_capacity(64);
        check(&connection)?;
        schema::migrate(&mut connection)?;
        let newest_event = Rc::new(Cell::new(events::newest(&connection)?));
        let connection = Rc::new(RefCell::new(connection));
        Ok(Self { connection, is_in_transaction: Rc::default(), newest_event })
    }

    /// Opens a transaction, unless one is open.
    fn begin(&self) -> Result<(), DatabaseError> {
        if !self.is_in_transaction.get() {
            self.connection.borrow().prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            self.is_in_transaction.set(true);
        }
        Ok(())
    }

    /// How large the database is, in bytes.
    pub fn size(&self) -> Result<u64, DatabaseError> {
        let connection = self.connection.borrow();
        let read = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
        Ok(read("page_count")?.saturating_mul(read("page_size")?))
    }

    /// Ends the transaction, if one is open. When it returns, what was written is on the disk; when it fails,
    /// nothing is.
    fn end(&self) -> Result<(), DatabaseError> {
        if !self.is_in_transaction.get() {
            return Ok(());
        }
        let result =
            self.connection.borrow().prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        if let Err(error) = result {
            self.roll_back();
            return Err(error.into());
        }
        self.is_in_transaction.set(false);
        Ok(())
    }

    /// Ends the transaction, and forgets what was written in it.
    fn roll_back(&self) {
        if self.is_in_transaction.replace(false) {
            // If even this fails, the connection is of no more use and every later call says so.
            let _ = self.connection.borrow().execute_batch("ROLLBACK");
        }
    }

    /// Runs `write` in a transaction of its own.
    fn atomically<T>(
        &self,
        write: impl FnOnce(&Connection) -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        self.begin()?;
        let result = write(&self.connection.borrow());
        match result {
            Ok(value) => {
                failpoint!("commit-before");
                self.end()?;
                failpoint!("commit-after");
                Ok(value)
            }
            Err(error) => {
                self.roll_back();
                Err(error)
            }
        }
    }
}

// What the daemon asks beside the engine: each method's SQL is in the file of its table.
impl NodeStore for SqliteStore {
    fn head(&self, genesis: B256) -> Result<Option<u64>, StorageError> {
        Ok(Self::head(self, genesis)?)
    }

    fn peers(&self) -> Result<Vec<KnownPeer>, StorageError> {
        Ok(Self::peers(self)?)
    }

    fn has_channels(&self) -> Result<bool, StorageError> {
        Ok(Self::has_channels(self)?)
    }

    fn channels_elsewhere(&self, genesis: B256) -> Result<u64, StorageError> {
        Ok(Self::channels_elsewhere(self, genesis)?)
    }

    fn channels_of_other_wallets(&self, wallet: &Address) -> Result<Vec<StoredChannel>, StorageError> {
        Ok(Self::channels_of_other_wallets(self, wallet)?)
    }

    fn newest_event(&self) -> u64 {
        self.newest_event.get()
    }

    fn prune_events(&mut self, before: u64) -> Result<u64, StorageError> {
        Ok(Self::prune_events(self, before)?)
    }

    fn size(&self) -> Result<u64, StorageError> {
        Ok(Self::size(self)?)
    }
}

/// Only the owner may read the database; SQLite gives the files beside it the same mode.
#[cfg(unix)]
fn make_private(path: &Path) -> Result<(), DatabaseError> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let file = std::fs::File::options().create(true).truncate(false).write(true).mode(0o600).open(path);
    file.and_then(|file| file.set_permissions(std::fs::Permissions::from_mode(0o600)))
        .map_err(|source| DatabaseError::File { path: path.into(), source })
}

/// On Windows a user's data directory is the user's own.
#[cfg(not(unix))]
fn make_private(_: &Path) -> Result<(), DatabaseError> {
    Ok(())
}

/// Looks at every page and every index, however large the database is.
fn check_whole(connection: &Connection) -> Result<(), DatabaseError> {
    let result: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if result == "ok" { Ok(()) } else { Err(DatabaseError::Damaged(result)) }
}

/// Looks for damage where that takes no time; in a large database it shows when the page is read.
fn check(connection: &Connection) -> Result<(), DatabaseError> {
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    if pages > CHECKED_PAGES {
        return Ok(());
    }
    let result: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if result == "ok" { Ok(()) } else { Err(DatabaseError::Damaged(result)) }
}

#[cfg(test)]
mod tests;
