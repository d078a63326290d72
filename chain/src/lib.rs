//! Everything Ethereum. What to ask, what answers mean and which transactions to send is decided in
//! `thunder-guard`, the pure half; here is what carries its questions and transactions to endpoints, and
//! what is asked beside it: balances, and the transactions of accounts that are used by hand.
//!
//! ethers stays inside these two crates; what leaves them are the plain types of `thunder-protocol`.

mod account;
mod client;
mod clock;
pub mod contracts;
mod driver;
mod error;
pub mod keys;
mod transport;

pub use account::Account;
pub use client::Chain;
pub use clock::now_ms;
pub use driver::{Driver, Step};
pub use error::ChainError;
pub use thunder_guard::transactions::{GasFunds, Outcome, Request, Sent, gas_limit};
pub use thunder_guard::{
    ChainId, Contracts, EndpointStatus, Head, LOCAL_CHAIN_IDS, NotTheChannel, Report, Stake, Watch,
    challenge_calldata, channel_address,
};
pub use thunder_protocol::{Address, Amount, B256};
pub use transport::{InvalidRpcUrl, RpcUrl, RpcUrls};
