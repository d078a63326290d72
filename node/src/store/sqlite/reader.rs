//! Reading events and payments over a connection of its own, so that readers delay no payment.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use thunder_engine::StoredPayment;
use thunder_protocol::channel::Direction;
use thunder_protocol::{Address, Nonce, PaymentId};

use super::events::{FAILED, PRUNED_KEY, RECEIVED};
use super::{DatabaseError, payments};
use crate::store::{EventReader, PaymentQuery, ProposedPayments, SettledPayment, StorageError, StoredEvent};

/// The columns of an event, as [`Group::read`] takes them, with its channel's.
const EVENTS: &str = "SELECT e.seq, e.time, e.kind, e.count, e.first, e.channel, c.address, c.partner, e.body
     FROM events e LEFT JOIN channels c ON c.id = e.channel";

/// A connection that only reads.
pub struct SqliteReader(Mutex<Connection>);

impl SqliteReader {
    /// Opens a database file that [`SqliteStore`](super::SqliteStore) has prepared.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(Self(Mutex::new(Connection::open_with_flags(path, flags)?)))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic leaves nothing half done in a connection that only reads.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_events(&self, after: u64, limit: usize) -> Result<Vec<StoredEvent>, DatabaseError> {
        let connection = self.connection();
        // From the row on that the event `after` is in: it may have more payments.
        let mut rows = connection.prepare_cached(&format!(
            "{EVENTS} WHERE e.seq >= (SELECT coalesce(max(seq), 0) FROM events WHERE seq <= ?1) ORDER BY e.seq"
        ))?;
        let mut rows = rows.query(params![after])?;
        let mut events = Vec::new();
        while events.len() < limit
            && let Some(row) = rows.next()?
        {
            if let Some(body) = row.get::<_, Option<String>>(8)? {
                let seq = row.get(0)?;
                events.extend((seq > after).then_some(StoredEvent::Other(seq, body)));
                continue;
            }
            let group = Group::read(row)?;
            let first = group.seq.max(after.saturating_add(1));
            let end = group.end().min(first.saturating_add(limit.saturating_sub(events.len()) as u64));
            events.extend(group.payments(&connection, first, end)?.into_iter().map(StoredEvent::Payment));
        }
        Ok(events)
    }

    fn read_payments(&self, query: &PaymentQuery) -> Result<Vec<SettledPayment>, DatabaseError> {
        let connection = self.connection();
        let PaymentQuery { after, before, since, until, direction, .. } = query;
        let channels = query.channels.as_ref().map_or_else(String::new, |rows| {
            let rows: Vec<_> = rows.iter().map(ToString::to_string).collect();
            format!("AND e.channel IN ({})", rows.join(", "))
        });
        let mut rows = connection.prepare(&format!(
            "{EVENTS} WHERE e.kind < 3 AND e.seq < ?1 AND e.seq + e.count - 1 > ?2 AND e.time >= ?3 AND e.time < ?4
             AND (?5 IS NULL OR (e.kind = 0) = ?5) {channels} ORDER BY e.seq DESC"
        ))?;
        let (after, before) = (after.unwrap_or(0), before.unwrap_or(u64::MAX));
        let is_in = direction.map(|direction| direction == Direction::In);
        let mut rows = rows.query(params![
            integer(before),
            integer(after),
            integer(since.unwrap_or(0)),
            integer(until.unwrap_or(u64::MAX)),
            is_in
        ])?;
        let mut found: Vec<SettledPayment> = Vec::new();
        while found.len() < query.limit
            && let Some(row) = rows.next()?
        {
            let group = Group::read(row)?;
            let end = group.end().min(before);
            let room = (query.limit - found.len()) as u64;
            let first = group.seq.max(after.saturating_add(1)).max(end.saturating_sub(room));
            found.extend(group.payments(&connection, first, end)?.into_iter().rev());
        }
        Ok(found)
    }

    /// The payments with an id, settled or not: a few, over different channels or from different partners.
    fn payments_with_id(&self, id: &PaymentId) -> Result<Vec<SettledPayment>, DatabaseError> {
        let connection = self.connection();
        let mut rows = connection.prepare_cached(&format!(
            "SELECT {}, c.address, c.partner, payments.id FROM payments JOIN channels c ON c.id = channel
             WHERE payment_id = ?1 ORDER BY payments.id DESC",
            payments::COLUMNS
        ))?;
        let mut rows = rows.query(params![id.as_str()])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let mut payment = payments::read(row)?;
            let (channel, partner) = (address(row, 7)?, address(row, 8)?);
            let event = event_of(&connection, &payment, row.get(9)?)?;
            if let Some((_, time)) = event {
                payment.time = time;
            }
            found.push(SettledPayment { seq: event.map(|(seq, _)| seq), payment, channel, partner });
        }
        Ok(found)
    }

    fn read_proposed(&self, proposals: &[ProposedPayments]) -> Result<Vec<SettledPayment>, DatabaseError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {}, c.address, c.partner, payments.id FROM payments JOIN channels c ON c.id = channel
             WHERE payments.id >= c.pending_from AND channel = ?1 AND outgoing = 1 AND nonce = ?2
             ORDER BY payments.id LIMIT ?3",
            payments::COLUMNS
        ))?;
        let mut found = Vec::new();
        for ProposedPayments { channel, nonce, count } in proposals {
            let mut rows = statement.query(params![channel, nonce.get(), count])?;
            while let Some(row) = rows.next()? {
                let (payment, id): (_, i64) = (payments::read(row)?, row.get(9)?);
                let (channel, partner) = (address(row, 7)?, address(row, 8)?);
                found.push((id, SettledPayment { seq: None, payment, channel, partner }));
            }
        }
        found.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
        Ok(found.into_iter().map(|(_, payment)| payment).collect())
    }

    fn read_pruned(&self) -> Result<u64, DatabaseError> {
        let connection = self.connection();
        let pruned = "SELECT value FROM meta WHERE key = ?1";
        let value: Option<Vec<u8>> =
            connection.query_row(pruned, params![PRUNED_KEY], |row| row.get(0)).optional()?;
        let number = value.and_then(|value| value.try_into().ok()).map(u64::from_be_bytes);
        Ok(number.unwrap_or(0))
    }
}

