//! Replays the fuzzer's committed corpus through the same harness.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "the harness is a module of the fuzz target too")]

#[path = "../../fuzz/harness/corpus.rs"]
mod corpus;
#[path = "../../fuzz/harness/user_text.rs"]
mod user_text;

use thunder_node::p2p::PeerAddress;

#[test]
fn user_text() {
    corpus::replay("user_text", user_text::user_text);
}
