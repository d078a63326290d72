//! `infos`: the node, its chain, peers and channels, as users see them.

use thunder_api::{ChainInfo, Infos};
use thunder_protocol::channel::{ClosedOutcome, DataLossStep};
use thunder_protocol::{Channel, Nonce};

use thunder_engine::{ChannelEntry, is_inbound_pending};

use super::{Daemon, now_ms};
use crate::args::VERSION;
use crate::console::WHY_LOST;

/// How many CLOSED channels are shown without `--all`.
const CLOSED_SHOWN: usize = 5;
/// How long a CLOSED channel is shown without `--all`, in milliseconds.
const CLOSED_SHOWN_FOR: u64 = 24 * 60 * 60 * 1000;

/// How many channels are shown at all: what an answer has room for, and what doesn't keep payments waiting.
pub const MAX_SHOWN: usize = 10_000;
/// How many warnings about single channels are shown.
const MAX_WARNINGS: usize = 100;

/// Whether there may be something to do about a channel.
fn needs_somebody(entry: &ChannelEntry) -> bool {
    match entry.channel {
        Channel::Opening(_) | Channel::Active(_) | Channel::Closed(_) => {
            entry.frozen.is_some() || entry.unreadable.is_some()
        }
        Channel::CooperativeClosing(_) | Channel::DataLoss(_) | Channel::Closing(_) => true,
    }
}

/// Returns at most `count` items in their order: those with the lowest rank, and among equals the first ones.
fn at_most<T, K: Ord>(count: usize, all: Vec<T>, rank: impl Fn(&T) -> K) -> Vec<T> {
    if all.len() <= count {
        return all;
    }
    let mut kept: Vec<_> = all.into_iter().enumerate().collect();
    kept.sort_by_key(|(_, one)| rank(one));
    kept.truncate(count);
    kept.sort_unstable_by_key(|(place, _)| *place);
    kept.into_iter().map(|(_, one)| one).collect()
}

/// Whether anything was ever paid over the channel.
fn was_used(channel: &Channel) -> bool {
    channel.receipts().is_some_and(|receipts| receipts.agreed.nonce() > Nonce::ZERO)
}

impl Daemon {
    pub(super) fn infos(&self, all: bool) -> Infos {
        let (channels, channels_hidden) = self.shown_channels(all);
        Infos {
            version: VERSION.into(),
            port: self.config.port,
            peer_id: self.network.own_id().to_string(),
            listen: self.listeners(),
            wallet: self.wallet_address().map(Into::into),
            chain: self.chain_info(),
            token: self.engine.chain().contracts.token.into(),
            factory: self.engine.chain().contracts.factory.into(),
            peers: self.engine.peers().all(),
            discovered: self.network.discovery.all(),
            channels,
            channels_hidden,
            warnings: self.warnings(),
        }
    }

    pub(super) fn chain_info(&self) -> ChainInfo {
        ChainInfo {
            rpc: self.config.rpc.to_string(),
            connected: self.engine.chain().is_connected(),
            chain_id: self.engine.chain().identity.map(|identity| identity.chain_id),
            block: self.engine.chain().head,
            endpoints: self.engine.chain().endpoints.clone(),
        }
    }

    /// Every channel in use, and with `all` every CLOSED one, or else the newest of the last 24 hours; none that never was
    /// opened. Returns also how many CLOSED ones are left out. If they
    /// are more than an answer has room for, those that need somebody come first, then those whose
    /// other side is connected, those that were paid over, and the newest.
    fn shown_channels(&self, all: bool) -> (Vec<thunder_api::ChannelInfo>, usize) {
        let (mut closed, mut hidden) = (0, 0);
        let now = now_ms();
        let is_recent = |at: u64| now.saturating_sub(at) < CLOSED_SHOWN_FOR;
        let shown = self
            .engine
            .channels()
            .newest_first()
            .map(|(_, entry)| entry)
            .filter(|entry| match &entry.channel {
                Channel::Closed(state) if state.outcome() == ClosedOutcome::Abandoned => false,
                Channel::Closed(state) => {
                    let is_shown = all || (closed < CLOSED_SHOWN && state.seen_at.is_some_and(is_recent));
                    closed += usize::from(is_shown);
                    hidden += usize::from(!is_shown);
                    is_shown
                }
                other => !is_inbound_pending(other),
            })
            .collect();
        let shown = at_most(MAX_SHOWN, shown, |entry| {
            let over = matches!(entry.channel, Channel::Closed(_));
            (over, !needs_somebody(entry), !self.has_connected_partner(entry), !was_used(&entry.channel))
        });
        (shown.into_iter().map(|entry| self.channel_info(entry)).collect(), hidden)
    }

