//! What a transaction pays for gas (EIP-1559; a plain gas price on chains without it).

use ethers::types::U256;
use ethers::utils::format_ether;
use serde::{Deserialize, Serialize};
use thunder_protocol::Address;

use crate::client::{Chain, Head};
use crate::error::ChainError;

const GWEI: u128 = 1_000_000_000;
/// The tip where the endpoint suggests none.
const DEFAULT_TIP: u128 = GWEI;
/// Nothing pays more than this for a unit of gas.
const CAP: u128 = 500 * GWEI;
/// A challenge, on which the whole channel hangs, pays up to this. Full blocks raise the base fee
/// seventeenfold in 24 blocks, so it is in time for every base fee up to 590 gwei at the closing.
const URGENT_CAP: u128 = 10_000 * GWEI;

/// Wei for a unit of gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fees {
    /// At most this, base fee and tip together; without EIP-1559 exactly this.
    pub max_fee: u128,
    /// To the block's producer; `None` without EIP-1559.
    pub tip: Option<u128>,
}

impl Fees {
    /// Fees with which the next few blocks should take a transaction.
    pub(super) async fn suggest(chain: &Chain, head: &Head, urgent: bool) -> Result<Self, ChainError> {
        let cap = cap(urgent);
        let Some(base) = head.base_fee else {
            return Ok(Self { max_fee: chain.gas_price().await?.min(cap), tip: None });
        };
        let suggested = chain.suggested_tip().await.unwrap_or(DEFAULT_TIP);
        let tip = if urgent { suggested.saturating_mul(2) } else { suggested };
        // Room for six full blocks in a row, each of which raises the base fee by an eighth; for a
        // challenge for twelve. What a block does not ask for is not paid.
        let room = if urgent { 4 } else { 2 };
        let max_fee = base.saturating_mul(room).saturating_add(tip).min(cap);
        Ok(Self { max_fee, tip: Some(tip.min(max_fee)) })
    }

    /// Whether the account has `value`, and what `gas` units cost at most.
    pub(super) async fn require_ether(
        &self,
        chain: &Chain,
        account: Address,
        gas: u64,
        value: U256,
    ) -> Result<(), ChainError> {
        let needed = (U256::from(gas) * U256::from(self.max_fee)).saturating_add(value);
        let available = chain.eth_balance(account).await?;
        if available < needed {
            return Err(ChainError::NoEther {
                needed: short_ether(needed),
                available: short_ether(available),
                missing: missing_ether(needed - available),
            });
        }
        Ok(())
    }

    /// What of these fees an account can pay for `gas` units: less than would be prudent, if that is
    /// all it has and a block would still take it.
    pub(super) async fn affordable(
        self,
        chain: &Chain,
        head: &Head,
        account: Address,
        gas: u64,
    ) -> Result<Self, ChainError> {
        let available = chain.eth_balance(account).await?;
        let per_gas = u128::try_from(available / U256::from(gas.max(1))).unwrap_or(u128::MAX);
        let least = head.base_fee.unwrap_or(self.max_fee).saturating_add(1);
        if per_gas >= self.max_fee || per_gas < least {
            self.require_ether(chain, account, gas, U256::zero()).await?;
            return Ok(self);
        }
        Ok(Self { max_fee: per_gas, tip: self.tip.map(|tip| tip.min(per_gas)) })
    }

    /// Fees that replace these: at least an eighth more, which is what mempools ask of a
    /// replacement (they ask for a tenth), and what the market asks now. The last step before the cap
    /// may be smaller, as long as mempools take it. `None` at the cap.
    pub(super) fn raised(&self, market: &Self, urgent: bool) -> Option<Self> {
        let more = |fee: u128| fee.saturating_add(fee / 8).saturating_add(1);
        let max_fee = more(self.max_fee).max(market.max_fee).min(cap(urgent));
        if max_fee < self.max_fee.saturating_add(self.max_fee / 10).saturating_add(1) {
            return None;
        }
        let tip = self.tip.map(|tip| more(tip).max(market.tip.unwrap_or(0)).min(max_fee));
        Some(Self { max_fee, tip })
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
    /// Whether `gas` units at `multiple` times the present price are more than there is: then how
    /// much that is, what there is, and the difference, in ether.
    pub fn shortage(&self, gas: u64, multiple: u128) -> Option<[String; 3]> {
        let needed = u128::from(gas).saturating_mul(self.price).saturating_mul(multiple);
        let missing = needed.checked_sub(self.balance).filter(|missing| *missing > 0)?;
        Some([short_ether(needed.into()), short_ether(self.balance.into()), missing_ether(missing.into())])
    }
}

impl Chain {
    /// What an account has for gas, at the fees of this block.
    pub async fn gas_funds(&self, account: Address, head: &Head) -> Result<GasFunds, ChainError> {
        let price = match head.base_fee {
            Some(base) => base.saturating_add(self.suggested_tip().await.unwrap_or(DEFAULT_TIP)),
            None => self.gas_price().await?,
        };
        let balance = u128::try_from(self.eth_balance(account).await?).unwrap_or(u128::MAX);
        Ok(GasFunds { balance, price })
    }
}

const fn cap(urgent: bool) -> u128 {
    if urgent { URGENT_CAP } else { CAP }
}

/// Wei as ether, with at most nine decimals: enough to see whether it is enough.
fn short_ether(wei: U256) -> String {
    let text = format_ether(wei);
    let cut = text.find('.').map_or(text.len(), |point| (point + 10).min(text.len()));
    text.get(..cut).unwrap_or(&text).trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The same, rounded up: whoever sends as much has enough.
fn missing_ether(wei: U256) -> String {
    short_ether(wei.saturating_add((GWEI - 1).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_pays_an_eighth_more_and_what_the_market_asks() {
        let fees = Fees { max_fee: 80, tip: Some(8) };
        let calm = Fees { max_fee: 10, tip: Some(1) };
        assert_eq!(fees.raised(&calm, false), Some(Fees { max_fee: 91, tip: Some(10) }));
        let spike = Fees { max_fee: 500, tip: Some(50) };
        assert_eq!(fees.raised(&spike, false), Some(spike));
    }

    #[test]
    fn what_is_missing_for_gas_is_said_and_is_enough() {
        let funds = GasFunds { balance: GWEI, price: 2 * GWEI };
        assert_eq!(
            funds.shortage(1, 1),
            Some(["0.000000002", "0.000000001", "0.000000001"].map(String::from))
        );
        assert_eq!(GasFunds { balance: 2 * GWEI, ..funds }.shortage(1, 1), None);
        assert_eq!(missing_ether(1.into()), "0.000000001");
    }

    #[test]
    fn fees_end_at_the_cap_which_is_higher_for_a_challenge() {
        let high = Fees { max_fee: CAP, tip: Some(GWEI) };
        assert_eq!(high.raised(&high, false), None);
        assert!(high.raised(&high, true).is_some());
        let nearly = Fees { max_fee: URGENT_CAP / 100 * 90, tip: Some(GWEI) };
        assert_eq!(nearly.raised(&nearly, true).map(|fees| fees.max_fee), Some(URGENT_CAP), "up to the cap");
        let highest = Fees { max_fee: URGENT_CAP, tip: Some(GWEI) };
        assert_eq!(highest.raised(&highest, true), None);
    }
}
