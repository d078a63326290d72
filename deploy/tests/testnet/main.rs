//! `thunder-deploy testnet`, `thd` and `mine`, on a real anvil.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod guard;
mod running;
mod thd;
