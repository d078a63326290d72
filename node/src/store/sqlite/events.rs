//! The table `events`, numbered as they come: what `watch` shows and what `history` lists.
//!
//! The payments of a receipt are one row, however many they are, and have the numbers from its `seq` on in the order
//! of their own rows.

use rusqlite::{Connection, OptionalExtension, params};
use thunder_engine::{NewEvent, OwnSettlement};
use thunder_protocol::channel::PaymentStatus;
use thunder_protocol::{Channel, Nonce};

use super::{DatabaseError, SqliteStore};

/// The partner's payments of a receipt.
pub(super) const RECEIVED: i64 = 0;
/// The own payments of a receipt.
pub(super) const PAID: i64 = 1;
/// Own payments that are in no receipt.
pub(super) const FAILED: i64 = 2;
/// Another event, which is kept until it is pruned.
const KEPT: i64 = 3;
/// Another event, of which only the newest are kept.
const PASSING: i64 = 4;

/// How many events of connections, endpoints and warnings are kept.
pub const MAX_PASSING_EVENTS: u64 = 10_000;

/// How many rows are pruned in one transaction.
const PRUNED_AT_ONCE: u64 = 10_000;
/// Where the highest number of a pruned event is kept.
pub(super) const PRUNED_KEY: &str = "events pruned";
/// How many numbers are left out after a restored backup: more than a node has events before it is lost.
const SKIPPED_AFTER_RESTORE: u64 = 1 << 32;

const FORMAT_4: &str = "
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY,
        time INTEGER NOT NULL,
        -- 0: payments of the partner, 1: own ones, 2: own ones that are in no receipt, 3: another event, 4: another
        -- one, of which only the newest are kept
        kind INTEGER NOT NULL,
        -- how many numbers it has; those of payments are in the order of their rows
        count INTEGER NOT NULL,
        -- of payments: the channel's row, the receipt, and the first of the payments' rows
        channel INTEGER,
        nonce INTEGER,
        first INTEGER,
        -- of another event: in JSON, as watch shows it
        body TEXT
    );
    CREATE UNIQUE INDEX events_by_receipt ON events (channel, nonce) WHERE kind < 2;
    CREATE INDEX failed_events ON events (channel, first) WHERE kind = 2;
    CREATE INDEX passing_events ON events (seq) WHERE kind = 4;
";

/// Counts events while a batch is written.
pub(super) struct EventNumbers {
    newest: u64,
}

impl EventNumbers {
    pub(super) const fn new(newest: u64) -> Self {
        Self { newest }
    }

    pub(super) const fn newest(&self) -> u64 {
        self.newest
    }

    /// Takes this many numbers and returns the first.
    fn take(&mut self, count: u64) -> u64 {
        let first = self.newest.saturating_add(1);
        self.newest = self.newest.saturating_add(count);
        first
    }
}

