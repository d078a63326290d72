//! Replays the fuzzers' committed corpora through the same harness.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "the harness is a module of the fuzz targets too")]

#[path = "../../../fuzz/harness/corpus.rs"]
mod corpus;
#[expect(dead_code, reason = "the simulation has more faults than the script")]
#[path = "simulation/endpoint.rs"]
mod endpoint;
#[path = "simulation/ether.rs"]
mod ether;
#[path = "../../../fuzz/harness/guard/mod.rs"]
mod guard;
#[expect(dead_code, reason = "the script has no seeds")]
#[path = "simulation/random.rs"]
mod random;
#[path = "../../../fuzz/harness/response.rs"]
mod response;

#[test]
fn guard() {
    corpus::replay("guard", guard::guard);
}

#[test]
fn response() {
    corpus::replay("response", response::response);
}
