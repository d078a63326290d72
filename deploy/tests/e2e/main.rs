//! End to end: a real anvil, real thunderd processes, the real thunder-cli, and what a user types.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "there is nothing outside to reach it from")]

mod accept;
#[cfg(unix)]
mod backup;
mod chain_faults;
mod challenge;
#[cfg(unix)]
mod changed_backup;
mod closing;
#[cfg(unix)]
mod console;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(unix)]
mod documents;
mod endpoint;
mod endpoint_faults;
mod flood;
mod forgeries;
mod gas;
mod guard;
mod harness;
mod hostile;
#[cfg(unix)]
mod kill;
#[cfg(unix)]
mod ledger;
mod life;
mod line;
#[cfg(target_os = "linux")]
mod logs;
#[cfg(unix)]
mod lost;
mod mallory;
#[cfg(target_os = "linux")]
mod memory;
mod metrics;
mod network;
mod opening;
mod pay_file;
mod payments;
mod refusals;
mod restart;
#[cfg(unix)]
mod secrets;
mod several;
#[cfg(unix)]
mod supervise;
mod wallet;
