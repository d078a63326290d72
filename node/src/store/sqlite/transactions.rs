//! Transactions that were signed and may be anywhere.

use rusqlite::types::ValueRef;
use rusqlite::{Row, params};
use thunder_chain::{ChainIdentity, SignedCall};
use thunder_protocol::codec::{decode, encode_record};
use thunder_protocol::{Address, B256, hex};

use super::{DatabaseError, SqliteStore};
use crate::store::{StorageError, TransactionLog, UnreadableTransaction};

impl TransactionLog for SqliteStore {
    fn identity(&self) -> Result<Option<ChainIdentity>, StorageError> {
        Ok(Self::identity(self)?)
    }

    fn set_identity(&mut self, identity: &ChainIdentity) -> Result<(), StorageError> {
        Ok(Self::set_identity(self, identity)?)
    }

    fn transactions(
        &self,
        genesis: B256,
    ) -> Result<Vec<Result<SignedCall, UnreadableTransaction>>, StorageError> {
        Ok(self.read_transactions(genesis)?)
    }

    fn put_transaction(&mut self, genesis: B256, sent: &SignedCall) -> Result<(), StorageError> {
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

    fn remove_transaction(&mut self, genesis: B256, sent: &SignedCall) -> Result<(), StorageError> {
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
    fn read_transactions(
        &self,
        genesis: B256,
    ) -> Result<Vec<Result<SignedCall, UnreadableTransaction>>, DatabaseError> {
        let connection = self.connection.borrow();
        let mut statement =
            connection.prepare("SELECT channel, kind, record FROM transactions WHERE genesis = ?1")?;
        let records = statement.query_map(params![genesis.as_slice()], read)?;
        Ok(records.collect::<Result<_, _>>()?)
    }
}

/// Reads a row. An error is SQLite's; a row that makes no sense is an unreadable transaction.
fn read(row: &Row<'_>) -> rusqlite::Result<Result<SignedCall, UnreadableTransaction>> {
    let (channel, kind) = (bytes(row.get_ref(0)?), bytes(row.get_ref(1)?));
    let sent = decode::<SignedCall>(bytes(row.get_ref(2)?)).map_err(|error| error.to_string());
    let sent = sent.and_then(|sent| match (sent.channel.as_slice(), sent.kind.as_str().as_bytes()) {
        key if key == (channel, kind) => Ok(sent),
        _ => Err("it is that of another transaction".to_owned()),
    });
    Ok(sent.map_err(|error| UnreadableTransaction {
        channel: Address::try_from(channel)
            .map_or_else(|_| hex::encode_prefixed(channel), |address| address.to_string()),
        kind: String::from_utf8_lossy(kind).into_owned(),
        error,
    }))
}

/// The bytes of a text or a blob; none of another value.
fn bytes(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => &[],
    }
}