impl EventReader for SqliteReader {
    fn events(&self, after: u64, limit: usize) -> Result<Vec<StoredEvent>, StorageError> {
        Ok(self.read_events(after, limit)?)
    }

    fn payments(&self, query: &PaymentQuery) -> Result<Vec<SettledPayment>, StorageError> {
        let Some(id) = &query.id else { return Ok(self.read_payments(query)?) };
        let mut found = self.payments_with_id(id)?;
        found.retain(|found| {
            let StoredPayment { channel, direction, time, .. } = &found.payment;
            query.channels.as_ref().is_none_or(|channels| channels.contains(channel))
                && query.direction.is_none_or(|of| of == *direction)
                && query.since.is_none_or(|since| *time >= since)
                && query.until.is_none_or(|until| *time < until)
                && query.after.is_none_or(|after| found.seq.is_some_and(|seq| seq > after))
                && query.before.is_none_or(|before| found.seq.is_some_and(|seq| seq < before))
        });
        found.truncate(query.limit);
        Ok(found)
    }

    fn proposed(&self, proposals: &[ProposedPayments]) -> Result<Vec<SettledPayment>, StorageError> {
        Ok(self.read_proposed(proposals)?)
    }

    fn pruned(&self) -> Result<u64, StorageError> {
        Ok(self.read_pruned()?)
    }
}

