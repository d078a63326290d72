//! Model checking of the channel core that ships.
//!
//! `stateright` explores what can happen to one channel: users pay and close, messages get lost,
//! come twice and out of order, nodes die between any two steps of carrying out effects and start
//! again from disk, the chain mines or doesn't, and takes back; one of the sides may be an adversary
//! that says and posts whatever it can sign. Every transition of an honest side is
//! [`thunder_protocol::Channel::apply`] itself, and what it has after a crash is what the store got:
//! the encoded record and the payments.
//!
//! | module | what it has |
//! |---|---|
//! | [`side`] | an honest node: core, disk, and the shell that carries out effects and can die |
//! | [`hostile`] | the adversary: what it knows, says and posts |
//! | [`world`] | a state, and everything that can happen next |
//! | [`verdict`] | what must hold, and how it is decided |
//! | [`scenario`] | where a search starts, its bounds, and the search |
//! | [`fault`] | faults that the search must find |
//!
//! The contract, the disk and the signatures are the doubles of `thunder-testing`;
//! `tests/differential.rs` holds the contract against the bytecode.
//!
//! What it leaves out: amounts other than small whole numbers of THD, batches beyond a few payments,
//! refusals because the chain wasn't heard of, transaction fees, and time other than "a repetition
//! is due". Signatures are symbols ([`thunder_testing::crypto`]): whoever has no key can't make one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "for tests only: a checker that meets the impossible has to stop"
)]

pub mod fault;
pub mod hostile;
mod play;
pub mod scenario;
pub mod side;
mod start;
mod trace;
pub mod verdict;
pub mod world;

pub use fault::Fault;
pub use scenario::{Left, Scenario, is_full};
pub use verdict::Broken;
