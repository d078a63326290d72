//! The gas limit of each call, and what a transaction pays for gas (EIP-1559; a plain gas price on chains without it).
//! No advice is needed for either (guard rule G4).

use serde::{Deserialize, Serialize};
use thunder_protocol::onchain::CallKind;

const GWEI: u128 = 1_000_000_000;
/// The tip where an endpoint suggests none.
const DEFAULT_TIP: u128 = GWEI;
/// The most that is paid for a unit of gas.
pub const CAP: u128 = 500 * GWEI;
/// The most that a challenge pays, on which the whole channel hangs. Full blocks raise the base fee
/// seventeenfold in 24 blocks, so it is in time for every base fee up to 590 gwei at the closing.
pub const URGENT_CAP: u128 = 10_000 * GWEI;
/// The least tip of a challenge, and the least step by which it grows.
const URGENT_TIP: u128 = 2 * GWEI;
/// The most that a first attempt gives to the block's producer on an endpoint's word alone: the base
/// fee, and between these. It is raised while the transaction is not mined.
const FIRST_TIP: (u128, u128) = (3 * GWEI, 50 * GWEI);

/// Wei for a unit of gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fees {
    /// The most that is paid, base fee and tip together; without EIP-1559 exactly this.
    pub max_fee: u128,
    /// The part of the block's producer; `None` without EIP-1559.
    pub tip: Option<u128>,
}

/// What the endpoints say of fees. None of it is needed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Market {
    /// The base fee of the newest block.
    pub(crate) base_fee: Option<u128>,
    /// The tip that is suggested, or, without EIP-1559, the gas price.
    pub(crate) suggested: Option<u128>,
}

const fn cap(is_urgent: bool) -> u128 {
    if is_urgent { URGENT_CAP } else { CAP }
}

impl Fees {
    /// Fees with which the next few blocks should take an ordinary transaction, from the newest block's
    /// base fee and what an endpoint suggests.
    pub fn suggest(base_fee: Option<u128>, suggested: Option<u128>) -> Self {
        Self::first(&Market { base_fee, suggested }, false)
    }

    /// Fees with which the next few blocks should take a transaction.
    pub(crate) fn first(market: &Market, is_urgent: bool) -> Self {
        let cap = cap(is_urgent);
        let Some(base) = market.base_fee else {
            let price = market.suggested.unwrap_or(DEFAULT_TIP).min(FIRST_TIP.1);
            let price = if is_urgent { price.saturating_mul(2).max(URGENT_TIP) } else { price };
            return Self { max_fee: price.min(cap).max(1), tip: None };
        };
        let suggested = market.suggested.unwrap_or(DEFAULT_TIP).min(base.clamp(FIRST_TIP.0, FIRST_TIP.1));
        let tip = if is_urgent { suggested.saturating_mul(2).max(URGENT_TIP) } else { suggested };
        // Room for six full blocks in a row, each of which raises the base fee by an eighth; for a
        // challenge for twelve. What a block does not ask for is not paid.
        let room = if is_urgent { 4 } else { 2 };
        let max_fee = base.saturating_mul(room).saturating_add(tip).min(cap);
        Self { max_fee, tip: Some(tip.min(max_fee)) }
    }

    /// Fees that replace these, and pay what the market asks now. Mempools ask for a tenth more of a
    /// replacement; it is an eighth, for a challenge half as much again, each time. The last step before
    /// the cap may be smaller, as long as mempools take it. `None` at the cap.
    pub(crate) fn raised(&self, market: &Market, is_urgent: bool) -> Option<Self> {
        let now = Self::first(market, is_urgent);
        let least = |fee: u128| fee.saturating_add(fee / 8).saturating_add(1);
        let more = |fee: u128| match is_urgent {
            true => fee.saturating_add((fee / 2).max(URGENT_TIP / 2)),
            false => least(fee),
        };
        let tip = self.tip.map(|tip| more(tip).max(now.tip.unwrap_or(0)));
        // The tip and twice the base fee fit under the most that is paid.
        let room =
            tip.zip(market.base_fee).map_or(0, |(tip, base)| base.saturating_mul(2).saturating_add(tip));
        let max_fee = least(self.max_fee).max(now.max_fee).max(room).min(cap(is_urgent));
        if max_fee < self.max_fee.saturating_add(self.max_fee / 10).saturating_add(1) {
            return None;
        }
        Some(Self { max_fee, tip: tip.map(|tip| tip.min(max_fee)) })
    }

