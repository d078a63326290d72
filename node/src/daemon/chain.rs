//! What the chain task reports.

use std::time::Duration;

use thunder_api::Event;
use thunder_chain::{ChainError, ChainId, EndpointStatus, Outcome, Report, Stake, Watch};
use thunder_protocol::channel::ChainInput;
use thunder_protocol::onchain::{CHALLENGE_PERIOD, ChainView};
use thunder_protocol::{Address, Channel, Input};
use tokio::time::Instant;

use super::channels::Slot;
use super::{Daemon, now_ms};
use crate::chain_task::ChainRequest;

/// How often the newest block that was read is noted on disk, in blocks: only to tell how long a node
/// was away.
const NOTE_HEAD_EVERY: u64 = 8;
/// How long a channel that failed to open is watched, in milliseconds: its transaction may be mined
/// after all.
const WATCH_FAILED_FOR: u64 = 24 * 60 * 60 * 1000;
/// By how many blocks a reorganisation may reach further back than the block that showed it.
const REORGANISATION_MARGIN: u64 = 64;

impl Daemon {
    pub(super) fn on_report(&mut self, report: Report) {
        self.chain.last_report = Instant::now();
        match report {
            Report::Chain(chain) => self.on_chain(chain),
            Report::Contracts(found) => self.on_contracts(found),
            Report::View { channel, view } => self.on_view(channel, view),
            Report::Invalid { channel, why } => {
                let slot = self.channels.get(&channel);
                if slot.is_some_and(|slot| matches!(slot.channel, Channel::Opening(_))) {
                    tracing::error!(%channel, %why, "the contract is not the channel that was agreed on");
                }
                self.apply(channel, Input::Chain(ChainInput::Invalid(why.to_string())));
            }
            Report::Claim { channel, closing } => {
                tracing::debug!(%channel, ?closing, "one RPC endpoint shows a closing, and another does not");
                self.apply(channel, Input::Chain(ChainInput::Claimed(closing)));
            }
            Report::Unreadable { channel, why } => self.on_unreadable(channel, why),
            Report::Read { head } => self.on_read(head),
            Report::Fresh { age, lasts, block_time } => {
                let now = Instant::now();
                let read_at = age.and_then(|age| now.checked_sub(Duration::from_millis(age)));
                self.chain.read = read_at.map(|at| (at, Duration::from_millis(lasts)));
                self.chain.block_time = block_time.map(Duration::from_millis);
            }
            Report::Reorganisation { first } => self.on_reorganisation(first),
            Report::Endpoints(endpoints) => self.on_endpoints(endpoints),
            Report::Taken { channel, kind, tx } => {
                tracing::info!(%channel, ?kind, %tx, "a transaction is on its way");
            }
            Report::Outcome(outcome) => self.on_outcome(outcome),
            Report::Late { channel, blocks, tried } => {
                tracing::error!(%channel, blocks, "MONEY AT RISK: the challenge is not mined; tried so far: {tried}");
                let message =
                    format!("the challenge is not mined after {blocks} blocks; tried so far: {tried}");
                self.events.push(Event::Warning { message, channel: Some(channel.into()) });
            }
            Report::Note { channel, what } => tracing::warn!(%channel, "a transaction of a channel: {what}"),
            Report::Calls { unmined, refused } => self.on_calls(unmined, refused),
            Report::Funds(funds) => self.on_funds(funds),
        }
    }

    // ---- the chain and its endpoints ----------------------------------------------------------

