//! A database that is made anew of the rows of a backup, which somebody may have changed.
//!
//! The file may also be older than what was signed.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, params, params_from_iter};
use thunder_engine::StoredChannel;
use thunder_protocol::codec::MAX_LEN;

use super::{DatabaseError, SqliteStore, check_whole, make_private, payments, schema};

/// The tables whose rows are kept, and which of their rows. No transaction is: a closing that was signed then may be
/// on an old receipt now, what is paid in now would be paid into a lost channel, and what has a nonce after those
/// would wait for ever; a challenge that is due is made anew.
const RESTORED: [(&str, &str); 5] =
    [("meta", "true"), ("channels", "true"), ("payments", "true"), ("peers", "true"), ("events", "true")];
/// The format that events came with.
const FIRST_WITH_EVENTS: i64 = 4;
/// The same of a file that nobody has signed: the chain is read again from the oldest channel on, wherever the file
/// says that it was read to, and of events there are only those of the payments.
const RESTORED_UNSIGNED: [(&str, &str); 4] = [
    ("meta", "key IN ('chain_id', 'genesis')"),
    ("channels", "true"),
    ("payments", "true"),
    ("peers", "true"),
];
/// The longest text that a row may have, in bytes.
const MAX_TEXT: usize = 4096;
/// Rows that no thunderd writes, beyond what the types say.
const IMPOSSIBLE: [(&str, &str); 4] = [
    ("payments", "channel NOT IN (SELECT id FROM channels)"),
    ("payments", "outgoing NOT IN (0, 1)"),
    // Numbers that leave room for more events than there ever are.
    ("events", "seq < 1 OR count < 1 OR seq > (1 << 60) OR count > (1 << 60)"),
    (
        "events",
        "EXISTS (SELECT 1 FROM events next WHERE next.seq > events.seq AND next.seq < events.seq + events.count)",
    ),
];

impl SqliteStore {
    /// Whether any channel was ever agreed on.
    pub fn has_channels(&self) -> Result<bool, DatabaseError> {
        Ok(self.connection.borrow().prepare_cached("SELECT 1 FROM channels")?.exists([])?)
    }

    /// Makes a database at `to` of the rows of the file `from`, under the own schema. Nothing else of the file
    /// survives or is ever run: no trigger, view, index, default or unknown table.
    pub fn rebuild(from: &Path, to: &Path, is_signed: bool) -> Result<Self, DatabaseError> {
        let source = open_untrusted(from)?;
        make_private(to)?;
        let mut fresh = Connection::open(to)?;
        // In the format of the file first, which is then brought to the newest like any other.
        let format = schema::format_of(&source)?;
        schema::create(&mut fresh, format)?;
        fresh.pragma_update(None, "foreign_keys", true)?;
        let transaction = fresh.transaction()?;
        let kept = if is_signed { &RESTORED[..] } else { &RESTORED_UNSIGNED };
        for (table, rows) in kept {
            if *table != "events" || format >= FIRST_WITH_EVENTS {
                copy_rows(&source, &transaction, table, rows)?;
            }
        }
        transaction.commit()?;
        let store = Self::prepare(fresh)?;
        store.check_rows()?;
        if !is_signed {
            store.renumber_events()?;
        }
        Ok(store)
    }

    /// Reads every row, as it is read when it is needed.
    fn check_rows(&self) -> Result<(), DatabaseError> {
        self.identity()?;
        self.peers()?;
        let connection = self.connection.borrow();
        let mut statement = connection.prepare(&format!("SELECT {} FROM payments", payments::COLUMNS))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            payments::read(row)?;
        }
        for (table, rows) in IMPOSSIBLE {
            if connection.prepare(&format!("SELECT 1 FROM {table} WHERE {rows}"))?.exists([])? {
                return Err(DatabaseError::Damaged(format!("the table {table} has an impossible row")));
            }
        }
        Ok(())
    }

    /// Replaces every channel by what `mark` makes of it (rule 9). What else is in its row follows from the state.
    pub fn mark_all_lost<E: From<DatabaseError>>(
        &self,
        mark: impl FnMut(StoredChannel) -> Result<StoredChannel, E>,
    ) -> Result<(), E> {
        self.atomically(|connection| {
            // With 0 the payments of a proposal are found by its nonce alone.
            Ok(connection.execute("UPDATE channels SET pending_from = 0", [])?)
        })?;
        let stored = self.read_channels("length(?1) = 0", &[])?;
        let marked = stored.into_iter().map(mark).collect::<Result<Vec<_>, _>>()?;
        Ok(self.atomically(|connection| marked.iter().try_for_each(|stored| replace(connection, stored)))?)
    }
}

