//! Replays the fuzzer's committed corpus through the same harness.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "the harness is a module of the fuzz target too")]

#[path = "../../fuzz/harness/corpus.rs"]
mod corpus;
#[path = "../../fuzz/harness/keyfile.rs"]
mod keyfile;

#[test]
fn keyfile() {
    corpus::replay("keyfile", keyfile::keyfile);
}
