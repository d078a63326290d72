//! Fuzz target `response`: answers of endpoints.
#![no_main]

#[path = "../harness/response.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::response(bytes));
