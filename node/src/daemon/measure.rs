//! What `--metrics` says of the node.

use std::time::Duration;

use tokio::time::Instant;

use super::Daemon;
use super::channel_info::state;
use crate::metrics::Measured;
use thunder_api::ChannelState;
use thunder_protocol::Channel;

/// Nobody learns more by asking more often.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// What `/health` and `/ready` say. Nothing of it names anybody.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Why the node has to be looked after, if it has.
    pub illness: Option<&'static str>,
    /// Why no payment can be made or looked after; nothing if they can.
    pub missing: Vec<&'static str>,
}

impl Daemon {
    /// Sets the gauges, and says how the node is. All channels are looked at, so it is done when
    /// somebody asks and not too often.
    pub(super) fn measure(&mut self) -> Health {
        let now = Instant::now();
        if let Some((at, health)) = &self.measured
            && now.saturating_duration_since(*at) < MEASURE_EVERY
        {
            return health.clone();
        }
        let measured = self.look();
        self.metrics.set(&measured);
        let health = Health { illness: self.chain.illness(), missing: measured.missing };
        self.measured = Some((now, health.clone()));
        health
    }

    fn look(&self) -> Measured {
        let mut measured = Measured {
            peers: self.peers.links.len(),
            height: self.chain.head.unwrap_or(0),
            lag: self.chain.age().unwrap_or(self.chain.last_advanced.elapsed()),
            block_age: self.chain.last_advanced.elapsed(),
            database: self.store.size().unwrap_or_default(),
            pending: self.chain.unmined,
            wei: self.chain.funds.map(|funds| funds.balance),
            missing: self.missing(),
            lost_lines: self.lost_lines.count(),
            ..Measured::default()
        };
        for (_, slot) in self.channels.newest_first() {
            let channel = &slot.channel;
            let state = state(channel);
            let index = match state {
                ChannelState::Empty => 0,
                ChannelState::Active => 1,
                ChannelState::Closing => 2,
                ChannelState::Closed => 3,
            };
            measured.channels[index] += 1;
            measured.frozen += u32::from(slot.frozen.is_some());
            measured.lost += u32::from(matches!(channel, Channel::DataLoss(_)));
            let is_old = |channel: &Channel| matches!(channel, Channel::Closing(closing) if closing.challenge_evidence().is_some());
            measured.to_challenge += u32::from(is_old(channel));
            if state == ChannelState::Active {
                let (balances, own) = (channel.balances(), channel.setup().role());
                measured.own = measured.own.saturating_add(balances.of(own).base_units());
                measured.partners = measured.partners.saturating_add(balances.of(own.other()).base_units());
            }
        }
        measured
    }

    /// Why no payment can be made or looked after.
    fn missing(&self) -> Vec<&'static str> {
        let (fresh, connected) = (self.is_chain_fresh(), self.chain.is_connected());
        let reasons = [
            (self.locked.is_some(), "the wallet can't be used; see thunder-cli infos"),
            (self.locked.is_none() && self.wallet.is_none(), "no wallet is loaded"),
            (!connected, "the chain is not reachable"),
            (connected && !self.chain.caught_up, "the chain is not read to its end yet"),
            (connected && self.chain.caught_up && !fresh, "the chain stands still"),
            (
                !matches!(self.chain.contracts_found, Some(Ok(()))) && connected,
                "THD or the factory is not there",
            ),
            (self.channels.any_frozen(), "the disk refused a write: channels are frozen"),
        ];
        reasons.into_iter().filter_map(|(is_so, reason)| is_so.then_some(reason)).collect()
    }
}
