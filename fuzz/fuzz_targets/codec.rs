//! Fuzz target `codec`: every decoder that takes bytes from a peer or from the disk.
#![no_main]

#[path = "../harness/codec.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::codec(bytes));