    /// Fees that replace both these and `other`: at least a tenth above each, as far as the cap allows.
    /// What was offered up to a higher cap is not outbid.
    pub(crate) fn above(self, other: Option<Fees>, is_urgent: bool) -> Self {
        let Some(other) = other else { return self };
        let least = |fee: u128| fee.saturating_add(fee / 8).saturating_add(1);
        let max_fee = self.max_fee.max(least(other.max_fee)).min(cap(is_urgent));
        let tip = self.tip.map(|tip| tip.max(least(other.tip.unwrap_or(0))).min(max_fee));
        Self { max_fee, tip }
    }

    /// Whether mempools take these in place of others.
    pub(crate) const fn replaces(&self, other: &Self) -> bool {
        self.max_fee > other.max_fee.saturating_add(other.max_fee / 10)
    }

    /// Half of these fees, but no less than the next block asks for; for an account that can't pay them.
    /// `None` if they are as low as that.
    pub(crate) fn lowered(&self, market: &Market) -> Option<Self> {
        let least = market.base_fee.map_or(1, |base| base.saturating_add(base / 8).saturating_add(1));
        let max_fee = (self.max_fee / 2).max(least);
        (max_fee < self.max_fee).then(|| Self { max_fee, tip: self.tip.map(|tip| tip.min(max_fee)) })
    }

    /// The fees that an account with this balance can pay for `gas` units: less than would be prudent,
    /// if that is all it has and a block would still take it.
    pub(crate) fn affordable(self, base_fee: Option<u128>, balance: Option<u128>, gas: u64) -> Self {
        let Some(per_gas) = balance.map(|balance| balance / u128::from(gas.max(1))) else { return self };
        let least = base_fee.unwrap_or(self.max_fee).saturating_add(1);
        if per_gas >= self.max_fee || per_gas < least {
            return self;
        }
        Self { max_fee: per_gas, tip: self.tip.map(|tip| tip.min(per_gas)) }
    }

    /// The most that a transaction with this much gas costs, in wei.
    pub fn cost(&self, gas: u64) -> u128 {
        self.max_fee.saturating_mul(u128::from(gas))
    }
}

/// What an account has for gas, and what a unit of it costs now; in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GasFunds {
    /// What the account has.
    pub balance: u128,
    /// Base fee and tip of the newest block, or the gas price.
    pub price: u128,
}

impl GasFunds {
    /// What is missing to pay for `gas` units at `multiple` times the present price: how much that is,
    /// what there is, and the difference, in ether. `None` if there is enough.
    pub fn shortage(&self, gas: u64, multiple: u128) -> Option<[String; 3]> {
        let needed = u128::from(gas).saturating_mul(self.price).saturating_mul(multiple);
        shortage(needed, self.balance)
    }
}

/// What is needed, what there is, and the difference, in ether; `None` if there is enough.
pub fn shortage(needed: u128, available: u128) -> Option<[String; 3]> {
    let missing = needed.checked_sub(available).filter(|missing| *missing > 0)?;
    Some([short_ether(needed), short_ether(available), short_ether(missing.saturating_add(GWEI - 1))])
}

