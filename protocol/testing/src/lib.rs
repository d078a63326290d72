//! The doubles that the tests drive the core and the engine through: one of each, and nothing ships them.
//!
//! The rows of one channel are in [`disk`]; the engine's whole disk, its `Storage`, has its double beside the
//! simulation (`node/engine/tests/simulation/disk.rs`), made of these.
//!
//! | module | what it has | who uses it |
//! |---|---|---|
//! | [`batch`] | an input, and the end of its batch, applied to a channel | the core's tests, the model checker, the fuzzer |
//! | [`contract`] | the contract's model, which `protocol/model/tests/differential.rs` holds against the bytecode | all |
//! | `calls`, in [`contract`] | what the contract can be called with, and what it refuses a call with | all |
//! | [`chain`] | blocks, a pool of transactions, reorganisations | the engine's simulation |
//! | [`disk`] | a channel's record and its history of payments, and what the core has to be told of them | all |
//! | [`crypto`] | signatures that cost nothing and have the laws of the real ones | the model checker, the fuzzer |
//! | [`random`] | random numbers that a seed repeats, and the loop over the seeds | the simulations |
//! | [`values`] | amounts, nonces, payments, terms | all |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "for tests only: a double that meets the impossible has to stop"
)]

pub mod batch;
mod calls;
pub mod chain;
pub mod contract;
pub mod crypto;
pub mod disk;
pub mod random;
pub mod values;

pub use disk::{Disk, Row};
pub use random::{Random, for_each_seed};
