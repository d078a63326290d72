//! Transactions that were signed and may be anywhere.

use rusqlite::params;
use thunder_chain::submit::{Journal, JournalError, Sent};

use super::{Store, StoreError};

/// Where the submitter writes transactions before it broadcasts them.
pub struct TransactionLog(pub Store);

impl Store {
    /// Everything that was signed and not forgotten.
    pub fn transactions(&self) -> Result<Vec<Sent>, StoreError> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare("SELECT record FROM transactions")?;
        let records = statement.query_map([], |row| row.get::<_, String>(0))?;
        records.map(|record| Ok(serde_json::from_str(&record?)?)).collect()
    }

    /// Forgets all of them, because the chain that they were for is gone.
    pub fn clear_transactions(&self) -> Result<(), StoreError> {
        self.connection.borrow().execute("DELETE FROM transactions", [])?;
        Ok(())
    }
}

impl Journal for TransactionLog {
    fn put(&mut self, sent: &Sent) -> Result<(), JournalError> {
        let write = || -> Result<(), StoreError> {
            let record = serde_json::to_string(sent)?;
            self.0.atomically(|connection| {
                connection.execute(
                    "INSERT INTO transactions (channel, kind, record) VALUES (?1, ?2, ?3)
                     ON CONFLICT (channel, kind) DO UPDATE SET record = excluded.record",
                    params![sent.channel.as_slice(), format!("{:?}", sent.kind), record],
                )?;
                Ok(())
            })
        };
        write().map_err(|error| JournalError(error.to_string()))
    }

    fn remove(&mut self, sent: &Sent) -> Result<(), JournalError> {
        let write = || -> Result<(), StoreError> {
            self.0.atomically(|connection| {
                connection.execute(
                    "DELETE FROM transactions WHERE channel = ?1 AND kind = ?2",
                    params![sent.channel.as_slice(), format!("{:?}", sent.kind)],
                )?;
                Ok(())
            })
        };
        write().map_err(|error| JournalError(error.to_string()))
    }
}