    fn on_endpoints(&mut self, endpoints: Vec<EndpointStatus>) {
        for endpoint in &endpoints {
            let before = self.chain.endpoints.iter().find(|before| before.label == endpoint.label);
            let (was_connected, old) =
                before.map_or((false, None), |before| (before.is_connected, before.trouble.clone()));
            let rpc = &endpoint.label;
            match &endpoint.trouble {
                Some(trouble) if old.is_none() => tracing::warn!(%rpc, "the RPC endpoint {trouble}"),
                _ if endpoint.is_connected && !was_connected => {
                    tracing::info!(%rpc, "the chain is reachable");
                }
                None if old.is_some() => tracing::info!(%rpc, "the RPC endpoint is well again"),
                _ => {}
            }
        }
        let was_connected = self.chain.is_connected();
        self.chain.endpoints = endpoints;
        if self.chain.is_connected() != was_connected {
            self.events.push(Event::Chain(self.chain_info()));
        }
    }

    fn on_contracts(&mut self, found: Result<(), String>) {
        match &found {
            Ok(()) => tracing::info!("THD and the channel factory are there"),
            Err(error) => tracing::warn!(error, "THD or the channel factory can't be used"),
        }
        self.chain.contracts_found = Some(found);
    }

    fn on_chain(&mut self, chain: ChainId) {
        if self.chain.identity != Some(chain) {
            match self.chain.identity {
                None => tracing::info!(chain_id = chain.chain_id, "this is the chain"),
                Some(earlier) if earlier.chain_id == chain.chain_id => tracing::warn!(
                    "the chain was started anew (another block 0): channels of its earlier life can't be used any more"
                ),
                Some(earlier) => tracing::warn!(
                    "the chain is another one: {} instead of {}; channels there wait until it is back",
                    chain.chain_id,
                    earlier.chain_id
                ),
            }
            self.chain.identity = Some(chain);
            self.chain.head = None;
            self.end_all_sessions("the chain is another one");
            if let Err(error) = self.load_channels() {
                tracing::error!(%error, "can't read the channels from disk");
            }
            self.events.push(Event::Chain(self.chain_info()));
        }
        self.watch_all();
    }

    fn on_calls(&mut self, unmined: usize, refused: Vec<(Address, String)>) {
        for (channel, reason) in &refused {
            if !self.chain.refused.iter().any(|(other, _)| other == channel) {
                tracing::warn!(%channel, "the RPC endpoint does not take a transaction: {reason}");
            }
        }
        (self.chain.unmined, self.chain.refused) = (unmined, refused);
    }

    /// Everything that is due at this block is read.
    fn on_read(&mut self, head: u64) {
        self.warn_of_absence(head);
        if self.chain.head != Some(head) {
            self.chain.last_advanced = Instant::now();
        }
        let before = self.chain.head.replace(head);
        if self.wallet.is_none() && !self.channels.is_empty() {
            // Nothing can be done for them without the wallet, so nothing counts as read.
            return;
        }
        // A lower block than before: what waits for a higher one may have to do something now.
        let first =
            if before.is_some_and(|before| head < before) { u64::MAX } else { head.saturating_add(1) };
        // Taken at once: what asks for another block meanwhile waits for that.
        let later = self.block_ticks.split_off(&(first, Address::ZERO));
        for (_, channel) in std::mem::replace(&mut self.block_ticks, later).into_keys() {
            if let Some(slot) = self.channels.get_mut(&channel) {
                slot.block_tick = None;
            }
            self.apply(channel, Input::Chain(ChainInput::Block));
        }
        self.note_head(head);
        self.after.then.push(Box::new(Self::tell_of_block));
        self.caught_up();
    }

    /// Notes now and then how far the chain was read.
    fn note_head(&mut self, head: u64) {
        let Some(identity) = self.chain.identity else { return };
        if self.noted_head.is_some_and(|noted| head.abs_diff(noted) < NOTE_HEAD_EVERY) {
            return;
        }
        match self.store.begin().and_then(|()| self.store.set_head(identity.genesis, head)) {
            Ok(()) => self.noted_head = Some(head),
            Err(error) => tracing::warn!(%error, "can't note how far the chain was read"),
        }
    }

