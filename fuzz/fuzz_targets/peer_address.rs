#![no_main]

#[path = "../../node/src/p2p/address.rs"]
mod address;
#[path = "../harness/peer_address.rs"]
mod harness;

use address::PeerAddress;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::peer_address(bytes));
