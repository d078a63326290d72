#![no_main]

#[path = "../harness/amount.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::amount(bytes));
