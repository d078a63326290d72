//! Fuzz target `keyfile`: the reader of key files.
#![no_main]

#[path = "../harness/keyfile.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::keyfile(bytes));
