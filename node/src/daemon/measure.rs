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

impl Daemon {
    /// Sets the gauges, and says what `/ready` says. All channels are looked at, so it is done when
    /// somebody asks and not too often.
    pub(super) fn measure(&mut self) -> Vec<&'static str> {
        let now = Instant::now();
        if let Some((at, missing)) = &self.measured
            && now.saturating_duration_since(*at) < MEASURE_EVERY
        {
            return missing.clone();
        }
        let measured = self.look();
        self.metrics.set(&measured);
        self.measured = Some((now, measured.missing.clone()));
        measured.missing
    }

    fn look(&self) -> Measured {
        let mut measured = Measured {
            peers: self.peers.links.len(),
            height: self.chain.head.unwrap_or(0),
            lag: self.chain.last_heard.elapsed(),
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
            measured.lost += u32::from(matches!(channel, Channel::Lost(_)));
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

    /// Why no payment can be made or looked after. Says nothing that names anybody.
    fn missing(&self) -> Vec<&'static str> {
        let fresh = self.is_chain_fresh();
        let reasons = [
            (self.locked.is_some(), "the wallet can't be used; see thunder-cli infos"),
            (self.locked.is_none() && self.wallet.is_none(), "no wallet is loaded"),
            (!self.chain.connected, "the chain is not reachable"),
            (self.chain.connected && !self.chain.caught_up, "the chain is not read to its end yet"),
            (self.chain.connected && self.chain.caught_up && !fresh, "the chain stands still"),
            (self.chain.template.is_err() && self.chain.connected, "THD or the factory is not there"),
            (self.channels.any_frozen(), "the disk refused a write: channels are frozen"),
        ];
        reasons.into_iter().filter_map(|(is_so, reason)| is_so.then_some(reason)).collect()
    }
}
