//! What a node of an earlier release makes of messages that have got new fields since.

use serde::Deserialize;
use thunder_protocol::codec::{decode, encode};
use thunder_protocol::wire::{OpenPolicy, OpenRefuse, OpenRefuseReason};
use thunder_protocol::{Amount, B256};

/// As 0.0.1 defines it.
#[derive(Debug, PartialEq, Deserialize)]
struct OpenRefuseOf001 {
    half_a: B256,
    reason: OpenRefuseReason,
}

#[test]
fn an_older_node_reads_a_refusal_without_the_policy() {
    let (half_a, reason) = (B256::repeat_byte(7), OpenRefuseReason::BadTerms);
    for policy in [OpenPolicy::Nobody, OpenPolicy::KnownOnly, OpenPolicy::AtLeast(Amount::ONE_THD)] {
        let bytes = encode(&OpenRefuse { half_a, reason, policy: Some(policy) }).unwrap();
        assert_eq!(decode::<OpenRefuseOf001>(&bytes).unwrap(), OpenRefuseOf001 { half_a, reason });
    }
}

/// Byte for byte: { 0: half of the salt, 1: reason }.
#[test]
fn a_refusal_for_another_reason_is_what_it_was() {
    let refuse = OpenRefuse { half_a: B256::ZERO, reason: OpenRefuseReason::OtherChain, policy: None };
    let bytes = encode(&refuse).unwrap();
    assert_eq!((bytes[0], bytes[1], &bytes[bytes.len() - 2..]), (0xa2, 0x00, &[0x01, 0x00][..]));
    assert_eq!(decode::<OpenRefuse>(&bytes).unwrap(), refuse);
}
