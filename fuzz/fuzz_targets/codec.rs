#![no_main]

#[path = "../harness/codec.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::codec(bytes));
