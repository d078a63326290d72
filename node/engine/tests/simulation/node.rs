//! A node of a simulation: the shipped engine, and doubles of everything that the daemon has around it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use thunder_api::EndpointInfo;
use thunder_engine::{
    ChainCommand, ChainEvent, ConnectionId, Engine, EngineConfig, EngineStart, Event, InboundRequestId,
    OutboundRequestId, PeerId, UserRequestId,
};
use thunder_protocol::channel::Terms;
use thunder_protocol::onchain::{ChainView, Evidence};
use thunder_protocol::wire::{Envelope, Message, Packet};
use thunder_protocol::{Address, B256, ChainIdentity, Channel, Contracts, PaymentId, Receipt, Signer};
use thunder_testing::chain::Chain;

use crate::disk::Disk;

pub(crate) const CHAIN: ChainIdentity = ChainIdentity { chain_id: 31337, genesis: B256::repeat_byte(7) };
pub(crate) const CONTRACTS: Contracts =
    Contracts { token: Address::repeat_byte(1), factory: Address::repeat_byte(2) };

/// For how long it is good enough to have read the chain, in milliseconds.
pub(crate) const LASTS: u64 = 60_000;

/// What a user waits for.
#[derive(Debug, Clone)]
pub(crate) enum CallWaiter {
    Pay(PaymentId),
    Other,
}

/// A node.
pub(crate) struct Node {
    number: u8,
    pub(crate) peer_id: PeerId,
    pub(crate) wallet: Address,
    pub(crate) disk: Disk,
    /// `None` while the node is dead.
    pub(crate) engine: Option<Engine>,
    /// The channels that the chain is read for, and what the engine was told of each.
    watched: BTreeMap<Address, Option<ChainView>>,
    /// Users who wait.
    pub(crate) waiting: HashMap<UserRequestId, CallWaiter>,
    pub(crate) last_number: u64,
    /// Requests of peers that wait for the end of the batch: whose, and its number there.
    pub(crate) inbound: HashMap<InboundRequestId, (usize, OutboundRequestId)>,
    /// Whether events were handled since the last batch.
    pub(crate) has_batch: bool,
    /// It closes on old receipts when it can.
    pub(crate) is_cheat: bool,
    /// A cheat that no longer talks with anybody.
    pub(crate) is_mute: bool,
    /// Its endpoint does not answer.
    pub(crate) is_silent: bool,
    /// A backup was restored.
    pub(crate) was_restored: bool,
    /// The receipts that the other sides have signed, for a cheat to close on.
    pub(crate) evidence: BTreeMap<Address, Vec<Evidence>>,
    lives: u64,
}

fn signer(number: u8) -> Signer {
    Signer::new(&[number + 1; 32], &[3; 32]).unwrap()
}

impl Node {
    pub(crate) fn new(number: u8, disk: Disk) -> Self {
        Self {
            number,
            peer_id: PeerId::new(&[0, number], &format!("12D3Koo{number}")),
            wallet: signer(number).address(),
            disk,
            engine: None,
            watched: BTreeMap::new(),
            waiting: HashMap::new(),
            last_number: 0,
            inbound: HashMap::new(),
            has_batch: false,
            is_cheat: false,
            is_mute: false,
            is_silent: false,
            was_restored: false,
            evidence: BTreeMap::new(),
            lives: 0,
        }
    }

    /// The node starts with what its disk has.
    pub(crate) fn start(&mut self, now: u64) {
        let content = self.disk.content();
        self.lives += 1;
        let mut seed = [self.number; 32];
        seed[..8].copy_from_slice(&self.lives.to_be_bytes());
        let start = EngineStart {
            settings: EngineConfig {
                own_id: self.peer_id.clone(),
                contracts: CONTRACTS,
                rpc: "the chain".into(),
                confirmations: Some(2),
                auto_challenge: true,
                accept: thunder_engine::AcceptPolicy::DEFAULT,
            },
            chain: Some((CHAIN, content.head.map(|(_, head)| head))),
            peers: Vec::new(),
            seed,
            now,
        };
        let mut engine = Engine::new(start, Box::new(self.disk.clone())).unwrap();
        engine.set_wallet(signer(self.number), now);
        engine.handle(Event::Chain(ChainEvent::ChainSelected(CHAIN)), now);
        engine.handle(Event::Chain(ChainEvent::Contracts(Ok(()))), now);
        let endpoint = EndpointInfo { rpc: "the chain".into(), connected: true, block: None, trouble: None };
        engine.handle(Event::Chain(ChainEvent::Endpoints(vec![endpoint])), now);
        self.engine = Some(engine);
        self.has_batch = true;
    }

