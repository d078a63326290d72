#![no_main]

#[path = "../harness/apply/mod.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::apply(bytes, harness::Signing::Cheap));
