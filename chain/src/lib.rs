//! Everything Ethereum: bindings of the contracts, JSON-RPC, transactions that are sent until they
//! are mined, and what the chain says of a channel.
//!
//! ethers stays inside this crate; what leaves it are the plain types of `thunder-protocol`.

mod client;
pub mod contracts;
mod error;
mod events;
pub mod follow;
pub mod keys;
mod rpc;
pub mod submit;

pub use client::{Chain, Head, Identity, NotTheChannel, STATES_AT_ONCE};
pub use error::ChainError;
pub use rpc::{InvalidRpcUrl, Rpc, RpcError, RpcUrl};
pub use thunder_protocol::{Address, Amount, B256};
