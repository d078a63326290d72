//! Runs the real `thunder-cli`: alone, and with a stand-in for thunderd.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

mod common;
#[cfg(unix)]
mod daemon;
#[cfg(unix)]
mod fake;
mod usage;
