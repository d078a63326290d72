//! `impl Engine`: events of the chain, and which channels the chain task is told to watch.

use thunder_protocol::channel::{ChainInput, ClosedOutcome, Millis};
use thunder_protocol::onchain::CHALLENGE_PERIOD;
use thunder_protocol::{Address, ChainIdentity, Channel, Input, Nonce, Stake, WatchRequest};

use crate::channels::{ChannelEntry, Channels};
use crate::engine::Engine;
use crate::event::ChainEvent;
use crate::outbox::{ChainCommand, Notice, Reply};
use crate::replies::chain_is_gone;

/// How often the newest block that was read is noted on disk, in blocks: only to tell how long a node was away.
const NOTE_HEAD_EVERY: u64 = 8;
/// How long a channel that failed to open is watched, in milliseconds: its transaction may be mined after all.
const WATCH_FAILED_FOR: u64 = 24 * 60 * 60 * 1000;
/// How long a channel is watched after its end was seen, in milliseconds: a reorganisation may take the end back, and
/// an endpoint may have invented it.
const WATCH_ENDED_FOR: Millis = 7 * 24 * 60 * 60 * 1000;
/// How often ends that are older are looked for, in blocks.
const UNWATCH_EVERY: u64 = 1_024;
/// How often the log has that blocks were taken back at most, in milliseconds.
const LOG_REORGANISATION_EVERY: u64 = 60_000;

impl Engine {
    pub(crate) fn on_chain_event(&mut self, event: ChainEvent) {
        self.chain.last_report = self.now;
        match event {
            ChainEvent::Heartbeat => {}
            ChainEvent::ChainSelected(chain) => self.on_chain(chain),
            ChainEvent::Contracts(found) => self.chain.contracts_found = Some(found),
            ChainEvent::View { channel, view } => {
                self.apply(channel, Input::Chain(ChainInput::View(view)));
            }
            ChainEvent::Invalid { channel, why } => {
                let entry = self.channels.get(&channel);
                if entry.is_some_and(|entry| matches!(entry.channel, Channel::Opening(_))) {
                    tracing::error!(%channel, %why, "the contract is not the channel that was agreed on");
                }
                self.apply(channel, Input::Chain(ChainInput::Invalid(why)));
            }
            ChainEvent::Claim { channel, closing } => {
                tracing::debug!(%channel, ?closing, "one RPC endpoint shows a closing, and another does not");
                self.apply(channel, Input::Chain(ChainInput::Claimed(closing)));
            }
            ChainEvent::Unreadable { channel, why } => self.on_unreadable(channel, why),
            ChainEvent::BlockRead { head } => self.on_read(head),
            ChainEvent::ReadTimes { age, lasts, block_time } => {
                self.chain.read = age.map(|age| (self.now.saturating_sub(age), lasts));
                self.chain.block_time = block_time;
            }
            ChainEvent::Reorganisation { first } => self.on_reorganisation(first),
            ChainEvent::Endpoints(endpoints) => {
                let was_connected = self.chain.is_connected();
                self.chain.endpoints = endpoints;
                if self.chain.is_connected() != was_connected {
                    self.notice(Notice::Chain);
                }
            }
            ChainEvent::CallFailed { channel, kind, reason } => {
                self.apply(channel, Input::Chain(ChainInput::CallFailed { kind, reason }));
            }
        }
    }

