//! Channels on disk.

use rusqlite::{OptionalExtension, params};
use thunder_protocol::channel::{Direction, PaymentWrite, Terms};
use thunder_protocol::{Address, B256, Channel};

use super::{Store, StoreError};

/// A channel as it was left.
#[derive(Debug)]
pub struct StoredChannel {
    /// Its row.
    pub id: i64,
    /// Block 0 of its chain.
    pub genesis: B256,
    /// Its state.
    pub channel: Channel,
    /// Its events are not older than this block.
    pub since: u64,
    /// When it was agreed on, in milliseconds since 1970.
    pub created: u64,
    /// Whether it can't change any more, or was given up.
    pub over: bool,
}

impl Store {
    /// Whether a channel ever had this address, on whatever chain.
    pub fn knows_address(&self, address: &Address) -> Result<bool, StoreError> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare_cached("SELECT 1 FROM channels WHERE address = ?1")?;
        Ok(statement.exists(params![address.as_slice()])?)
    }

    /// Adds a channel, inside the current batch. Returns its row.
    pub fn add_channel(
        &self,
        channel: &Channel,
        genesis: B256,
        since: u64,
        now: u64,
    ) -> Result<i64, StoreError> {
        let Terms { channel: address, .. } = channel.setup().terms();
        let setup = channel.setup();
        let connection = self.connection.borrow();
        connection.execute(
            "INSERT INTO channels (address, genesis, wallet, partner, since, created, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                address.as_slice(),
                genesis.as_slice(),
                setup.party(setup.role()).as_slice(),
                channel.setup().partner().as_slice(),
                since,
                now,
                channel.encode()?
            ],
        )?;
        Ok(connection.last_insert_rowid())
    }

    /// Writes a channel's new state and the payments that changed with it, inside the current
    /// batch.
    pub fn write_channel(
        &self,
        id: i64,
        channel: &Channel,
        over: bool,
        writes: &[PaymentWrite],
    ) -> Result<(), StoreError> {
        let connection = self.connection.borrow();
        let moved = writes.iter().any(|write| matches!(write, PaymentWrite::Move { .. }));
        let mut first_proposed = None;
        for write in writes {
            match write {
                PaymentWrite::Insert { direction, payment, nonce, time } => {
                    let outgoing = *direction == Direction::Out;
                    let row = self.insert_payment(&connection, id, outgoing, payment, *nonce, *time)?;
                    if outgoing {
                        first_proposed.get_or_insert(row);
                    }
                }
                PaymentWrite::Move { from, to } => {
                    self.renumber_payments(&connection, id, *from, Some(*to))?
                }
                PaymentWrite::Fail { nonce } => self.renumber_payments(&connection, id, *nonce, None)?,
            }
        }
        // Payments that were moved into the new proposal are older than those inserted with it.
        if let Some(first) = first_proposed.filter(|_| !moved) {
            let mut statement =
                connection.prepare_cached("UPDATE channels SET pending_from = ?2 WHERE id = ?1")?;
            statement.execute(params![id, first])?;
        }
        let mut statement =
            connection.prepare_cached("UPDATE channels SET state = ?2, over = ?3 WHERE id = ?1")?;
        statement.execute(params![id, channel.encode()?, over])?;
        Ok(())
    }

    /// Deletes a channel that never came onto the chain and that nothing was signed for, inside the current
    /// batch.
    pub fn forget_channel(&self, id: i64) -> Result<(), StoreError> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare_cached("DELETE FROM channels WHERE id = ?1")?;
        statement.execute(params![id])?;
        Ok(())
    }

    /// Gives up a channel that was agreed on and never came onto the chain, inside the current batch. Its
    /// address stays known.
    pub fn give_up_channel(&self, id: i64) -> Result<(), StoreError> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare_cached("UPDATE channels SET over = 1 WHERE id = ?1")?;
        statement.execute(params![id])?;
        Ok(())
    }

    /// The channels of a chain, oldest first, without those that were given up.
    pub fn channels(&self, genesis: B256) -> Result<Vec<StoredChannel>, StoreError> {
        let mut channels = self.read_channels("genesis = ?1", genesis.as_slice())?;
        channels.retain(|stored| !(stored.over && matches!(stored.channel, Channel::Opening(_))));
        Ok(channels)
    }

    /// The channels, of whatever chain, that another wallet than this one is needed for.
    pub fn channels_of_other_wallets(&self, wallet: &Address) -> Result<Vec<StoredChannel>, StoreError> {
        self.read_channels("wallet <> ?1 AND over = 0", wallet.as_slice())
    }

    pub(super) fn read_channels(&self, condition: &str, of: &[u8]) -> Result<Vec<StoredChannel>, StoreError> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare(&format!(
            "SELECT id, state, since, created, over, genesis FROM channels WHERE {condition} ORDER BY id"
        ))?;
        let rows = statement.query_map(params![of], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, Vec<u8>>(1)?,
                row.get::<_, u64>(2)?,
                row.get::<_, u64>(3)?,
                row.get::<_, bool>(4)?,
                row.get::<_, Vec<u8>>(5)?,
            ))
        })?;
        let mut channels = Vec::new();
        for row in rows {
            let (id, state, since, created, over, genesis) = row?;
            let genesis = B256::try_from(genesis.as_slice())
                .map_err(|_| StoreError::Damaged("the chain of a channel".into()))?;
            let channel = Channel::decode(&state, |nonce| self.proposed_payments(&connection, id, nonce))?;
            channels.push(StoredChannel { id, genesis, channel, since, created, over });
        }
        Ok(channels)
    }

    /// How many channels of other chains are kept but can't be used here.
    pub fn channels_elsewhere(&self, genesis: B256) -> Result<u64, StoreError> {
        let connection = self.connection.borrow();
        let count = connection
            .query_row(
                "SELECT count(*) FROM channels WHERE genesis <> ?1 AND over = 0",
                params![genesis.as_slice()],
                |row| row.get(0),
            )
            .optional()?;
        Ok(count.unwrap_or(0))
    }
}
