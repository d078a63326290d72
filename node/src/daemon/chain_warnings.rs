//! Warnings of what may keep transactions off the chain: too little ether, and endpoints that do not work.

use thunder_chain::{GasFunds, gas_limit};
use thunder_engine::Notice;
use thunder_protocol::onchain::CallKind;

use super::Daemon;

/// What a channel may still need at most, in units of gas: closing it and withdrawing, which is more than a
/// challenge.
const GAS_PER_CHANNEL: u64 = gas_limit(CallKind::Close) + gas_limit(CallKind::Withdraw);
/// How many times today's price the wallet should be able to pay: that much it can rise in twelve
/// blocks, half of a challenge period.
const RESERVE: u128 = 4;

impl Daemon {
    pub(super) fn on_funds(&mut self, funds: GasFunds) {
        let before = self.gas_warning();
        self.chain.funds = Some(funds);
        match (before, self.gas_warning()) {
            (None, Some(warning)) => {
                tracing::warn!("the wallet is short of ether: {warning}");
                self.warn(warning);
            }
            (Some(_), None) => tracing::info!("the wallet has enough ETH for gas again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    /// That the wallet may be unable to pay for what its open channels need.
    pub(super) fn gas_warning(&self) -> Option<String> {
        let (wallet, funds) = (self.wallet_address()?, self.chain.funds?);
        let open = self.engine.channels().open_count();
        let gas = GAS_PER_CHANNEL.saturating_mul(u64::try_from(open).unwrap_or(u64::MAX));
        let [needed, available, missing] = funds.shortage(gas, RESERVE)?;
        let channels = if open == 1 { "an open channel".to_owned() } else { format!("{open} open channels") };
        Some(format!(
            "too little ETH for gas: {channels} may need {needed} ETH (to challenge, close and withdraw, at {RESERVE} times today's fee) and the wallet has {available}; send at least {missing} ETH to {wallet}"
        ))
    }

    /// What `infos` says of the chain.
    pub(super) fn chain_warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for endpoint in &self.engine.chain().endpoints {
            if let Some(trouble) = &endpoint.trouble {
                warnings.push(format!("the RPC endpoint {} {trouble}", endpoint.rpc));
            }
        }
        if !self.engine.chain().is_connected() {
            let rpc = &self.config.rpc;
            warnings.push(format!("the chain at {rpc} can't be reached; thunderd keeps trying"));
        } else if let Some(Err(error)) = &self.engine.chain().contracts_found {
            warnings.push(format!(
                "{error}; deploy with `thunder-deploy thd --to <address>`, or see --token and --factory"
            ));
        }
        for (channel, reason) in &self.chain.refused {
            warnings.push(format!(
                "channel {channel}: the RPC endpoint does not take a transaction ({reason}); thunderd keeps trying"
            ));
        }
        warnings.extend(self.gas_warning());
        warnings
    }

    /// Adds a warning to the events that `watch` shows.
    pub(super) fn warn(&mut self, message: String) {
        self.engine.notice(Notice::Warning { channel: None, message });
    }
}