/// Opens a file for reading that may have been made to do harm. Only [real tables](require_table) of it are read.
pub(crate) fn open_untrusted(path: &Path) -> Result<Connection, DatabaseError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    for trusting in [
        DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA,
        DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER,
        DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW,
    ] {
        connection.set_db_config(trusting, false)?;
    }
    connection.pragma_update(None, "cell_size_check", true)?;
    check_whole(&connection)?;
    Ok(connection)
}

/// Makes sure that a name is that of a table, and not of a view or of a virtual table, which would run something.
pub(crate) fn require_table(source: &Connection, name: &str) -> Result<(), DatabaseError> {
    let kind = "SELECT type FROM pragma_table_list WHERE schema = 'main' AND name = ?1";
    let kind: String = source.query_row(kind, params![name], |row| row.get(0))?;
    if kind == "table" { Ok(()) } else { Err(DatabaseError::Damaged(format!("{name} is not a table"))) }
}

/// Copies the rows of a table, if they have values of the kinds that its columns have here.
fn copy_rows(source: &Connection, fresh: &Connection, table: &str, rows: &str) -> Result<(), DatabaseError> {
    require_table(source, table)?;
    let mut columns = fresh.prepare("SELECT name, type FROM pragma_table_info(?1)")?;
    let columns = columns.query_map(params![table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let columns: Vec<(String, String)> = columns.collect::<Result<_, _>>()?;
    let names: Vec<_> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let (names, places) = (names.join(", "), vec!["?"; names.len()].join(", "));
    let mut insert = fresh.prepare(&format!("INSERT INTO {table} ({names}) VALUES ({places})"))?;
    let mut select = source.prepare(&format!("SELECT {names} FROM {table} WHERE {rows}"))?;
    let mut found = select.query([])?;
    while let Some(row) = found.next()? {
        let value = |(index, (name, kind)): (usize, &(String, String))| {
            let wrong = || DatabaseError::Damaged(format!("{table}.{name} has a value of another kind"));
            checked(kind, row.get_ref(index)?).ok_or_else(wrong)
        };
        let values = columns.iter().enumerate().map(value).collect::<Result<Vec<_>, _>>()?;
        insert.execute(params_from_iter(values))?;
    }
    Ok(())
}

/// A value, if it is of the kind that the column is declared with, and not too long.
fn checked(kind: &str, value: ValueRef<'_>) -> Option<Value> {
    match (kind, value) {
        // Where there must be a value, the own schema says so.
        (_, ValueRef::Null) => Some(Value::Null),
        ("INTEGER", ValueRef::Integer(number)) => Some(Value::Integer(number)),
        ("TEXT", ValueRef::Text(text)) if text.len() <= MAX_TEXT => {
            String::from_utf8(text.to_vec()).ok().map(Value::Text)
        }
        ("BLOB", ValueRef::Blob(bytes)) if bytes.len() <= MAX_LEN => Some(Value::Blob(bytes.to_vec())),
        _ => None,
    }
}

fn replace(connection: &Connection, stored: &StoredChannel) -> Result<(), DatabaseError> {
    let setup = stored.channel.setup();
    connection.execute(
        "UPDATE channels SET address = ?2, wallet = ?3, partner = ?4, is_over = ?5, state = ?6 WHERE id = ?1",
        params![
            stored.id,
            setup.terms().channel.as_slice(),
            setup.party(setup.role()).as_slice(),
            setup.partner().as_slice(),
            stored.is_over,
            stored.channel.encode()?
        ],
    )?;
    Ok(())
}