/// Wei as ether, with at most nine decimals.
fn short_ether(wei: u128) -> String {
    const DECIMALS: u128 = 1_000_000_000;
    let gwei = wei / GWEI;
    let text = format!("{}.{:09}", gwei / DECIMALS, gwei % DECIMALS);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

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

    fn market(base: u128, tip: u128) -> Market {
        Market { base_fee: Some(base), suggested: Some(tip) }
    }

    #[test]
    fn g4_an_absurd_tip_is_no_first_offer() {
        let fees = Fees::first(&market(GWEI, 490 * GWEI), false);
        assert_eq!(fees, Fees { max_fee: 5 * GWEI, tip: Some(3 * GWEI) });
        let both = Fees::first(&market(u128::MAX, u128::MAX), true);
        assert_eq!(both, Fees { max_fee: URGENT_CAP, tip: Some(100 * GWEI) });
        assert_eq!(Fees::first(&market(GWEI, 0), false).tip, Some(0));
        let nothing = Fees::first(&Market::default(), true);
        assert_eq!(nothing, Fees { max_fee: 2 * GWEI, tip: None });
    }

    #[test]
    fn a_replacement_pays_an_eighth_more_and_what_the_market_asks() {
        let fees = Fees { max_fee: 80 * GWEI, tip: Some(GWEI) };
        let raised = fees.raised(&market(GWEI, GWEI), false).unwrap();
        assert_eq!(raised, Fees { max_fee: 90 * GWEI + 1, tip: Some(GWEI + GWEI / 8 + 1) });
        let spike = fees.raised(&market(200 * GWEI, GWEI), false).unwrap();
        assert_eq!(spike.max_fee, 401 * GWEI + GWEI / 8 + 1);
        let urgent = fees.raised(&market(GWEI, GWEI), true).unwrap();
        assert_eq!(urgent.tip, Some(2 * GWEI), "twice what is suggested, and half as much again");
    }

    #[test]
    fn a_challenge_that_is_not_mined_reaches_the_cap_well_within_its_time() {
        let calm = market(GWEI, GWEI);
        let mut fees = Fees::first(&calm, true);
        let mut raises = 0;
        while let Some(next) = fees.raised(&calm, true) {
            assert!(next.max_fee > fees.max_fee + fees.max_fee / 10 && next.tip > fees.tip);
            (fees, raises) = (next, raises + 1);
            if fees.tip >= Some(500 * GWEI) {
                break;
            }
        }
        assert!(raises <= 14, "500 gwei after {raises} blocks");
    }

    #[test]
    fn fees_end_at_the_cap_which_is_higher_for_a_challenge() {
        let calm = market(GWEI, GWEI);
        let high = Fees { max_fee: CAP, tip: Some(GWEI) };
        assert_eq!(high.raised(&calm, false), None);
        assert!(high.raised(&calm, true).is_some());
        let nearly = Fees { max_fee: URGENT_CAP / 100 * 90, tip: Some(GWEI) };
        assert_eq!(nearly.raised(&calm, true).map(|fees| fees.max_fee), Some(URGENT_CAP), "up to the cap");
        assert_eq!(Fees { max_fee: URGENT_CAP, tip: Some(GWEI) }.raised(&calm, true), None);
    }

    #[test]
    fn g4_what_a_challenge_offered_for_a_nonce_makes_nothing_else_pay_more_than_its_cap() {
        let calm = Fees { max_fee: 3 * GWEI, tip: Some(GWEI) };
        let challenge = Fees { max_fee: URGENT_CAP, tip: Some(URGENT_CAP / 2) };
        assert_eq!(calm.above(Some(challenge), false), Fees { max_fee: CAP, tip: Some(CAP) });
        assert_eq!(calm.above(Some(challenge), true).max_fee, URGENT_CAP);
        let cheap = Fees { max_fee: 8 * GWEI, tip: Some(0) };
        assert_eq!(calm.above(Some(cheap), false), Fees { max_fee: 9 * GWEI + 1, tip: Some(GWEI) });
    }

    #[test]
    fn a_poor_account_offers_what_it_has_if_a_block_would_take_it() {
        let fees = Fees { max_fee: 100, tip: Some(50) };
        let poor = |balance| fees.affordable(Some(20), Some(balance), 10);
        assert_eq!(poor(400), Fees { max_fee: 40, tip: Some(40) });
        assert_eq!(poor(100), fees, "no block takes less: who is asked says how much is missing");
        assert_eq!(fees.affordable(Some(20), None, 10), fees, "not known is no reason to wait");
    }

    #[test]
    fn what_is_missing_for_gas_is_said_and_is_enough() {
        let funds = GasFunds { balance: GWEI, price: 2 * GWEI };
        assert_eq!(
            funds.shortage(1, 1),
            Some(["0.000000002", "0.000000001", "0.000000001"].map(String::from))
        );
        assert_eq!(GasFunds { balance: 2 * GWEI, ..funds }.shortage(1, 1), None);
        assert_eq!(shortage(GWEI + 1, GWEI).unwrap()[2], "0.000000001", "rounded up");
        assert_eq!(GasFunds { balance: 0, price: u128::MAX }.shortage(u64::MAX, 9).map(|_| ()), Some(()));
    }

    #[test]
    fn g4_an_absurd_estimate_makes_no_absurd_gas_limit() {
        let known = gas_limit(CallKind::Open);
        assert_eq!(with_estimate(CallKind::Open, 0), known);
        assert_eq!(with_estimate(CallKind::Open, u128::MAX), 4 * known);
        assert_eq!(with_estimate(CallKind::Open, 400_000), 500_000);
    }
}
