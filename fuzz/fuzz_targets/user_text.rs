//! Fuzz target `user_text`: the parsers of what users type.
#![no_main]

#[path = "../../node/src/p2p/address.rs"]
mod address;
#[path = "../harness/user_text.rs"]
mod harness;

use address::PeerAddress;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::user_text(bytes));
