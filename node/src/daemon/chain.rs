//! What the chain task says.

use std::collections::HashSet;

use thunder_api::Event;
use thunder_chain::follow::{Blocks, Processed};
use thunder_chain::submit::Outcome;
use thunder_chain::{ChainError, Identity};
use thunder_protocol::channel::ChainInput;
use thunder_protocol::onchain::CHALLENGE_PERIOD;
use thunder_protocol::{Address, Input};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Daemon;
use super::execute::is_live;
use crate::chain_task::{ChainEvent, ChainRequest, Look, Seen, state_number};

impl Daemon {
    pub(super) fn on_chain(&mut self, event: ChainEvent) {
        match event {
            ChainEvent::Identified { identity, template } => self.on_identified(identity, template),
            ChainEvent::Template(template) => self.on_template(template),
            ChainEvent::NewBlocks { blocks, audit, wanted } => {
                let _ = wanted.send(self.looks(&blocks, audit));
            }
            ChainEvent::Views { blocks, views, done } => self.on_views(&blocks, views, done),
            ChainEvent::Glimpse(views) => self.apply_views(views),
            ChainEvent::Alive => {
                self.heard();
                self.caught_up();
            }
            ChainEvent::Unreachable(error) => self.on_unreachable(&error),
            ChainEvent::Outcome(outcome) => self.on_outcome(outcome),
            ChainEvent::Funds(funds) => self.on_funds(funds),
            ChainEvent::Unmined(count) => {
                self.chain.unmined = count;
            }
        }
    }

    /// All that the chain says is read.
    fn heard(&mut self) {
        self.chain.last_heard = Instant::now();
        self.reached();
    }

    fn reached(&mut self) {
        self.chain.trouble = None;
        if !self.chain.connected {
            self.chain.connected = true;
            tracing::info!(rpc = %self.config.rpc, "the chain is reachable");
            self.events.push(Event::Chain(self.chain_info()));
        }
    }

    fn on_unreachable(&mut self, error: &ChainError) {
        let is_new = self.chain.trouble.as_ref() != Some(error);
        self.chain.trouble = Some(error.clone());
        if let ChainError::Contradictory(_) = error {
            if is_new {
                let rpc = &self.config.rpc;
                tracing::error!(%rpc, %error, "MONEY AT RISK: the chain can't be read; name another RPC entry point with --RPC");
                self.warn(format!("{error}; name another with --RPC"));
            }
        } else if self.chain.connected || !self.chain.caught_up {
            tracing::warn!(rpc = %self.config.rpc, %error, "the chain is not reachable; trying again");
        }
        if self.chain.connected {
            self.chain.connected = false;
            self.events.push(Event::Chain(self.chain_info()));
        }
    }

    fn on_template(&mut self, template: Result<Address, ChainError>) {
        match &template {
            Ok(template) => tracing::info!(%template, "THD and the channel factory are there"),
            Err(error) if self.chain.template.as_ref().err() != Some(error) => {
                tracing::warn!(%error, "THD or the channel factory can't be used");
            }
            Err(_) => {}
        }
        self.chain.template = template;
    }

    fn on_identified(&mut self, identity: Identity, template: Result<Address, ChainError>) {
        self.on_template(template);
        if self.chain.identity != Some(identity) {
            match self.chain.identity {
                None => tracing::info!(chain_id = identity.chain_id, "this is the chain"),
                Some(earlier) if earlier.chain_id == identity.chain_id => tracing::warn!(
                    "the chain was started anew (another block 0): channels of its earlier life can't be used any more"
                ),
                Some(earlier) => tracing::warn!(
                    "the chain is another one: {} instead of {}; channels there wait until it is back",
                    identity.chain_id,
                    earlier.chain_id
                ),
            }
            self.chain.identity = Some(identity);
            self.chain.last_advanced = Instant::now();
            self.chain.followed = self.store.followed(identity.genesis).unwrap_or_default();
            self.chain.head = None;
            self.chain.caught_up = false;
            self.end_all_sessions("the chain is another one");
            if let Err(error) = self.load_channels() {
                tracing::error!(%error, "can't read the channels from disk");
            }
            self.events.push(Event::Chain(self.chain_info()));
        }
        self.reached();
    }

