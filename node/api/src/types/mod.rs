//! Requests and answers.
//!
//! Amounts are THD, written as exact decimal strings; addresses are checksummed hex; heights are block numbers.

mod channel;
mod closing;
mod node;
mod payment;
mod receipt;
mod wallet;
mod watch;

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use thunder_protocol::Address;

pub use channel::*;
pub use closing::*;
pub use node::*;
pub use payment::*;
pub use receipt::*;
pub use wallet::*;
pub use watch::*;

/// An Ethereum address that serialises with its checksum (EIP-55).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(transparent)]
pub struct ChecksumAddress(pub Address);

impl fmt::Display for ChecksumAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Address> for ChecksumAddress {
    fn from(address: Address) -> Self {
        Self(address)
    }
}

impl Serialize for ChecksumAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}
