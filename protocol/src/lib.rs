//! The pure core of Thunder: receipts, the messages between nodes, and the state machine of a channel.
//!
//! It decides what a channel's owner signs (EIP-712 digests), stores, sends and asks of the chain.
//!
//! Nothing here waits, reads a clock, draws a random number or touches a file or a socket. The
//! engine feeds [`Channel::apply`] with [`Input`]s and has the [`Effects`] carried out in their one
//! fixed order; every rule that protects money is decided in this crate and can be tested, model
//! checked and fuzzed without a network, a disk or a chain.

#![warn(clippy::wildcard_enum_match_arm)]

mod amount;
pub mod channel;
pub mod codec;
mod crypto;
mod deployment;
mod eip712;
pub mod onchain;
mod receipt;
mod watch;
pub mod wire;

pub use alloy_primitives::{Address, B256, address, hex};
pub use amount::{Amount, DECIMALS, ParseAmountError};
pub use channel::{Channel, Context, Effects, Input, Transition};
pub use crypto::{Crypto, InvalidSecretKey, Signature, Signer, recover};
pub use deployment::{ChainIdentity, Contracts, LOCAL_CHAIN_IDS, channel_address, clone_code, create2};
pub use eip712::{Domain, backup_digest, message, node_binding_digest};
pub use receipt::{
    AgreedReceipt, Balances, InvalidText, Memo, Nonce, Payment, PaymentId, Receipt, Role, Signatures,
};
pub use watch::{Stake, WatchRequest};
