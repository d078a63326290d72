//! Transactions that were signed and may be anywhere.

use rusqlite::params;
use thunder_chain::{ChainId, Sent};
use thunder_protocol::B256;
use thunder_protocol::codec::{decode, encode_record};

use super::{DatabaseError, SqliteStore};
use crate::store::{StorageError, TransactionLog};

impl TransactionLog for SqliteStore {
    fn identity(&self) -> Result<Option<ChainId>, StorageError> {
        Ok(Self::identity(self)?)
    }

    fn set_identity(&mut self, identity: &ChainId) -> Result<(), StorageError> {
        Ok(Self::set_identity(self, identity)?)
    }

    fn transactions(&self, genesis: B256) -> Result<Vec<Sent>, StorageError> {
        Ok(self.read_transactions(genesis)?)
    }

    fn put_transaction(&mut self, genesis: B256, sent: &Sent) -> Result<(), StorageError> {
        let record = encode_record(sent).map_err(DatabaseError::from)?;
        self.atomically(|connection| {
            connection.execute(
                "INSERT INTO transactions (genesis, channel, kind, record) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (genesis, channel, kind) DO UPDATE SET record = excluded.record",
                params![genesis.as_slice(), sent.channel.as_slice(), sent.kind.as_str(), record],
            )?;
            Ok(())
        })?;
        failpoint!("broadcast-before");
        Ok(())
    }

    fn remove_transaction(&mut self, genesis: B256, sent: &Sent) -> Result<(), StorageError> {
        let removed = self.atomically(|connection| {
            connection.execute(
                "DELETE FROM transactions WHERE genesis = ?1 AND channel = ?2 AND kind = ?3",
                params![genesis.as_slice(), sent.channel.as_slice(), sent.kind.as_str()],
            )?;
            Ok(())
        });
        Ok(removed?)
    }
}

impl SqliteStore {
    fn read_transactions(&self, genesis: B256) -> Result<Vec<Sent>, DatabaseError> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare("SELECT record FROM transactions WHERE genesis = ?1")?;
        let records = statement.query_map(params![genesis.as_slice()], |row| row.get::<_, Vec<u8>>(0))?;
        records.map(|record| Ok(decode(&record?)?)).collect()
    }
}