    fn on_chain(&mut self, chain: ChainIdentity) {
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
            self.end_all_sessions("the chain is another one");
            self.chain.identity = Some(chain);
            self.chain.head = None;
            self.load_channels();
            for peer in self.peers.connected.keys().cloned().collect::<Vec<_>>() {
                self.say_hello(&peer);
            }
            self.notice(Notice::Chain);
        }
        self.watch_all();
    }

    /// Replaces the channels by those that the disk has for the chain in use.
    fn load_channels(&mut self) {
        let mut commands: Vec<_> = self.pending_commands.keys().copied().collect();
        commands.sort_unstable();
        for command in commands {
            self.fail(command, chain_is_gone());
        }
        self.paid_many.clear();
        self.payment_ids = Default::default();
        self.dirty_channels.clear();
        // What was changed in this batch is of the earlier chain, and in memory only until the batch is on disk.
        self.write_states();
        self.channels = Channels::default();
        let Some(identity) = self.chain.identity else { return };
        match self.disk.channels(identity.genesis) {
            Ok(stored) => self.channels = Channels::load(stored, identity.chain_id),
            Err(error) => tracing::error!(%error, "can't read the channels from disk"),
        }
    }

    /// Everything that is due at this block is read.
    fn on_read(&mut self, head: u64) {
        self.warn_of_absence(head);
        if self.chain.head != Some(head) {
            self.chain.last_advanced = self.now;
        }
        let before = self.chain.head.replace(head);
        if self.wallet.is_none() && !self.channels.is_empty() {
            // Nothing can be done for them without the wallet, so nothing counts as read.
            return;
        }
        // After a reorganisation to a lower block every waiting channel looks at the chain again.
        let is_lower = before.is_some_and(|before| head < before);
        let first = if is_lower { u64::MAX } else { head.saturating_add(1) };
        for channel in self.channels.take_block_ticks(first) {
            self.apply(channel, Input::Chain(ChainInput::Block));
        }
        self.note_head(head);
        if before.is_some_and(|before| before / UNWATCH_EVERY != head / UNWATCH_EVERY) {
            self.unwatch_old_ends();
        }
        self.batch.effects.is_block_read = true;
        self.catch_up();
    }

    /// Notes now and then how far the chain was read.
    fn note_head(&mut self, head: u64) {
        let Some(identity) = self.chain.identity else { return };
        if self.chain.noted_head.is_some_and(|noted| head.abs_diff(noted) < NOTE_HEAD_EVERY) {
            return;
        }
        self.batch.writes.head = Some((identity.genesis, head));
        self.chain.noted_head = Some(head);
    }

    /// Warns if the node was away for so long that a cheat may have got through.
    fn warn_of_absence(&self, head: u64) {
        let Some(last) = self.chain.head.filter(|_| !self.chain.is_caught_up) else { return };
        let missed = head.saturating_sub(last);
        if missed >= CHALLENGE_PERIOD && self.channels.open_count() > 0 {
            tracing::warn!(
                missed,
                "blocks were missed, more than a challenge period has: see infos, and keep the node running while a channel is open"
            );
        }
    }

    /// Notes that the chain was read to its end for the first time since the start: sessions may open from now on, and
    /// what was under way in the channels goes on.
    fn catch_up(&mut self) {
        if self.chain.is_caught_up || self.chain.identity.is_none() {
            return;
        }
        self.chain.is_caught_up = true;
        self.resume_channels();
        self.batch.effects.is_caught_up = true;
        for peer in self.peers.connected.keys().cloned().collect::<Vec<_>>() {
            self.say_hello(&peer);
        }
    }

    /// Replies to users who wait for the chain to be read so far.
    pub(crate) fn reply_block_waiters(&mut self) {
        let head = self.chain.head.unwrap_or(0);
        let ready: Vec<_> = self.block_waiters.extract_if(.., |(block, _)| *block <= head).collect();
        for (_, request) in ready {
            self.reply(request, Ok(Reply::BlockRead));
        }
    }

    fn on_unreadable(&mut self, channel: Address, why: Option<String>) {
        let Some(entry) = self.channels.get_mut(&channel) else { return };
        entry.unreadable.clone_from(&why);
        match why {
            Some(why) => {
                tracing::error!(%channel, "MONEY AT RISK: the channel can't be read: {why}; nothing is signed over it");
                let message = format!("the channel can't be read: {why}");
                self.notice(Notice::Warning { channel: Some(channel), message });
            }
            None => tracing::info!(%channel, "the channel can be read again"),
        }
    }

    /// Resumes what was under way in the channels when the node stopped.
    pub(crate) fn resume_channels(&mut self) {
        let changing = self.channels.newest_first().filter(|(_, entry)| !entry.is_over);
        for channel in changing.map(|(address, _)| *address).collect::<Vec<_>>() {
            self.apply(channel, Input::Resume);
        }
    }

    // ---- commands to the chain task -----------------------------------------------------------

    pub(crate) fn tell_chain(&mut self, command: ChainCommand) {
        self.batch.effects.independent.chain.push(command);
    }

    /// The chain task watches the channels, and no others. Until they are read no message is handled.
    pub(crate) fn watch_all(&mut self) {
        let mut watches = Vec::new();
        let stakes: Vec<_> =
            self.channels.newest_first().map(|(address, entry)| (*address, self.stake(entry))).collect();
        for (address, stake) in stakes {
            let Some(entry) = self.channels.get_mut(&address) else { continue };
            entry.stake = stake;
            entry.unreadable = None;
            watches.extend(stake.map(|stake| watch(entry, stake)));
        }
        if !watches.is_empty() {
            self.chain.is_caught_up = false;
        }
        self.tell_chain(ChainCommand::WatchAll(watches));
    }

    /// Logs a reorganisation, once in a while only: an endpoint may go back and forth.
    fn on_reorganisation(&mut self, first: u64) {
        let last = self.chain.reorganisation_logged;
        if last.is_none_or(|at| self.now.saturating_sub(at) >= LOG_REORGANISATION_EVERY) {
            self.chain.reorganisation_logged = Some(self.now);
            tracing::warn!(first, "the chain took blocks back");
        }
    }

    /// Stops watching channels whose end was seen long ago.
    fn unwatch_old_ends(&mut self) {
        let is_ended = |entry: &ChannelEntry| matches!(entry.channel, Channel::Closed(_));
        let ended =
            self.channels.newest_first().filter(|(_, entry)| entry.stake.is_some() && is_ended(entry));
        for address in ended.map(|(address, _)| *address).collect::<Vec<_>>() {
            self.update_watch(address);
        }
    }

    /// Tells the chain task how much depends on a channel, if that has changed.
    pub(crate) fn update_watch(&mut self, address: Address) {
        let Some(stake) = self.channels.get(&address).map(|entry| self.stake(entry)) else { return };
        let Some(entry) = self.channels.get_mut(&address).filter(|entry| entry.stake != stake) else {
            return;
        };
        let before = std::mem::replace(&mut entry.stake, stake);
        let command = match (before, stake) {
            (None, Some(stake)) => ChainCommand::Watch(Box::new(watch(entry, stake))),
            (Some(_), Some(stake)) => ChainCommand::SetStake(address, stake),
            (_, None) => ChainCommand::Unwatch(address),
        };
        self.tell_chain(command);
    }

    /// How much depends on reading a channel in time; `None` if nothing can happen to it any more.
    fn stake(&self, entry: &ChannelEntry) -> Option<Stake> {
        let channel = &entry.channel;
        let setup = channel.setup();
        match channel {
            Channel::Opening(_) | Channel::Closing(_) | Channel::CooperativeClosing(_) => Some(Stake::Urgent),
            Channel::DataLoss(_) => Some(Stake::AtRisk),
            Channel::Active(active) => {
                // Only then is there an older receipt, or something to lose.
                let was_used = active.common.receipts.agreed.nonce() > Nonce::ZERO;
                let has_share = !channel.balances().of(setup.role()).is_zero();
                Some(if was_used && has_share { Stake::AtRisk } else { Stake::Nothing })
            }
            Channel::Closed(closed) => {
                let is_watched = if closed.outcome() == ClosedOutcome::Abandoned {
                    self.now.saturating_sub(entry.created) < WATCH_FAILED_FOR
                } else {
                    let is_young = |at: Millis| self.now.saturating_sub(at) < WATCH_ENDED_FOR;
                    // What endpoints contradict each other about is not over, however long ago it was.
                    !self.is_over(channel)
                        || closed.seen_at.is_some_and(is_young)
                        || entry.unreadable.is_some()
                };
                is_watched.then_some(Stake::Nothing)
            }
        }
    }

    fn is_over(&self, channel: &Channel) -> bool {
        self.wallet.as_ref().is_some_and(|wallet| channel.is_over(&self.context(wallet, true)))
    }
}

/// What the chain task needs to know of a channel.
fn watch(entry: &ChannelEntry, stake: Stake) -> WatchRequest {
    WatchRequest {
        terms: entry.terms().clone(),
        view: *entry.channel.view(),
        stake,
        // A channel that was never used is checked, also if it was given up once.
        verify: entry.channel.receipts().is_none(),
        first_block: entry.first_block,
    }
}

/// Which channels the chain task is told to watch, and for how long (guard rules G1 and G2).
#[cfg(test)]
mod tests;
