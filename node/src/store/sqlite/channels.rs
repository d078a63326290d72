//! Channels on disk.

use rusqlite::{OptionalExtension, params};
use thunder_engine::StoredChannel;
use thunder_protocol::{Address, B256, Channel};

use super::{DatabaseError, SqliteStore};

impl SqliteStore {
    /// Whether a channel ever had this address, on whatever chain.
    pub fn knows_address(&self, address: &Address) -> Result<bool, DatabaseError> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare_cached("SELECT 1 FROM channels WHERE address = ?1")?;
        Ok(statement.exists(params![address.as_slice()])?)
    }

    /// The channels of a chain, oldest first, without those that were given up.
    pub fn channels(&self, genesis: B256) -> Result<Vec<StoredChannel>, DatabaseError> {
        let mut channels = self.read_channels("genesis = ?1", genesis.as_slice())?;
        channels.retain(|stored| !(stored.is_over && matches!(stored.channel, Channel::Opening(_))));
        Ok(channels)
    }

    /// The channels, of whatever chain, that another wallet than this one is needed for.
    pub fn channels_of_other_wallets(&self, wallet: &Address) -> Result<Vec<StoredChannel>, DatabaseError> {
        self.read_channels("wallet <> ?1 AND is_over = 0", wallet.as_slice())
    }

    /// A row number above that of every channel that ever was.
    pub fn next_channel_row(&self) -> Result<i64, DatabaseError> {
        let highest: Option<i64> =
            self.connection.borrow().query_row("SELECT max(id) FROM channels", [], |row| row.get(0))?;
        Ok(highest.unwrap_or(0).saturating_add(1))
    }

    pub(super) fn read_channels(
        &self,
        condition: &str,
        of: &[u8],
    ) -> Result<Vec<StoredChannel>, DatabaseError> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare(&format!(
            "SELECT id, state, first_block, created, is_over, genesis FROM channels WHERE {condition} ORDER BY id"
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
            let (id, state, first_block, created, is_over, genesis) = row?;
            let genesis = B256::try_from(genesis.as_slice())
                .map_err(|_| DatabaseError::Damaged("the chain of a channel".into()))?;
            let channel = Channel::decode(&state, |nonce| self.proposed_payments(&connection, id, nonce))?;
            channels.push(StoredChannel { id, genesis, channel, first_block, created, is_over });
        }
        Ok(channels)
    }

    /// How many channels of other chains are kept but can't be used here.
    pub fn channels_elsewhere(&self, genesis: B256) -> Result<u64, DatabaseError> {
        let connection = self.connection.borrow();
        let count = connection
            .query_row(
                "SELECT count(*) FROM channels WHERE genesis <> ?1 AND is_over = 0",
                params![genesis.as_slice()],
                |row| row.get(0),
            )
            .optional()?;
        Ok(count.unwrap_or(0))
    }
}
