//! The tables `meta` and `peers`: which chain, how far it was read, and whom to be connected with.

use rusqlite::{OptionalExtension, params};
use thunder_chain::ChainIdentity;
use thunder_engine::KnownPeer;
use thunder_protocol::{Address, B256};

use super::{DatabaseError, SqliteStore};

pub(super) fn head_key(genesis: B256) -> String {
    format!("head {genesis}")
}

impl SqliteStore {
    /// The chain that the database is for.
    pub fn identity(&self) -> Result<Option<ChainIdentity>, DatabaseError> {
        let connection = self.connection.borrow();
        let read = |key: &str| -> Result<Option<Vec<u8>>, DatabaseError> {
            let value =
                connection.query_row("SELECT value FROM meta WHERE key = ?1", params![key], |row| row.get(0));
            Ok(value.optional()?)
        };
        let (Some(chain_id), Some(genesis)) = (read("chain_id")?, read("genesis")?) else { return Ok(None) };
        let damaged = || DatabaseError::Damaged("the chain's identity is unreadable".into());
        let chain_id = u64::from_be_bytes(chain_id.try_into().map_err(|_| damaged())?);
        let genesis = B256::try_from(genesis.as_slice()).map_err(|_| damaged())?;
        Ok(Some(ChainIdentity { chain_id, genesis }))
    }

    /// The chain is another one from now on. What belongs to the earlier one stays in the database,
    /// how far it was processed too, and is taken up where it was left when it is back.
    pub fn set_identity(&self, identity: &ChainIdentity) -> Result<(), DatabaseError> {
        self.atomically(|connection| {
            let write = "INSERT INTO meta (key, value) VALUES (?1, ?2)
                         ON CONFLICT (key) DO UPDATE SET value = excluded.value";
            connection.execute(write, params!["chain_id", identity.chain_id.to_be_bytes()])?;
            connection.execute(write, params!["genesis", identity.genesis.as_slice()])?;
            Ok(())
        })
    }

    /// The newest block of a chain that was read, as far as was noted.
    pub fn head(&self, genesis: B256) -> Result<Option<u64>, DatabaseError> {
        let connection = self.connection.borrow();
        let key = head_key(genesis);
        let value =
            connection.query_row("SELECT value FROM meta WHERE key = ?1", params![key], |row| row.get(0));
        let value: Option<Vec<u8>> = value.optional()?;
        Ok(value.and_then(|value| Some(u64::from_be_bytes(value.try_into().ok()?))))
    }

    /// Nodes to be connected with.
    pub fn peers(&self) -> Result<Vec<KnownPeer>, DatabaseError> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare("SELECT peer_id, address, wallet FROM peers")?;
        let rows = statement.query_map([], |row| {
            let wallet: Option<Vec<u8>> = row.get(2)?;
            let wallet = wallet.and_then(|wallet| Address::try_from(wallet.as_slice()).ok());
            Ok(KnownPeer { peer_id: row.get(0)?, address: row.get(1)?, wallet })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
