//! Guard rule G4: the gas limits that no endpoint is asked for, held against what the contract's own tests
//! measure (`contracts/snapshots/Gas.json`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use thunder_guard::transactions::gas_limit;
use thunder_protocol::onchain::CallKind;

/// Every measurement of a single transaction, by the kind of call that it belongs to.
const MEASURED: [(CallKind, &[&str]); 6] = [
    (
        CallKind::Open,
        &[
            "open by allowance",
            "open by allowance, some of it left",
            "open by allowance, some of it left, a part of the amount",
            "open by allowance, unlimited",
            "openWithPermit, first",
            "openWithPermit, first, a part of the amount",
            "openWithPermit, repeated",
        ],
    ),
    (CallKind::Fund, &["fund, the rest", "fundWithPermit, first, the rest"]),
    (CallKind::Cancel, &["cancel", "cancel, receivers hold none"]),
    (
        CallKind::Close,
        &["closing", "closing, on receipt 0", "closingProposal", "FINAL", "FINAL, receivers hold none"],
    ),
    (CallKind::Challenge, &["challenge", "challenge, receiver holds none"]),
    (CallKind::Withdraw, &["withdraw", "withdraw, receivers hold none"]),
];

/// The sums of several transactions.
const SUMS: [&str; 3] = [
    "life: open with permit, FINAL",
    "life: open with permit, closing, challenge",
    "life: open with permit, closing, withdraw",
];

fn snapshot() -> BTreeMap<String, u64> {
    let texts: BTreeMap<String, String> =
        serde_json::from_str(include_str!("../../../contracts/snapshots/Gas.json")).unwrap();
    texts.into_iter().map(|(name, gas)| (name, gas.parse().unwrap())).collect()
}

#[test]
fn g4_a_gas_limit_is_a_quarter_above_all_that_was_measured_and_no_more_than_three_times() {
    let snapshot = snapshot();
    for (kind, names) in MEASURED {
        let gas = |name: &&str| *snapshot.get(*name).unwrap_or_else(|| panic!("{name:?} is not measured"));
        let most = names.iter().map(gas).max().unwrap();
        let limit = gas_limit(kind);
        assert!(4 * limit >= 5 * most, "{kind:?}: {limit} is less than a quarter above {most}");
        assert!(limit <= 3 * most, "{kind:?}: {limit} is more than three times {most}");
    }
}

#[test]
fn every_measurement_belongs_to_one_kind_of_call() {
    let named: Vec<_> = MEASURED.iter().flat_map(|(_, names)| names.iter()).chain(&SUMS).copied().collect();
    let once: BTreeSet<_> = named.iter().copied().collect();
    assert_eq!(once.len(), named.len(), "named twice");
    assert_eq!(once, snapshot().keys().map(String::as_str).collect(), "here, and in the snapshot");
}
