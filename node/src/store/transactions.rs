//! Transactions that were signed and may be anywhere.

use rusqlite::params;
use thunder_chain::Sent;
use thunder_protocol::B256;
use thunder_protocol::codec::{decode, encode_record};

use super::{Store, StoreError};

/// Where the transactions of a chain are written before they are broadcast.
pub struct TransactionLog {
    store: Store,
    genesis: B256,
}

impl Store {
    /// Everything that was signed for a chain and not forgotten.
    pub fn transactions(&self, genesis: B256) -> Result<Vec<Sent>, StoreError> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare("SELECT record FROM transactions WHERE genesis = ?1")?;
        let records = statement.query_map(params![genesis.as_slice()], |row| row.get::<_, Vec<u8>>(0))?;
        records.map(|record| Ok(decode(&record?)?)).collect()
    }
}

impl TransactionLog {
    /// The log of the chain with this block 0.
    pub const fn new(store: Store, genesis: B256) -> Self {
        Self { store, genesis }
    }

    /// Writes a transaction, in place of an earlier state of it, durably, before it is broadcast.
    pub fn put(&mut self, sent: &Sent) -> Result<(), StoreError> {
        let record = encode_record(sent)?;
        self.store.atomically(|connection| {
            connection.execute(
                "INSERT INTO transactions (genesis, channel, kind, record) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (genesis, channel, kind) DO UPDATE SET record = excluded.record",
                params![self.genesis.as_slice(), sent.channel.as_slice(), sent.kind.as_str(), record],
            )?;
            Ok(())
        })?;
        failpoint!("broadcast-before");
        Ok(())
    }

    /// Forgets it.
    pub fn remove(&mut self, sent: &Sent) -> Result<(), StoreError> {
        self.store.atomically(|connection| {
            connection.execute(
                "DELETE FROM transactions WHERE genesis = ?1 AND channel = ?2 AND kind = ?3",
                params![self.genesis.as_slice(), sent.channel.as_slice(), sent.kind.as_str()],
            )?;
            Ok(())
        })
    }
}