/// The number of the newest event; 0 if there is none.
pub(super) fn newest(connection: &Connection) -> Result<u64, DatabaseError> {
    let newest = "SELECT seq + count - 1 FROM events ORDER BY seq DESC LIMIT 1";
    Ok(connection.query_row(newest, [], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Inserts an event that is no payment.
pub(super) fn insert_event(
    connection: &Connection,
    numbers: &mut EventNumbers,
    event: &NewEvent,
) -> Result<(), DatabaseError> {
    let NewEvent { time, is_kept, body } = event;
    let seq = numbers.take(1);
    let kind = if *is_kept { KEPT } else { PASSING };
    connection
        .prepare_cached("INSERT INTO events (seq, time, kind, count, body) VALUES (?1, ?2, ?3, 1, ?4)")?
        .execute(params![seq, time, kind, body])?;
    if !is_kept {
        connection
            .prepare_cached(
                "DELETE FROM events WHERE kind = 4 AND seq <=
                     (SELECT seq FROM events WHERE kind = 4 ORDER BY seq DESC LIMIT 1 OFFSET ?1)",
            )?
            .execute(params![MAX_PASSING_EVENTS])?;
    }
    Ok(())
}

/// The row of the payments of one receipt in one direction.
struct PaymentGroup {
    time: u64,
    kind: i64,
    count: u64,
    channel: i64,
    nonce: u64,
    first: i64,
}

impl PaymentGroup {
    /// Inserts the event, unless the receipt has one.
    fn insert(&self, connection: &Connection, numbers: &mut EventNumbers) -> Result<(), DatabaseError> {
        let Self { time, kind, count, channel, nonce, first } = self;
        let mut statement = connection.prepare_cached(
            "INSERT OR IGNORE INTO events (seq, time, kind, count, channel, nonce, first)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        let seq = numbers.newest.saturating_add(1);
        if statement.execute(params![seq, time, kind, count, channel, nonce, first])? > 0 {
            numbers.take(*count);
        }
        Ok(())
    }
}

/// Inserts the event of an own proposal that is settled.
pub(super) fn insert_own(
    connection: &Connection,
    numbers: &mut EventNumbers,
    channel: i64,
    time: u64,
    own: &OwnSettlement,
) -> Result<(), DatabaseError> {
    let OwnSettlement { nonce, count, is_paid } = own;
    let pending_from: i64 = connection
        .prepare_cached("SELECT pending_from FROM channels WHERE id = ?1")?
        .query_row(params![channel], |row| row.get(0))?;
    // The database was restored: the rows are found by the nonce alone.
    let first = if pending_from > 0 {
        Some(pending_from)
    } else {
        let first = "SELECT min(id) FROM payments WHERE channel = ?1 AND outgoing = 1 AND nonce = ?2";
        connection.query_row(first, params![channel, nonce.get()], |row| row.get(0))?
    };
    let Some(first) = first.filter(|_| *count > 0) else { return Ok(()) };
    let kind = if *is_paid { PAID } else { FAILED };
    PaymentGroup { time, kind, count: *count, channel, nonce: nonce.get(), first }.insert(connection, numbers)
}

/// Inserts the event of the partner's payments in a receipt. `inserted`: the first of their rows, if they were
/// inserted with the same input; they follow each other.
pub(super) fn insert_received(
    connection: &Connection,
    numbers: &mut EventNumbers,
    channel: i64,
    time: u64,
    nonce: Nonce,
    inserted: Option<i64>,
) -> Result<(), DatabaseError> {
    let of_receipt = "FROM payments WHERE channel = ?1 AND outgoing = 0 AND nonce = ?2";
    let first = match inserted {
        Some(first) => Some(first),
        None => {
            let first = format!("SELECT min(id) {of_receipt}");
            connection.query_row(&first, params![channel, nonce.get()], |row| row.get(0))?
        }
    };
    let Some(first) = first else { return Ok(()) };
    let count: u64 = connection
        .prepare_cached(&format!("SELECT count(*) {of_receipt} AND id >= ?3"))?
        .query_row(params![channel, nonce.get(), first], |row| row.get(0))?;
    PaymentGroup { time, kind: RECEIVED, count, channel, nonce: nonce.get(), first }
        .insert(connection, numbers)
}

impl SqliteStore {
    /// Deletes some of the oldest events before a time. The newest event stays, so that no number comes twice.
    pub fn prune_events(&self, before: u64) -> Result<u64, DatabaseError> {
        self.atomically(|connection| {
            let end = "SELECT seq, (SELECT min(seq) FROM events) FROM events
                       WHERE time >= ?1 OR seq = (SELECT max(seq) FROM events) ORDER BY seq LIMIT 1";
            let found: Option<(u64, u64)> = connection
                .query_row(end, params![before], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((end, first)) = found.filter(|(end, first)| first < end) else { return Ok(0) };
            let last = "SELECT seq FROM events WHERE seq < ?1 ORDER BY seq LIMIT 1 OFFSET ?2";
            let beyond: Option<u64> =
                connection.query_row(last, params![end, PRUNED_AT_ONCE], |row| row.get(0)).optional()?;
            let end = beyond.unwrap_or(end);
            connection.execute("DELETE FROM events WHERE seq < ?1", params![end])?;
            set_pruned(connection, end.saturating_sub(1))?;
            Ok(end.saturating_sub(first))
        })
    }

    /// Numbers the payments of a file that nobody has signed anew, above all numbers that were told before.
    pub(super) fn renumber_events(&self) -> Result<(), DatabaseError> {
        self.atomically(|connection| {
            connection.execute("DELETE FROM events", [])?;
            number_payments(connection, SKIPPED_AFTER_RESTORE)?;
            set_pruned(connection, SKIPPED_AFTER_RESTORE)
        })?;
        self.newest_event.set(newest(&self.connection.borrow())?);
        Ok(())
    }

    /// Leaves out numbers after a restored backup: events that it lacks may have had those that come next.
    pub fn skip_event_numbers(&self, event: &NewEvent) -> Result<(), DatabaseError> {
        let newest = self.newest_event.get().saturating_add(SKIPPED_AFTER_RESTORE);
        let mut numbers = EventNumbers::new(newest);
        self.atomically(|connection| insert_event(connection, &mut numbers, event))?;
        self.newest_event.set(numbers.newest());
        Ok(())
    }
}

/// Notes up to which number events can't be told any more.
fn set_pruned(connection: &Connection, number: u64) -> Result<(), DatabaseError> {
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        params![PRUNED_KEY, number.to_be_bytes()],
    )?;
    Ok(())
}

/// Events came with format 4. The payments of before have theirs in the order in which they were written; those that are
/// not settled get theirs when they are.
pub(super) fn to_format_4(connection: &Connection) -> Result<(), DatabaseError> {
    connection.execute_batch(FORMAT_4)?;
    number_payments(connection, 0)
}

/// Makes the events of all payments that are settled. The first has the number after `newest`.
fn number_payments(connection: &Connection, newest: u64) -> Result<(), DatabaseError> {
    let mut channels = connection.prepare("SELECT id, state FROM channels")?;
    let mut channels = channels.query([])?;
    connection.execute_batch(
        "CREATE TEMP TABLE receipts (time, kind, count, channel, nonce, first INTEGER PRIMARY KEY)",
    )?;
    while let Some(row) = channels.next()? {
        let (channel, state): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let state = Channel::decode(&state, |_| Ok::<_, DatabaseError>(Vec::new()))?;
        find_receipts(connection, channel, &state)?;
    }
    connection.execute(
        "INSERT INTO events (seq, time, kind, count, channel, nonce, first)
             SELECT ?1 + 1 + sum(count) OVER (ORDER BY first) - count, time, kind, count, channel, nonce, first
             FROM receipts ORDER BY first",
        params![newest],
    )?;
    connection.execute_batch("DROP TABLE receipts")?;
    Ok(())
}

/// Finds the settled payments of a channel, receipt by receipt.
fn find_receipts(connection: &Connection, channel: i64, state: &Channel) -> Result<(), DatabaseError> {
    let mut payments = connection.prepare_cached(
        "SELECT id, outgoing, nonce, time FROM payments WHERE channel = ?1 ORDER BY outgoing, id",
    )?;
    let mut payments = payments.query(params![channel])?;
    let mut open: Option<(Option<u64>, PaymentGroup)> = None;
    while let Some(row) = payments.next()? {
        let (first, is_own): (i64, bool) = (row.get(0)?, row.get(1)?);
        let (nonce, time): (Option<u64>, u64) = (row.get(2)?, row.get(3)?);
        let kind = settled_kind(state, is_own, nonce);
        if let Some((of, receipt)) = &mut open
            && (*of, Some(receipt.kind)) == (nonce, kind)
        {
            receipt.count += 1;
            continue;
        }
        put(connection, open.take())?;
        let receipt = |kind| PaymentGroup { time, kind, count: 1, channel, nonce: nonce.unwrap_or(0), first };
        open = kind.map(|kind| (nonce, receipt(kind)));
    }
    put(connection, open)
}

/// What became of a payment of before; `None` if that is open.
fn settled_kind(state: &Channel, is_own: bool, nonce: Option<u64>) -> Option<i64> {
    let Some(nonce) = nonce.and_then(Nonce::new) else { return Some(FAILED) };
    let is_agreed = state.receipts().is_some_and(|receipts| nonce <= receipts.agreed.nonce());
    match (state.status_of(nonce), is_own) {
        (PaymentStatus::Done, false) => Some(RECEIVED),
        (PaymentStatus::Done, true) => Some(PAID),
        // It was made, and the chain has taken it back.
        (PaymentStatus::Pending | PaymentStatus::Failed, false) if is_agreed => Some(RECEIVED),
        (PaymentStatus::Pending | PaymentStatus::Failed, true) if is_agreed => Some(PAID),
        (PaymentStatus::Failed, true) => Some(FAILED),
        (PaymentStatus::Pending, _) | (PaymentStatus::Failed, false) => None,
    }
}

fn put(connection: &Connection, receipt: Option<(Option<u64>, PaymentGroup)>) -> Result<(), DatabaseError> {
    let Some((_, PaymentGroup { time, kind, count, channel, nonce, first })) = receipt else { return Ok(()) };
    connection
        .prepare_cached("INSERT INTO receipts VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![time, kind, count, channel, nonce, first])?;
    Ok(())
}

#[cfg(test)]
mod tests;