    /// Says so if the node was away for so long that a cheat may have got through.
    fn warn_of_absence(&self, head: u64) {
        let Some(last) = self.chain.head.filter(|_| !self.chain.caught_up) else { return };
        let missed = head.saturating_sub(last);
        if missed >= CHALLENGE_PERIOD && self.channels.open_count() > 0 {
            tracing::warn!(
                missed,
                "blocks were missed, more than a challenge period has: see infos, and keep the node running while a channel is open"
            );
        }
    }

    /// For the first time since the start the chain is read to its end: now other nodes are let in,
    /// and what was under way goes on.
    fn caught_up(&mut self) {
        if self.chain.caught_up || self.chain.identity.is_none() {
            return;
        }
        self.chain.caught_up = true;
        self.resume_channels();
        self.after.then.push(Box::new(|daemon| daemon.tell_chain(ChainRequest::CaughtUp)));
        for peer in self.peers.links.keys().copied().collect::<Vec<_>>() {
            self.say_hello(peer);
        }
    }

    /// Whoever waits for the chain to be read so far is told.
    pub(super) fn tell_of_block(&mut self) {
        let head = self.chain.head.unwrap_or(0);
        let (there, later) = std::mem::take(&mut self.awaiting_block)
            .into_iter()
            .filter(|(_, reply)| !reply.is_closed())
            .partition(|(block, _)| *block <= head);
        self.awaiting_block = later;
        let there: Vec<(u64, super::Reply<()>)> = there;
        for (_, reply) in there {
            let _ = reply.send(Ok(()));
        }
    }

    // ---- channels -----------------------------------------------------------------------------

    fn on_view(&mut self, channel: Address, view: ChainView) {
        self.apply(channel, Input::Chain(ChainInput::View(view)));
    }

    fn on_unreadable(&mut self, channel: Address, why: Option<String>) {
        let Some(slot) = self.channels.get_mut(&channel) else { return };
        match &why {
            Some(why) => {
                tracing::error!(%channel, "MONEY AT RISK: the channel can't be read: {why}; nothing is signed over it");
                let message = format!("the channel can't be read: {why}");
                self.events.push(Event::Warning { message, channel: Some(channel.into()) });
            }
            None => tracing::info!(%channel, "the channel can be read again"),
        }
        slot.unreadable = why;
    }