    /// Which channels to look at: those that emitted something, and, if blocks were taken back,
    /// those whose newest event was in one of them.
    fn looks(&mut self, blocks: &Blocks, audit: bool) -> Vec<Look> {
        self.note_flood(!blocks.is_complete);
        let touched = blocks.touched.iter().filter_map(|address| self.channels.get(address));
        let replaced = blocks.replaced_from.map(|first| {
            tracing::warn!(first, "the chain took blocks back");
            self.channels
                .newest_first()
                .map(|(_, slot)| slot)
                .filter(move |slot| slot.channel.view().newest.is_some_and(|event| event.block >= first))
        });
        let (mut looks, mut looked) = (Vec::new(), HashSet::new());
        // What this side opens is looked at with every block, so that one odd answer changes nothing.
        let own = self.channels.own_openings();
        // Blocks that were read for another wallet say nothing of this one's channels.
        let is_other = self.chain.followed != self.wallet_address();
        let all =
            (is_other || !blocks.is_complete).then(|| self.channels.newest_first().map(|(_, slot)| slot));
        let all = all.into_iter().flatten().filter(|slot| is_live(&slot.channel));
        for slot in touched.chain(replaced.into_iter().flatten()).chain(own).chain(all) {
            let terms = slot.channel.setup().terms();
            if looked.insert(terms.channel) {
                // Whatever was never used is checked, also if it was given up once.
                let verify = slot.channel.books().is_none();
                looks.push(Look { terms: terms.clone(), since: slot.since, verify, known: None });
            }
        }
        if audit {
            for (_, slot) in self.channels.newest_first().filter(|(_, slot)| is_live(&slot.channel)) {
                let terms = slot.channel.setup().terms();
                let known = state_number(&slot.channel.view().status);
                if known.is_some() && !looked.contains(&terms.channel) {
                    looks.push(Look { terms: terms.clone(), since: slot.since, verify: false, known });
                }
            }
        }
        looks
    }

    /// The chain moved on. What it says is on disk together with how far it was read.
    fn on_views(&mut self, blocks: &Blocks, views: Vec<(Address, Seen)>, done: oneshot::Sender<()>) {
        self.reached();
        let head = blocks.head.number;
        self.warn_of_absence(head);
        if self.chain.head != Some(head) {
            self.chain.last_advanced = Instant::now();
        }
        self.chain.head = Some(head);
        if self.wallet.is_none() && !self.channels.is_empty() {
            // Nothing can be done for them without the wallet, so nothing counts as read.
            return;
        }
        self.apply_views(views);
        // Taken at once: what asks for another block meanwhile waits for that.
        let later = self.block_ticks.split_off(&(head.saturating_add(1), Address::ZERO));
        for (_, channel) in std::mem::replace(&mut self.block_ticks, later).into_keys() {
            if let Some(slot) = self.channels.get_mut(&channel) {
                slot.block_tick = None;
            }
            self.apply(channel, Input::Chain(ChainInput::Block));
        }
        if self.channels.any_frozen() || self.channels.under_another_id > 0 {
            // What a frozen channel has seen is not on disk: after a restart it has to come again. And
            // on a fork with another chain id nothing was read for the channels of the first.
            self.heard();
            self.caught_up();
            return;
        }
        let Some(identity) = self.chain.identity else { return };
        let processed = Processed { number: head, hash: blocks.head.hash };
        let followed = self.wallet_address();
        let written = self.store.begin().and_then(|()| {
            if let Some(wallet) = followed.filter(|_| followed != self.chain.followed) {
                self.store.set_followed(identity.genesis, &wallet)?;
            }
            self.store.add_processed(identity.genesis, &processed, blocks.replaced_from)
        });
        if let Err(error) = written {
            // Without the word that it is on disk the same blocks come again.
            tracing::error!(%error, "can't note how far the chain was read");
            return;
        }
        self.after.then.push(Box::new(move |daemon: &mut Self| {
            daemon.heard();
            daemon.chain.followed = followed;
            daemon.tell_of_block();
            let _ = done.send(());
        }));
        self.caught_up();
    }

    /// Each channel learns how the chain has it.
    fn apply_views(&mut self, views: Vec<(Address, Seen)>) {
        for (channel, seen) in views {
            let input = match seen {
                Seen::View(view) => ChainInput::View(view),
                Seen::Invalid(why) => {
                    tracing::error!(%channel, %why, "the contract is not the channel that was agreed on");
                    ChainInput::Invalid(why.to_string())
                }
            };
            self.apply(channel, Input::Chain(input));
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
        for peer in self.peers.links.keys().copied().collect::<Vec<_>>() {
            self.say_hello(peer);
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

    fn on_outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Failed { channel, kind, error } => {
                tracing::warn!(%channel, ?kind, %error, "a transaction failed");
                let input = ChainInput::CallFailed { kind, reason: error.into() };
                self.apply(channel, Input::Chain(input));
            }
            Outcome::Mined { channel, kind, tx, block } => {
                tracing::info!(%channel, ?kind, %tx, block, "a transaction was mined");
            }
        }
    }

    /// The chain task uses the wallet from now on.
    pub(super) fn tell_chain_of_wallet(&mut self) {
        let Some(wallet) = &self.wallet else { return };
        let request = ChainRequest::Wallet { account: wallet.address, key: wallet.key.clone() };
        if self.to_chain.send(request).is_err() {
            tracing::error!("the chain task is gone; restart thunderd");
        }
    }
}
