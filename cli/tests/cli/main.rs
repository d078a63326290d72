//! Runs the real `thunder-cli`: alone, and with a scripted end of the local socket.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod common;
#[cfg(unix)]
mod daemon;
#[cfg(unix)]
mod scripted;
#[cfg(unix)]
mod snapshots;
#[cfg(unix)]
mod terminal;
mod usage;
