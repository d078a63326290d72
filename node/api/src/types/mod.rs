//! Requests and answers. Amounts are THD, written as exact decimal strings; addresses are
//! checksummed hex; heights are block numbers.

mod backup;
mod channel;
mod closing;
mod node;
mod payment;
mod receipt;
mod wallet;
mod watch;

pub use backup::*;
pub use channel::*;
pub use closing::*;
pub use node::*;
pub use payment::*;
pub use receipt::*;
pub use wallet::*;
pub use watch::*;
