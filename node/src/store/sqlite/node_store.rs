//! What the daemon asks beside the engine: each method's SQL is in the file of its table.

use thunder_engine::{KnownPeer, StoredChannel, StoredPayment};
use thunder_protocol::{Address, B256};

use super::SqliteStore;
use crate::store::{NodeStore, PaymentQuery, StorageError};

impl NodeStore for SqliteStore {
    fn head(&self, genesis: B256) -> Result<Option<u64>, StorageError> {
        Ok(Self::head(self, genesis)?)
    }

    fn peers(&self) -> Result<Vec<KnownPeer>, StorageError> {
        Ok(Self::peers(self)?)
    }

    fn has_channels(&self) -> Result<bool, StorageError> {
        Ok(Self::has_channels(self)?)
    }

    fn channels_elsewhere(&self, genesis: B256) -> Result<u64, StorageError> {
        Ok(Self::channels_elsewhere(self, genesis)?)
    }

    fn channels_of_other_wallets(&self, wallet: &Address) -> Result<Vec<StoredChannel>, StorageError> {
        Ok(Self::channels_of_other_wallets(self, wallet)?)
    }

    fn payments(&self, query: &PaymentQuery) -> Result<Vec<StoredPayment>, StorageError> {
        Ok(Self::payments(self, query)?)
    }

    fn size(&self) -> Result<u64, StorageError> {
        Ok(Self::size(self)?)
    }
}
