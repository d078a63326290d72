//! Fuzz target `apply`: the channel core with a hostile partner, a chain and crashes.
#![no_main]

#[allow(dead_code, reason = "real signatures are for the replay")]
#[path = "../harness/apply/mod.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::apply(bytes, harness::Signing::Cheap));