/// The event's number and time of a payment in this row, if it is settled and its event is not pruned.
fn event_of(
    connection: &Connection,
    payment: &StoredPayment,
    row: i64,
) -> Result<Option<(u64, u64)>, DatabaseError> {
    let is_own = payment.direction == Direction::Out;
    let read = |row: &Row<'_>| Ok((row.get::<_, u64>(0)?, row.get(1)?, row.get::<_, i64>(2)?));
    let mut event = None;
    if let Some(nonce) = payment.nonce {
        event = connection
            .prepare_cached(
                "SELECT seq, time, first FROM events WHERE channel = ?1 AND nonce = ?2 AND kind < 2",
            )?
            .query_row(params![payment.channel, nonce.get()], read)
            .optional()?;
    }
    if event.is_none() && is_own {
        // The payments of a proposal that is settled follow each other among the channel's own ones.
        event = connection
            .prepare_cached(
                "SELECT seq, time, first FROM events
                 WHERE kind = 2 AND channel = ?1 AND first <= ?2 AND (?3 IS NULL OR nonce = ?3)
                 ORDER BY first DESC LIMIT 1",
            )?
            .query_row(params![payment.channel, row, payment.nonce.map(Nonce::get)], read)
            .optional()?;
    }
    let Some((seq, time, first)) = event else { return Ok(None) };
    let place: u64 = connection
        .prepare_cached(
            "SELECT count(*) FROM payments WHERE id >= ?1 AND id < ?2 AND channel = ?3 AND outgoing = ?4",
        )?
        .query_row(params![first, row, payment.channel, is_own], |row| row.get(0))?;
    Ok(Some((seq.saturating_add(place), time)))
}

/// The event of a receipt's payments.
struct Group {
    seq: u64,
    time: u64,
    kind: i64,
    count: u64,
    first: i64,
    row: i64,
    channel: Address,
    partner: Address,
}

impl Group {
    fn read(row: &Row<'_>) -> Result<Self, DatabaseError> {
        Ok(Self {
            seq: row.get(0)?,
            time: row.get(1)?,
            kind: row.get(2)?,
            count: row.get(3)?,
            first: row.get(4)?,
            row: row.get(5)?,
            channel: address(row, 6)?,
            partner: address(row, 7)?,
        })
    }

    /// The number after the last.
    const fn end(&self) -> u64 {
        self.seq.saturating_add(self.count)
    }

    /// The payments with the numbers from `first` on, below `end`.
    fn payments(
        &self,
        connection: &Connection,
        first: u64,
        end: u64,
    ) -> Result<Vec<SettledPayment>, DatabaseError> {
        let mut rows = connection.prepare_cached(&format!(
            "SELECT {} FROM payments WHERE id >= ?1 AND channel = ?2 AND outgoing = ?3 ORDER BY id LIMIT ?4 OFFSET ?5",
            payments::COLUMNS
        ))?;
        let (skip, count) = (first.saturating_sub(self.seq), end.saturating_sub(first));
        let is_own = self.kind != RECEIVED;
        let mut rows = rows.query(params![self.first, self.row, is_own, count, skip])?;
        let mut found = Vec::new();
        let mut seq = first;
        while let Some(row) = rows.next()? {
            let mut payment = StoredPayment { time: self.time, ..payments::read(row)? };
            if self.kind == FAILED {
                // Where the chain has decided so, the row still names the proposal.
                payment.nonce = None;
            } else if payment.nonce.is_none() {
                return Err(DatabaseError::Damaged(format!("the event {seq} is of other payments")));
            }
            let (channel, partner) = (self.channel, self.partner);
            found.push(SettledPayment { seq: Some(seq), payment, channel, partner });
            seq = seq.saturating_add(1);
        }
        Ok(found)
    }
}

fn address(row: &Row<'_>, column: usize) -> Result<Address, DatabaseError> {
    let bytes: Option<Vec<u8>> = row.get(column)?;
    let address = bytes.and_then(|bytes| Address::try_from(bytes.as_slice()).ok());
    address.ok_or_else(|| DatabaseError::Damaged("a payment is of no channel".into()))
}

/// SQLite's integers are signed.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
