//! The node: `thunderd` as a library.
//!
//! [`start`] puts it together: the command line, the data directory and its lock, the keys, the
//! disk, the network, the chain task, the local socket, and the daemon's one loop around it all.

#[macro_use]
mod failpoint;

pub mod args;
pub mod backup;
mod chain_task;
pub mod console;
pub mod daemon;
pub mod data_dir;
mod decimal;
pub mod event_feed;
mod history;
pub mod keys;
pub mod limits;
pub mod metrics;
mod metrics_server;
pub mod p2p;
pub mod rpc;
pub mod start;
pub mod store;
mod supervise;
