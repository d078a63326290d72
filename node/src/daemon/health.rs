//! `impl Daemon`: measuring the gauges of `--metrics`, and what `/health` and `/ready` say.

use std::time::Duration;

use tokio::time::Instant;

use super::{Daemon, now_ms};
use crate::metrics::Measured;
use thunder_api::ContractState;
use thunder_engine::contract_state;
use thunder_protocol::Channel;

/// The shortest time between two measurements. Questions in between get the values of the last one.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// What `/health` and `/ready` say. Neither names a peer, a wallet or a channel.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Why the node has to be looked after, if it has.
    pub illness: Option<&'static str>,
    /// Why no payment can be made or looked after; nothing if they can.
    pub missing: Vec<&'static str>,
}

impl Daemon {
    /// Sets the gauges, and returns the node's health. It reads all channels, so it runs only on request, at most once
    /// every [`MEASURE_EVERY`].
    pub(super) fn measure(&mut self) -> Health {
        let now = Instant::now();
        if let Some((at, health)) = &self.measured
            && now.saturating_duration_since(*at) < MEASURE_EVERY
        {
            return health.clone();
        }
        let measured = self.collect();
        self.metrics.set(&measured);
        let health = Health { illness: self.engine.chain().illness(now_ms()), missing: measured.missing };
        self.measured = Some((now, health.clone()));
        health
    }

    fn collect(&self) -> Measured {
        let (chain, now) = (self.engine.chain(), now_ms());
        let mut measured = Measured {
            peers: self.engine.peers().count(),
            height: chain.head.unwrap_or(0),
            lag: Duration::from_millis(chain.age(now)),
            block_age: Duration::from_millis(chain.block_age(now)),
            database: self.store.size().unwrap_or_default(),
            pending: self.chain.unmined,
            wei: self.chain.funds.map(|funds| funds.balance),
            missing: self.missing(),
            lost_lines: self.lost_lines.count(),
            ..Measured::default()
        };
        for (_, entry) in self.engine.channels().newest_first() {
            let channel = &entry.channel;
            let state = contract_state(channel);
            let index = match state {
                ContractState::Empty => 0,
                ContractState::Active => 1,
                ContractState::Closing => 2,
                ContractState::Closed => 3,
            };
            measured.channels[index] += 1;
            measured.frozen += u32::from(entry.frozen.is_some());
            measured.lost += u32::from(matches!(channel, Channel::DataLoss(_)));
            let is_old = |channel: &Channel| matches!(channel, Channel::Closing(closing) if closing.challenge_evidence().is_some());
            measured.to_challenge += u32::from(is_old(channel));
            if state == ContractState::Active {
                let (balances, own) = (channel.balances(), channel.setup().role());
                measured.own = measured.own.saturating_add(balances.of(own).base_units());
                measured.partners = measured.partners.saturating_add(balances.of(own.other()).base_units());
            }
        }
        measured
    }

    /// Why no payment can be made or looked after.
    fn missing(&self) -> Vec<&'static str> {
        let (chain, wallet) = (self.engine.chain(), self.engine.wallet());
        let is_locked = self.engine.locked().is_some();
        let (fresh, connected) = (chain.is_fresh(now_ms()), chain.is_connected());
        let reasons = [
            (is_locked, "the wallet can't be used; see thunder-cli infos"),
            (!is_locked && wallet.is_none(), "no wallet is loaded"),
            (!connected, "the chain is not reachable"),
            (connected && !chain.is_caught_up, "the chain is not read to its end yet"),
            (connected && chain.is_caught_up && !fresh, "the chain stands still"),
            (!matches!(chain.contracts_found, Some(Ok(()))) && connected, "THD or the factory is not there"),
            (self.engine.channels().any_frozen(), "the disk refused a write: channels are frozen"),
        ];
        reasons.into_iter().filter_map(|(is_so, reason)| is_so.then_some(reason)).collect()
    }
}
