//! The most gas that each call takes (guard rule G4): no advice is needed for a gas limit.

use thunder_protocol::onchain::CallKind;

/// The gas limit of a call: a quarter more than the most that was measured. `tests/gas.rs` holds it against
/// `contracts/snapshots/Gas.json`. What is not used is not paid.
pub const fn gas_limit(kind: CallKind) -> u64 {
    match kind {
        CallKind::Open => 245_000,
        CallKind::Fund => 110_000,
        CallKind::Cancel => 108_000,
        // A FINAL receipt pays out.
        CallKind::Close => 116_000,
        CallKind::Challenge => 86_000,
        CallKind::Withdraw => 107_000,
    }
}

/// An estimate that may raise a gas limit, on chains that count otherwise than Ethereum: a quarter more
/// than the estimate, at most four times the known limit.
pub(crate) fn with_estimate(kind: CallKind, estimate: u128) -> u64 {
    let known = gas_limit(kind);
    let wanted = u64::try_from(estimate.saturating_add(estimate / 4)).unwrap_or(u64::MAX);
    wanted.clamp(known, 4 * known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g4_an_absurd_estimate_makes_no_absurd_gas_limit() {
        let known = gas_limit(CallKind::Open);
        assert_eq!(with_estimate(CallKind::Open, 0), known);
        assert_eq!(with_estimate(CallKind::Open, u128::MAX), 4 * known);
        assert_eq!(with_estimate(CallKind::Open, 400_000), 500_000);
    }
}