    fn has_connected_partner(&self, entry: &ChannelEntry) -> bool {
        self.engine.peers().by_wallet(&entry.channel.setup().partner()).is_some()
    }

    /// What a person should look at.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(why) = self.engine.locked() {
            warnings.push(why.to_owned());
        } else if self.engine.wallet().is_none() {
            warnings.push("no wallet is loaded: thunder-cli importwallet \"<seedphrase>\"".into());
        }
        warnings.extend(self.chain_warnings());
        if let Some(identity) = self.engine.chain().identity
            && let Ok(other) = self.store.channels_elsewhere(identity.genesis)
            && let elsewhere @ 1.. = other.saturating_add(self.engine.channels().under_another_id())
        {
            let channels =
                if elsewhere == 1 { "1 channel belongs" } else { &*format!("{elsewhere} channels belong") };
            warnings.push(format!(
                "{channels} to another chain (or to this testnet before it was started anew) and can't be used here"
            ));
        }
        if let lost @ 1.. = self.lost_lines.count() {
            warnings.push(format!("{lost} lines of the log were lost since the start: {WHY_LOST}"));
        }
        let before = warnings.len();
        for (address, entry) in self.engine.channels().newest_first() {
            match &entry.channel {
                Channel::Closing(closing) if closing.challenge_evidence().is_some() => {
                    warnings.push(format!("channel {address}: the other side closed on an old receipt"));
                }
                other => {
                    warnings.extend(data_loss_warning(other).map(|what| format!("channel {address}: {what}")))
                }
            }
            if let Some(why) = &entry.unreadable {
                warnings.push(format!("channel {address} can't be read: {why}; nothing is signed over it"));
            }
            if entry.frozen.is_some() {
                warnings.push(format!("channel {address} is frozen, because the disk refused a write"));
            }
        }
        if let more @ 1.. = warnings.len().saturating_sub(before + MAX_WARNINGS) {
            warnings.truncate(before + MAX_WARNINGS);
            warnings.push(format!("{more} more warnings of this kind; see the channels"));
        }
        if let more @ 1.. = self.engine.channels().open_count().saturating_sub(MAX_SHOWN) {
            warnings.push(format!(
                "{more} more channels are in use than are shown; receipts --channel <address> shows where one stands"
            ));
        }
        warnings
    }
}

/// What `infos` warns of where a channel has lost data (protocol rule 9).
fn data_loss_warning(channel: &Channel) -> Option<&'static str> {
    match channel {
        Channel::DataLoss(lost) if lost.step() == DataLossStep::User && lost.is_synced() => Some(
            "this node has lost data, and the other side shows nothing newer: you have to decide; see what to \
             do below",
        ),
        Channel::DataLoss(_) => Some("this node has lost data; see what to do below"),
        Channel::Closing(closing) if closing.may_be_outdated() => Some(
            "the other side closes a channel of which this node has lost data; if you have a newer receipt, \
             import it in time",
        ),
        Channel::Opening(_)
        | Channel::Active(_)
        | Channel::CooperativeClosing(_)
        | Channel::Closing(_)
        | Channel::Closed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::at_most;

    #[test]
    fn those_of_least_rank_are_kept_and_of_equals_the_first_in_their_order() {
        let all = vec!["used 1", "idle 1", "lost", "idle 2", "used 2"];
        let rank = |name: &&str| ["lost", "used", "idle"].iter().position(|kind| name.starts_with(kind));
        assert_eq!(at_most(5, all.clone(), rank), all);
        assert_eq!(at_most(4, all.clone(), rank), ["used 1", "idle 1", "lost", "used 2"]);
        assert_eq!(at_most(2, all.clone(), rank), ["used 1", "lost"]);
        assert!(at_most(0, all, rank).is_empty());
    }
}