    fn on_outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Failed { channel, kind, error, is_retried } => {
                let error = ChainError::from(error);
                let why = format!("{error}{}", if is_retried { "; it is tried again" } else { "" });
                tracing::warn!(%channel, ?kind, "a transaction failed: {why}");
                let input = ChainInput::CallFailed { kind, reason: error.into() };
                self.apply(channel, Input::Chain(input));
            }
            Outcome::Mined { channel, kind, tx, block } => {
                tracing::info!(%channel, ?kind, %tx, block, "a transaction was mined");
            }
        }
    }

    /// Whatever is under way in a channel goes on.
    pub(super) fn resume_channels(&mut self) {
        let changing: Vec<_> = self
            .channels
            .newest_first()
            .filter(|(_, slot)| !slot.over)
            .map(|(address, _)| *address)
            .collect();
        for channel in changing {
            self.apply(channel, Input::Resume);
        }
    }

    // ---- what the chain task is told ----------------------------------------------------------

    pub(super) fn tell_chain(&self, request: ChainRequest) {
        // The task ends only with the process.
        if self.to_chain.send(request).is_err() {
            tracing::error!("the chain task is gone; restart thunderd");
        }
    }

    /// The chain task uses the wallet from now on.
    pub(super) fn tell_chain_of_wallet(&mut self) {
        let Some(wallet) = &self.wallet else { return };
        self.tell_chain(ChainRequest::Wallet(wallet.key.clone()));
        if self.chain.identity.is_some() {
            self.watch_all();
        }
    }

    /// The chain task watches the channels, and no others. Until they are read no message is handled.
    fn watch_all(&mut self) {
        let mut watches = Vec::new();
        let stakes: Vec<_> =
            self.channels.newest_first().map(|(address, slot)| (*address, self.stake(slot))).collect();
        for (address, stake) in stakes {
            let Some(slot) = self.channels.get_mut(&address) else { continue };
            slot.stake = stake;
            slot.unreadable = None;
            watches.extend(stake.map(|stake| watch(slot, stake)));
        }
        if !watches.is_empty() {
            self.chain.caught_up = false;
        }
        self.tell_chain(ChainRequest::WatchAll(watches));
    }

    /// Blocks from about this height on were taken back. Channels that ended there, or not long before, are
    /// watched again: their end may be among these blocks.
    fn on_reorganisation(&mut self, first: u64) {
        tracing::warn!(first, "the chain took blocks back");
        let since = first.saturating_sub(REORGANISATION_MARGIN);
        let ended = |slot: &Slot| match &slot.channel {
            Channel::Closed(closed) => closed.common.view.newest.is_some_and(|newest| newest.block >= since),
            _ => false,
        };
        let unwatched = self.channels.newest_first().filter(|(_, slot)| slot.stake.is_none() && ended(slot));
        for address in unwatched.map(|(address, _)| *address).collect::<Vec<_>>() {
            let Some(slot) = self.channels.get_mut(&address) else { continue };
            slot.stake = Some(Stake::Nothing);
            let request = ChainRequest::Watch(Box::new(watch(slot, Stake::Nothing)));
            self.tell_chain(request);
        }
    }

    /// The chain task learns how much depends on a channel, if that has changed.
    pub(super) fn update_watch(&mut self, address: Address) {
        let Some(stake) = self.channels.get(&address).map(|slot| self.stake(slot)) else { return };
        let Some(slot) = self.channels.get_mut(&address).filter(|slot| slot.stake != stake) else { return };
        let before = std::mem::replace(&mut slot.stake, stake);
        let request = match (before, stake) {
            (None, Some(stake)) => ChainRequest::Watch(Box::new(watch(slot, stake))),
            (Some(_), Some(stake)) => ChainRequest::Stake(address, stake),
            (_, None) => ChainRequest::Unwatch(address),
        };
        self.tell_chain(request);
    }

    /// How much depends on reading a channel in time; `None` if nothing can happen to it any more.
    fn stake(&self, slot: &Slot) -> Option<Stake> {
        let channel = &slot.channel;
        let setup = channel.setup();
        match channel {
            Channel::Opening(_) | Channel::Closing(_) | Channel::CooperativeClosing(_) => Some(Stake::Urgent),
            Channel::DataLoss(_) => Some(Stake::AtRisk),
            Channel::Active(active) => {
                // Only then is there an older receipt, or something to lose.
                let was_used = active.common.receipts.agreed.nonce() > thunder_protocol::Nonce::ZERO;
                let has_share = !channel.balances().of(setup.role()).is_zero();
                Some(if was_used && has_share { Stake::AtRisk } else { Stake::Nothing })
            }
            Channel::Closed(closed) => {
                let is_young = now_ms().saturating_sub(slot.created) < WATCH_FAILED_FOR;
                let was_opened = closed.outcome() != thunder_protocol::channel::Outcome::Abandoned;
                let is_watched = if was_opened { !self.is_over(channel) } else { is_young };
                is_watched.then_some(Stake::Nothing)
            }
        }
    }

    fn is_over(&self, channel: &Channel) -> bool {
        let Some(wallet) = &self.wallet else { return false };
        channel.is_over(&super::context(&self.config, wallet, &self.chain, true))
    }
}

/// What the chain task needs to know of a channel.
fn watch(slot: &Slot, stake: Stake) -> Watch {
    Watch {
        terms: slot.channel.setup().terms().clone(),
        view: *slot.channel.view(),
        stake,
        // A channel that was never used is checked, also if it was given up once.
        verify: slot.channel.receipts().is_none(),
        since: slot.since,
    }
}
