//! `infos`.

use thunder_api::{ChainInfo, Infos};
use thunder_protocol::Channel;
use thunder_protocol::channel::Outcome;

use super::Daemon;
use super::opening::is_awaited;
use crate::config::VERSION;

/// How many channels that are over are shown.
const CLOSED_SHOWN: usize = 20;

impl Daemon {
    pub(super) fn infos(&self) -> Infos {
        Infos {
            version: VERSION.into(),
            port: self.config.port,
            peer_id: self.own_id().to_string(),
            listen: self.listeners(),
            wallet: self.wallet_address().map(Into::into),
            chain: self.chain_info(),
            token: self.chain.contracts.token.into(),
            factory: self.chain.contracts.factory.into(),
            peers: self.peers.all(),
            discovered: self.discovery.all(),
            channels: self.shown_channels(),
            warnings: self.warnings(),
        }
    }

    pub(super) fn chain_info(&self) -> ChainInfo {
        ChainInfo {
            rpc: self.config.rpc.to_string(),
            connected: self.chain.connected,
            chain_id: self.chain.identity.map(|identity| identity.chain_id),
            block: self.chain.head,
        }
    }

    /// Every channel in use, and the newest of those that are over; none that never was opened.
    fn shown_channels(&self) -> Vec<thunder_api::ChannelInfo> {
        let mut closed = 0;
        let shown = self.channels.newest_first().filter(|(_, slot)| match &slot.channel {
            Channel::Closed(state) if state.outcome() == Outcome::Abandoned => false,
            Channel::Closed(_) => {
                closed += 1;
                closed <= CLOSED_SHOWN
            }
            other => !is_awaited(other),
        });
        shown.map(|(_, slot)| self.channel_info(slot)).collect()
    }

    /// What a person should look at.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(why) = &self.locked {
            warnings.push(why.clone());
        } else if self.wallet.is_none() {
            warnings.push("no wallet is loaded: thunder-cli importwallet \"<seedphrase>\"".into());
        }
        warnings.extend(self.chain_warnings());
        if let Some(identity) = self.chain.identity
            && let Ok(other) = self.store.channels_elsewhere(identity.genesis)
            && let elsewhere @ 1.. = other.saturating_add(self.channels.under_another_id)
        {
            warnings.push(format!(
                "{elsewhere} channels belong to another chain (or to this testnet before it was started anew) and can't be used here"
            ));
        }
        for (address, slot) in self.channels.newest_first() {
            match &slot.channel {
                Channel::Closing(closing) if closing.challenge_evidence().is_some() => {
                    warnings.push(format!("channel {address}: the other side closed on an old receipt"));
                }
                Channel::Lost(_) => {
                    warnings
                        .push(format!("channel {address}: this node has lost data; see what to do below"));
                }
                _ => {}
            }
            if slot.frozen.is_some() {
                warnings.push(format!("channel {address} is frozen, because the disk refused a write"));
            }
        }
        warnings
    }
}
