//! The disk of the engine: one transaction for each batch.

use rusqlite::{Connection, params};
use thunder_engine::{
    ChannelWrite, KnownPeer, NewChannel, PaymentWrites, Storage, StorageError, StoredChannel, StoredPayment,
    Writes,
};
use thunder_protocol::channel::{Direction, PaymentWrite};
use thunder_protocol::{Address, B256, Nonce, Payment, PaymentId};

use super::events::{self, EventNumbers};
use super::meta::head_key;
use super::payments::amount_to_bytes;
use super::{DatabaseError, SqliteStore};

impl From<DatabaseError> for StorageError {
    fn from(error: DatabaseError) -> Self {
        Self(error.to_string())
    }
}

impl Storage for SqliteStore {
    fn channels(&self, genesis: B256) -> Result<Vec<StoredChannel>, StorageError> {
        Ok(Self::channels(self, genesis)?)
    }

    fn next_channel_row(&self) -> Result<i64, StorageError> {
        Ok(Self::next_channel_row(self)?)
    }

    fn knows_address(&self, address: &Address) -> Result<bool, StorageError> {
        Ok(Self::knows_address(self, address)?)
    }

    // What is read once for each payment is read in the transaction that the batch is written in, and so does not
    // take the file's locks each time. If that can't be opened, neither can the batch be written, which says so.

    fn own_payments(&self, id: &PaymentId) -> Result<Vec<StoredPayment>, StorageError> {
        self.begin()?;
        Ok(Self::own_payments(self, id)?)
    }

    fn knows_payment_of_partner(&self, row: i64, id: &PaymentId) -> Result<bool, StorageError> {
        self.begin()?;
        Ok(Self::knows_payment_of_partner(self, row, id)?)
    }

    fn commit(&mut self, writes: &Writes) -> Result<(), StorageError> {
        if writes.is_empty() {
            return Ok(self.end()?);
        }
        let newest = self.atomically(|connection| write(connection, self.newest_event.get(), writes))?;
        self.newest_event.set(newest);
        Ok(())
    }

    fn discard(&mut self) {
        self.roll_back();
    }
}

/// Writes a batch, whose first event has the number after `newest`. Returns the newest number.
fn write(connection: &Connection, newest: u64, writes: &Writes) -> Result<u64, DatabaseError> {
    let Writes { opened, payments, states, forgotten, given_up, peers, head, events } = writes;
    opened.iter().try_for_each(|channel| insert_channel(connection, channel))?;
    let mut numbers = EventNumbers::new(newest);
    payments.iter().try_for_each(|writes| write_payments(connection, &mut numbers, writes))?;
    events.iter().try_for_each(|event| events::insert_event(connection, &mut numbers, event))?;
    states.iter().try_for_each(|state| write_state(connection, state))?;
    for row in forgotten {
        connection.prepare_cached("DELETE FROM channels WHERE id = ?1")?.execute(params![row])?;
    }
    for row in given_up {
        connection.prepare_cached("UPDATE channels SET is_over = 1 WHERE id = ?1")?.execute(params![row])?;
    }
    peers.iter().try_for_each(|peer| write_peer(connection, peer))?;
    if let Some((genesis, head)) = head {
        let write = "INSERT INTO meta (key, value) VALUES (?1, ?2)
                     ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        connection.prepare_cached(write)?.execute(params![head_key(*genesis), head.to_be_bytes()])?;
    }
    Ok(numbers.newest())
}

/// Inserts the row of a channel; its state comes with the others.
fn insert_channel(connection: &Connection, channel: &NewChannel) -> Result<(), DatabaseError> {
    let NewChannel { row, address, genesis, wallet, partner, first_block, created } = channel;
    connection.execute(
        "INSERT INTO channels (id, address, genesis, wallet, partner, first_block, created, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, x'')",
        params![
            row,
            address.as_slice(),
            genesis.as_slice(),
            wallet.as_slice(),
            partner.as_slice(),
            first_block,
            created
        ],
    )?;
    Ok(())
}

/// Writes the payments that changed with one input.
fn write_payments(
    connection: &Connection,
    numbers: &mut EventNumbers,
    payments: &PaymentWrites,
) -> Result<(), DatabaseError> {
    let PaymentWrites { row: channel, time, writes, settled } = payments;
    // Before another proposal takes the place of the one that it is about.
    if let Some(own) = &settled.own {
        events::insert_own(connection, numbers, *channel, *time, own)?;
    }
    let is_moved = writes.iter().any(|write| matches!(write, PaymentWrite::Move { .. }));
    let (mut first_proposed, mut first_received) = (None, None);
    for write in writes {
        match write {
            PaymentWrite::Insert { direction, payment, nonce, time } => {
                let is_outgoing = *direction == Direction::Out;
                let row = insert_payment(connection, *channel, is_outgoing, payment, *nonce, *time)?;
                let first = if is_outgoing { &mut first_proposed } else { &mut first_received };
                first.get_or_insert(row);
            }
            PaymentWrite::Move { from, to } => renumber_payments(connection, *channel, *from, Some(*to))?,
            PaymentWrite::Fail { nonce } => renumber_payments(connection, *channel, *nonce, None)?,
        }
    }
    // Payments that were moved into the new proposal are older than those inserted with it.
    if let Some(first) = first_proposed.filter(|_| !is_moved) {
        connection
            .prepare_cached("UPDATE channels SET pending_from = ?2 WHERE id = ?1")?
            .execute(params![channel, first])?;
    }
    if let Some(nonce) = settled.partner {
        events::insert_received(connection, numbers, *channel, *time, nonce, first_received)?;
    }
    Ok(())
}

fn insert_payment(
    connection: &Connection,
    channel: i64,
    is_outgoing: bool,
    payment: &Payment,
    nonce: Nonce,
    time: u64,
) -> Result<i64, DatabaseError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO payments (channel, outgoing, payment_id, amount, memo, nonce, time)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let amount = amount_to_bytes(payment.amount);
    let (id, memo) = (payment.id.as_str(), payment.memo.as_str());
    Ok(statement.insert(params![channel, is_outgoing, id, amount, memo, nonce.get(), time])?)
}

fn renumber_payments(
    connection: &Connection,
    channel: i64,
    from: Nonce,
    to: Option<Nonce>,
) -> Result<(), DatabaseError> {
    let mut statement = connection.prepare_cached(
        "UPDATE payments SET nonce = ?3
         WHERE id >= (SELECT pending_from FROM channels WHERE id = ?1)
         AND channel = ?1 AND outgoing = 1 AND nonce = ?2",
    )?;
    statement.execute(params![channel, from.get(), to.map(Nonce::get)])?;
    Ok(())
}

fn write_state(connection: &Connection, state: &ChannelWrite) -> Result<(), DatabaseError> {
    let ChannelWrite { row, state, is_over } = state;
    connection
        .prepare_cached("UPDATE channels SET state = ?2, is_over = ?3 WHERE id = ?1")?
        .execute(params![row, state, is_over])?;
    Ok(())
}

fn write_peer(connection: &Connection, peer: &KnownPeer) -> Result<(), DatabaseError> {
    let KnownPeer { peer_id, address, wallet } = peer;
    connection.execute(
        "INSERT INTO peers (peer_id, address, wallet) VALUES (?1, ?2, ?3)
         ON CONFLICT (peer_id) DO UPDATE SET address = excluded.address, wallet = excluded.wallet",
        params![peer_id, address, wallet.map(|wallet| wallet.to_vec())],
    )?;
    Ok(())
}
