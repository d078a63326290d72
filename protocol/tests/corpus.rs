//! Replays the fuzzers' committed corpora through the same harness.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "the harness is a module of the fuzz targets too")]

#[path = "../../fuzz/harness/address.rs"]
mod address;
#[path = "../../fuzz/harness/amount.rs"]
mod amount;
#[path = "../../fuzz/harness/apply/mod.rs"]
mod apply;
#[path = "../../fuzz/harness/codec.rs"]
mod codec;
#[path = "../../fuzz/harness/corpus.rs"]
mod corpus;

use apply::Signing;

#[test]
fn codec() {
    corpus::replay("codec", codec::codec);
}

#[test]
fn apply() {
    corpus::replay("apply", |bytes| apply::apply(bytes, Signing::Cheap));
}

#[test]
fn apply_with_real_signatures() {
    corpus::replay("apply", |bytes| apply::apply(bytes, Signing::Real));
}

#[test]
fn amount() {
    corpus::replay("amount", amount::amount);
}

#[test]
fn address() {
    corpus::replay("address", address::address);
}
