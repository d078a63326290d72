//! Fuzz target `guard`: the guard against its endpoints.
#![no_main]

#[expect(dead_code, reason = "the simulation has more faults than the script")]
#[path = "../../chain/guard/tests/simulation/endpoint.rs"]
mod endpoint;
#[path = "../../chain/guard/tests/simulation/ether.rs"]
mod ether;
#[path = "../harness/guard/mod.rs"]
mod harness;
#[expect(dead_code, reason = "the script has no seeds")]
#[path = "../../chain/guard/tests/simulation/random.rs"]
mod random;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| harness::guard(bytes));
