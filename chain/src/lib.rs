//! Everything Ethereum: what carries the guard's questions and transactions to endpoints, and what goes beside it.
//!
//! What to ask, what answers mean and which transactions to send is decided in `thunder-guard`, the pure half. Beside
//! it go balances for users, and the transactions of `thunder-deploy`.
//!
//! ethers stays inside these two crates; what leaves them are the plain types of `thunder-protocol`.

mod client;
pub mod contracts;
mod error;
mod guard_driver;
pub mod keys;
mod transaction_sender;
mod transport;

pub use client::ChainClient;
pub use error::ChainError;
pub use guard_driver::{DriverAction, GuardDriver, now_ms};
pub use thunder_guard::transactions::{CallOutcome, CallRequest, GasFunds, SignedCall, gas_limit};
pub use thunder_guard::{
    ChainIdentity, Contracts, EndpointStatus, Head, LOCAL_CHAIN_IDS, NotTheChannel, Report, Stake,
    WatchRequest, challenge_calldata, channel_address,
};
pub use thunder_protocol::{Address, Amount, B256};
pub use transaction_sender::TransactionSender;
pub use transport::{InvalidRpcUrl, RpcUrl, RpcUrls};
