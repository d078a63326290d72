//! Which chain, how far it was processed, and whom to be connected with.

use rusqlite::{OptionalExtension, params};
use thunder_chain::Identity;
use thunder_chain::follow::Processed;
use thunder_protocol::{Address, B256};

use super::{Store, StoreError};

/// How many processed blocks are kept.
const KEPT_BLOCKS: u64 = 256;

/// A node to be connected with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPeer {
    /// Its libp2p peer id.
    pub peer_id: String,
    /// The multiaddr it was last reached under.
    pub address: String,
    /// The wallet it has proved to speak for.
    pub wallet: Option<Address>,
}

impl Store {
    /// The chain that the database is for.
    pub fn identity(&self) -> Result<Option<Identity>, StoreError> {
        let connection = self.connection.borrow();
        let read = |key: &str| -> Result<Option<Vec<u8>>, StoreError> {
            let value =
                connection.query_row("SELECT value FROM meta WHERE key = ?1", params![key], |row| row.get(0));
            Ok(value.optional()?)
        };
        let (Some(chain_id), Some(genesis)) = (read("chain_id")?, read("genesis")?) else { return Ok(None) };
        let damaged = || StoreError::Damaged("the chain's identity is unreadable".into());
        let chain_id = u64::from_be_bytes(chain_id.try_into().map_err(|_| damaged())?);
        let genesis = B256::try_from(genesis.as_slice()).map_err(|_| damaged())?;
        Ok(Some(Identity { chain_id, genesis }))
    }

    /// The chain is another one from now on; nothing of it is processed. What belongs to the
    /// earlier one stays in the database.
    pub fn set_identity(&self, identity: &Identity) -> Result<(), StoreError> {
        self.atomically(|connection| {
            let write = "INSERT INTO meta (key, value) VALUES (?1, ?2)
                         ON CONFLICT (key) DO UPDATE SET value = excluded.value";
            connection.execute(write, params!["chain_id", identity.chain_id.to_be_bytes()])?;
            connection.execute(write, params!["genesis", identity.genesis.as_slice()])?;
            connection.execute("DELETE FROM blocks", [])?;
            Ok(())
        })
    }

    /// The newest processed blocks, oldest first.
    pub fn processed_blocks(&self) -> Result<Vec<Processed>, StoreError> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare("SELECT number, hash FROM blocks ORDER BY number")?;
        let mut rows = statement.query([])?;
        let mut blocks = Vec::new();
        while let Some(row) = rows.next()? {
            let hash: Vec<u8> = row.get(1)?;
            let hash =
                B256::try_from(hash.as_slice()).map_err(|_| StoreError::Damaged("a block hash".into()))?;
            blocks.push(Processed { number: row.get(0)?, hash });
        }
        Ok(blocks)
    }

    /// Notes, inside the current batch, that the chain is processed up to this block.
    pub fn add_processed(&self, block: &Processed, replaced_from: Option<u64>) -> Result<(), StoreError> {
        let connection = self.connection.borrow();
        if let Some(first) = replaced_from {
            connection.execute("DELETE FROM blocks WHERE number >= ?1", params![first])?;
        }
        let mut statement =
            connection.prepare_cached("INSERT OR REPLACE INTO blocks (number, hash) VALUES (?1, ?2)")?;
        statement.execute(params![block.number, block.hash.as_slice()])?;
        let mut statement = connection.prepare_cached(
            "DELETE FROM blocks WHERE number < (SELECT number FROM blocks ORDER BY number DESC LIMIT 1 OFFSET ?1)",
        )?;
        statement.execute(params![KEPT_BLOCKS - 1])?;
        Ok(())
    }

    /// Nodes to be connected with.
    pub fn peers(&self) -> Result<Vec<KnownPeer>, StoreError> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare("SELECT peer_id, address, wallet FROM peers")?;
        let rows = statement.query_map([], |row| {
            let wallet: Option<Vec<u8>> = row.get(2)?;
            let wallet = wallet.and_then(|wallet| Address::try_from(wallet.as_slice()).ok());
            Ok(KnownPeer { peer_id: row.get(0)?, address: row.get(1)?, wallet })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Remembers a node.
    pub fn remember_peer(&self, peer: &KnownPeer) -> Result<(), StoreError> {
        self.connection.borrow().execute(
            "INSERT INTO peers (peer_id, address, wallet) VALUES (?1, ?2, ?3)
             ON CONFLICT (peer_id) DO UPDATE SET address = excluded.address, wallet = excluded.wallet",
            params![peer.peer_id, peer.address, peer.wallet.map(|wallet| wallet.to_vec())],
        )?;
        Ok(())
    }
}