    /// What was not on the disk is gone.
    pub(crate) fn die(&mut self) {
        self.engine = None;
        self.has_batch = false;
        self.watched.clear();
        self.waiting.clear();
        self.inbound.clear();
        self.disk.crash();
    }

    pub(crate) const fn is_alive(&self) -> bool {
        self.engine.is_some()
    }

    pub(crate) const fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(crate) const fn next_connection(&mut self) -> ConnectionId {
        ConnectionId(self.next_number())
    }

    pub(crate) fn handle(&mut self, event: Event, now: u64) {
        if let Some(engine) = &mut self.engine {
            if std::env::var_os("THUNDER_TRACE").is_some() {
                eprintln!("[{now}] node {}: {event:?}", self.number);
            }
            engine.handle(event, now);
            self.has_batch = true;
        }
    }

    /// What the guard does with an order that is no call.
    pub(crate) fn watch(&mut self, command: &ChainCommand) {
        match command {
            ChainCommand::WatchAll(watches) => {
                self.watched = watches.iter().map(|watch| (watch.terms.channel, None)).collect();
            }
            ChainCommand::Watch(watch) => {
                self.watched.entry(watch.terms.channel).or_default();
            }
            ChainCommand::Unwatch(channel) => {
                self.watched.remove(channel);
            }
            ChainCommand::SetStake(..) | ChainCommand::Submit(_) | ChainCommand::CaughtUp => {}
        }
    }

    /// The guard reads the chain.
    pub(crate) fn read_chain(&mut self, chain: &Chain, are_events_late: bool, now: u64) {
        if self.is_silent {
            return;
        }
        let mut views = Vec::new();
        for (channel, shown) in &mut self.watched {
            let mut view = chain.view(channel);
            if are_events_late {
                view = view.without_events();
            }
            let is_new = shown.is_none_or(|shown| (shown.newest, shown.status) != (view.newest, view.status));
            if is_new {
                *shown = Some(view);
                views.push((*channel, view));
            }
        }
        for (channel, view) in views {
            self.handle(Event::Chain(ChainEvent::View { channel, view }), now);
        }
        self.handle(Event::Chain(ChainEvent::BlockRead { head: chain.height() }), now);
        let fresh = ChainEvent::ReadTimes { age: Some(0), lasts: LASTS, block_time: Some(12_000) };
        self.handle(Event::Chain(fresh), now);
    }

    /// The chain took blocks back.
    pub(crate) fn reorganise(&mut self, first: u64, now: u64) {
        self.handle(Event::Chain(ChainEvent::Reorganisation { first }), now);
    }

    /// Collects for a cheat what the other side has proposed.
    pub(crate) fn collect_proposals(&mut self, packet: &Packet) {
        for envelope in &packet.messages {
            let Envelope::Channel { channel, message } = envelope else { continue };
            let proposal = match message {
                Message::Propose(propose) => Some(propose),
                Message::Sync(sync) => sync.proposal.as_ref(),
                Message::Answer(_) | Message::Refuse(_) | Message::Final(_) => None,
            };
            if let Some(propose) = proposal {
                let receipt = Receipt { nonce: propose.nonce, balances: propose.balances };
                self.keep_evidence(*channel, Evidence { receipt, signature: Some(propose.signature) });
            }
        }
    }

    fn keep_evidence(&mut self, channel: Address, evidence: Evidence) {
        let known = self.evidence.entry(channel).or_default();
        if known.iter().rev().all(|other| other.receipt != evidence.receipt) {
            known.push(evidence);
        }
    }

    /// Collects for a cheat the receipts that both have signed.
    pub(crate) fn collect_evidence(&mut self) {
        let Some(engine) = &self.engine else { return };
        let evidence = engine.channels().newest_first().filter_map(|(address, entry)| {
            let role = entry.channel.setup().role();
            entry.channel.receipts().map(|receipts| (*address, receipts.evidence(role)))
        });
        for (channel, evidence) in evidence.collect::<Vec<_>>() {
            self.keep_evidence(channel, evidence);
        }
    }

    /// The channels, oldest first.
    pub(crate) fn channels(&self) -> Vec<(Address, Channel, Terms)> {
        let Some(engine) = &self.engine else { return Vec::new() };
        let all = engine.channels().newest_first();
        let mut all: Vec<_> =
            all.map(|(address, entry)| (*address, entry.channel.clone(), entry.terms().clone())).collect();
        all.reverse();
        all
    }

    /// The wallets of the peers with which there is a session.
    pub(crate) fn partners(&self) -> BTreeSet<Address> {
        let peers = self.engine.iter().flat_map(|engine| engine.peers().all());
        peers.filter_map(|peer| peer.wallet.map(|wallet| wallet.0)).collect()
    }
}
