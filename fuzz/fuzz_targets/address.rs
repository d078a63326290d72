#![no_main]

#[path = "../harness/address.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::address(bytes));
