//! The node: `thunderd` as a library.
//!
//! [`start`] puts it together: the command line, the data directory and its lock, the keys, the
//! disk, the network, the chain task, the local socket, and the daemon's one loop around it all.

#[macro_use]
mod failpoint;

pub mod backup;
mod chain_task;
pub mod config;
pub mod daemon;
pub mod data_dir;
pub mod events;
pub mod keys;
pub mod log;
pub mod metrics;
mod metrics_server;
pub mod p2p;
pub mod rpc;
pub mod start;
pub mod store;
mod supervise;
mod units;
