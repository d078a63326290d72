//! What the chain task says.

use thunder_api::Event;
use thunder_chain::follow::{Blocks, Processed};
use thunder_chain::submit::Outcome;
use thunder_chain::{ChainError, Identity};
use thunder_protocol::channel::ChainInput;
use thunder_protocol::{Address, Channel, Input};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Daemon;
use super::execute::is_live;
use crate::chain_task::{ChainEvent, ChainRequest, Look, Seen};

impl Daemon {
    pub(super) fn on_chain(&mut self, event: ChainEvent) {
        match event {
            ChainEvent::Identified { identity, template } => self.on_identified(identity, template),
            ChainEvent::Template(template) => self.on_template(template),
            ChainEvent::NewBlocks { blocks, wanted } => {
                self.heard();
                let _ = wanted.send(self.looks(&blocks));
            }
            ChainEvent::Views { blocks, views, done } => self.on_views(&blocks, views, done),
            ChainEvent::Alive => {
                self.heard();
                self.caught_up();
            }
            ChainEvent::Unreachable(error) => self.on_unreachable(&error),
            ChainEvent::Outcome(outcome) => self.on_outcome(outcome),
            ChainEvent::Unmined(count) => {
                self.chain.unmined = count;
                metrics::gauge!("thunder_transactions_pending").set(count as f64);
            }
        }
    }

    fn heard(&mut self) {
        self.chain.last_heard = Instant::now();
        if !self.chain.connected {
            self.chain.connected = true;
            tracing::info!(rpc = %self.config.rpc, "the chain is reachable");
            self.events.push(Event::Chain(self.chain_info()));
        }
    }

    fn on_unreachable(&mut self, error: &ChainError) {
        if self.chain.connected || !self.chain.caught_up {
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
            Err(error) if self.chain.template.as_ref().err() != Some(error) => tracing::warn!("{error}"),
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
            self.chain.head = None;
            self.chain.caught_up = false;
            self.end_all_sessions("the chain is another one");
            if let Err(error) = self.load_channels() {
                tracing::error!(%error, "can't read the channels from disk");
            }
            self.events.push(Event::Chain(self.chain_info()));
        }
        self.heard();
    }

    /// Which channels to look at: those that emitted something, and, if blocks were taken back,
    /// those whose newest event was in one of them.
    fn looks(&self, blocks: &Blocks) -> Vec<Look> {
        let touched = blocks.touched.iter().filter_map(|address| self.channels.get(address));
        let replaced = blocks.replaced_from.map(|first| {
            tracing::warn!(first, "the chain took blocks back");
            self.channels
                .newest_first()
                .map(|(_, slot)| slot)
                .filter(move |slot| slot.channel.view().newest.is_some_and(|event| event.block >= first))
        });
        let mut looks: Vec<Look> = Vec::new();
        for slot in touched.chain(replaced.into_iter().flatten()) {
            let terms = slot.channel.setup().terms();
            if looks.iter().all(|look| look.terms.channel != terms.channel) {
                let verify = matches!(slot.channel, Channel::Opening(_));
                looks.push(Look { terms: terms.clone(), since: slot.since, verify });
            }
        }
        looks
    }

    /// The chain moved on. What it says is on disk together with how far it was read.
    fn on_views(&mut self, blocks: &Blocks, views: Vec<(Address, Seen)>, done: oneshot::Sender<()>) {
        self.heard();
        let head = blocks.head.number;
        self.chain.head = Some(head);
        metrics::gauge!("thunder_chain_height").set(head as f64);
        if self.wallet.is_none() && !self.channels.is_empty() {
            // Nothing can be done for them without the wallet, so nothing counts as read.
            return;
        }
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
        while let Some((due, channel)) =
            self.block_ticks.keys().next().copied().filter(|(due, _)| *due <= head)
        {
            self.block_ticks.remove(&(due, channel));
            if let Some(slot) = self.channels.get_mut(&channel) {
                slot.block_tick = None;
            }
            self.apply(channel, Input::Chain(ChainInput::Block));
        }
        let processed = Processed { number: head, hash: blocks.head.hash };
        let written =
            self.store.begin().and_then(|()| self.store.add_processed(&processed, blocks.replaced_from));
        if let Err(error) = written {
            // Without the word that it is on disk the same blocks come again.
            tracing::error!(%error, "can't note how far the chain was read");
            return;
        }
        self.after.then.push(Box::new(move |_| {
            let _ = done.send(());
        }));
        if self.chain.caught_up {
            return;
        }
        self.caught_up();
    }

    /// For the first time since the start the chain is read to its end: now other nodes are let in,
    /// and what was under way goes on.
    fn caught_up(&mut self) {
        if self.chain.caught_up || self.chain.identity.is_none() {
            return;
        }
        self.chain.caught_up = true;
        let live: Vec<_> = self
            .channels
            .newest_first()
            .filter(|(_, slot)| is_live(&slot.channel))
            .map(|(address, _)| *address)
            .collect();
        for channel in live {
            self.apply(channel, Input::Resume);
        }
        for peer in self.peers.links.keys().copied().collect::<Vec<_>>() {
            self.say_hello(peer);
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
