//! What threatens the node's word on the chain before anything is lost: too little ether for gas, and
//! blocks that are filled with events.

use thunder_api::Event;
use thunder_chain::submit::GasFunds;

use super::Daemon;

/// What a channel may still need in all, in units of gas: closing it and withdrawing, or a challenge,
/// which is less (docs/gas.md).
const GAS_PER_CHANNEL: u64 = 125_000;
/// How many times today's price the wallet should be able to pay: that much it can rise in twelve
/// blocks, half of a challenge period.
const RESERVE: u128 = 4;

impl Daemon {
    pub(super) fn on_funds(&mut self, funds: GasFunds) {
        let before = self.gas_warning();
        self.chain.funds = Some(funds);
        match (before, self.gas_warning()) {
            (None, Some(warning)) => {
                tracing::warn!("{warning}");
                self.warn(warning);
            }
            (Some(_), None) => tracing::info!("the wallet has enough ETH for gas again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    /// That the wallet may be unable to pay for what its open channels need.
    pub(super) fn gas_warning(&self) -> Option<String> {
        let (wallet, funds) = (self.wallet_address()?, self.chain.funds?);
        let open = self.channels.open_count();
        let gas = GAS_PER_CHANNEL.saturating_mul(u64::try_from(open).unwrap_or(u64::MAX));
        let [needed, available, missing] = funds.shortage(gas, RESERVE)?;
        let channels = if open == 1 { "an open channel".to_owned() } else { format!("{open} open channels") };
        Some(format!(
            "too little ETH for gas: {channels} may need {needed} ETH (to challenge, close and withdraw, at {RESERVE} times today's fee) and the wallet has {available}; send at least {missing} ETH to {wallet}"
        ))
    }

    /// Whether the newest blocks have more events than the RPC entry point gives at once.
    pub(super) fn note_flood(&mut self, flooded: bool) {
        if flooded && !self.chain.flooded {
            let rpc = &self.config.rpc;
            tracing::error!(%rpc, "the RPC entry point does not give all events that name this wallet, as if somebody filled blocks with them; every channel is asked for by itself until that is over");
            self.warn(FLOODED.to_owned());
        }
        self.chain.flooded = flooded;
    }

    /// What `infos` says of the chain.
    pub(super) fn chain_warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(error) = self.chain.trouble.as_ref().filter(|_| !self.chain.connected) {
            let rpc = &self.config.rpc;
            warnings.push(format!("the chain at {rpc} can't be reached; thunderd keeps trying ({error})"));
        } else if !self.chain.connected {
            let rpc = &self.config.rpc;
            warnings.push(format!("the chain at {rpc} can't be reached; thunderd keeps trying"));
        } else if let Err(error) = &self.chain.template {
            warnings.push(format!(
                "{error}; deploy with `thunder-deploy thd --to <address>`, or see --token and --factory"
            ));
        }
        if self.chain.flooded {
            warnings.push(FLOODED.to_owned());
        }
        warnings.extend(self.gas_warning());
        warnings
    }

    /// Tells watchers.
    pub(super) fn warn(&mut self, message: String) {
        self.events.push(Event::Warning { message, channel: None });
    }
}

const FLOODED: &str = "the RPC entry point does not give all events that name this wallet, as if somebody filled blocks with them: every channel is asked for by itself, which is slower; an entry point with a higher limit helps";
