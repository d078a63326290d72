//! `Daemon`: the one loop that drives the engine.
//!
//! It turns what comes from the network, the chain, users and the clock into events, puts each batch of them on the
//! disk in one transaction, and only then sends, broadcasts and replies. One write and one message then serve as many
//! payments as have come in meanwhile.

mod backup_requests;
mod chain;
mod chain_warnings;
mod channel_info;
mod dial;
pub(crate) mod discovery;
mod finish_batch;
mod health;
pub(crate) mod infos;
mod network;
mod notices;
mod pending_replies;
pub(crate) mod queries;
mod requests;
mod wallet;

use std::time::Duration;

use libp2p::{PeerId, Swarm};
pub(crate) use thunder_chain::now_ms;
use thunder_chain::{Contracts, Report};
use thunder_engine::{Engine, EngineConfig, EngineStart, Event, UserCommand, UserRequestId};
use thunder_protocol::Address;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::args::Config;
use crate::chain_task::ChainRequest;
use crate::console::LostLines;
use crate::keys::{self, WalletFile};
use crate::metrics::Metrics;
use crate::p2p::Behaviour;
use crate::store::{NodeStore, StorageError};

pub(crate) use backup_requests::backup_error;
use chain::ChainStatus;
pub(crate) use channel_info::payment_info;
pub use health::Health;
use network::{Network, NetworkEvent, engine_peer};
use pending_replies::{PendingReplies, PendingReply};
pub(crate) use queries::HistoryScope;
pub use requests::{ReplySender, UserRequest};
pub(crate) use wallet::wallet_error;

/// How many inputs one batch takes.
const MAX_BATCH: usize = 4096;
/// How often the signer is blinded anew, and users who wait no more are looked for.
const UPKEEP_EVERY: Duration = Duration::from_secs(60);

/// The node.
pub struct Daemon {
    config: Config,
    store: Box<dyn NodeStore>,
    engine: Engine,
    network: Network,
    to_chain: mpsc::UnboundedSender<ChainRequest>,
    from_chain: mpsc::Receiver<Report>,
    requests: mpsc::Receiver<UserRequest>,
    are_requests_open: bool,
    wallet_file: WalletFile,
    /// Whether a backup was restored, which the next start puts in place.
    is_restored: bool,
    chain: ChainStatus,
    replies: PendingReplies,
    /// The number of the newest event that is on the disk.
    newest_event: watch::Sender<u64>,
    upkeep_at: Instant,
    metrics: Metrics,
    /// When the gauges were set last, and the node's health at that time.
    measured: Option<(Instant, Health)>,
    lost_lines: LostLines,
}

/// What the daemon is made of.
pub struct Deps {
    /// The command line.
    pub config: Config,
    /// The network.
    pub swarm: Swarm<Behaviour>,
    /// The chain task.
    pub(crate) to_chain: mpsc::UnboundedSender<ChainRequest>,
    /// What it reports.
    pub(crate) from_chain: mpsc::Receiver<Report>,
    /// Where THD and the factory are.
    pub contracts: Contracts,
    /// What users ask for.
    pub requests: mpsc::Receiver<UserRequest>,
    /// Where the wallet is kept.
    pub wallet_file: WalletFile,
    /// Where the number of the newest event goes.
    pub newest_event: watch::Sender<u64>,
    /// How much of the log was lost.
    pub lost_lines: LostLines,
}

/// Why a daemon can't be made.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StorageError),
    /// The system has no random numbers.
    #[error("the system has no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

/// One input.
enum Input {
    Network(Box<NetworkEvent>),
    Chain(Report),
    Request(UserRequest),
    Timer,
}

impl Daemon {
    /// A daemon with the channels that the store has. Clones of the store share it.
    pub fn new(deps: Deps, store: impl NodeStore + Clone + 'static) -> Result<Self, DaemonError> {
        let Deps { config, swarm, to_chain, from_chain, contracts, .. } = deps;
        let Deps { requests, wallet_file, newest_event, lost_lines, .. } = deps;
        let identity = store.identity()?;
        let head = identity.map(|identity| store.head(identity.genesis)).transpose()?.flatten();
        let known = store.peers()?.into_iter().filter_map(|known| {
            let peer: PeerId = known.peer_id.parse().ok()?;
            Some((engine_peer(&peer), known))
        });
        let start = EngineStart {
            settings: EngineConfig {
                own_id: engine_peer(swarm.local_peer_id()),
                contracts,
                rpc: config.rpc.to_string(),
                confirmations: config.confirmations,
                auto_challenge: !config.no_auto_challenge,
                accept: config.accept_policy(),
            },
            chain: identity.map(|identity| (identity, head)),
            peers: known.collect(),
            seed: *keys::random_bytes()?,
            now: now_ms(),
        };
        newest_event.send_replace(store.newest_event());
        let engine = Engine::new(start, Box::new(store.clone()))?;
        Ok(Self {
            config,
            store: Box::new(store),
            engine,
            network: Network::new(swarm),
            to_chain,
            from_chain,
            requests,
            are_requests_open: true,
            wallet_file,
            is_restored: false,
            chain: ChainStatus::default(),
            replies: PendingReplies::default(),
            newest_event,
            upkeep_at: Instant::now() + UPKEEP_EVERY,
            metrics: Metrics::default(),
            measured: None,
            lost_lines,
        })
    }

    /// The wallet's address.
    pub fn wallet_address(&self) -> Option<Address> {
        self.engine.wallet_address()
    }

    /// The multiaddrs that the node listens on, those that people use first.
    pub fn listeners(&self) -> Vec<String> {
        self.network.listeners()
    }

    /// The node's name in the network.
    pub fn peer_id(&self) -> &PeerId {
        self.network.own_id()
    }

    /// How many channels are neither closed nor wanted by another node and not on the chain yet.
    pub fn open_channels(&self) -> usize {
        self.engine.channels().open_count()
    }

    /// Handles inputs until `until` returns true or the deadline passes. The start uses it, so that the chain and the
    /// addresses are known when the node announces itself.
    pub async fn run_until(&mut self, deadline: Instant, until: impl Fn(&Self) -> bool) {
        while !until(self) {
            tokio::select! {
                input = self.next() => self.batch(input),
                () = tokio::time::sleep_until(deadline) => return,
            }
        }
    }

    /// The endpoint, the chain id and the block in one line, for people.
    pub fn chain_summary(&self) -> String {
        let chain = self.engine.chain();
        match (chain.is_connected(), chain.identity, chain.head) {
            (true, Some(identity), Some(head)) => {
                format!("{}, chain id {}, block {head}", self.config.rpc, identity.chain_id)
            }
            (true, Some(identity), None) => format!("{}, chain id {}", self.config.rpc, identity.chain_id),
            _ => format!("{} is not reachable; trying again", self.config.rpc),
        }
    }

    /// Whether the first look at the chain is over.
    pub const fn knows_chain(&self) -> bool {
        let chain = self.engine.chain();
        chain.is_caught_up && chain.contracts_found.is_some()
    }

    /// Runs until `stop` is there, or a backup was restored. Reports whether the node has to start
    /// anew.
    pub async fn run(&mut self, stop: impl Future<Output = ()>) -> bool {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return false,
                input = self.next() => self.batch(input),
            }
            if self.is_restored {
                return true;
            }
        }
    }

    /// The next input. Safe to drop while it waits.
    async fn next(&mut self) -> Input {
        let timer = self.next_timer();
        tokio::select! {
            event = self.network.next() => Input::Network(Box::new(event)),
            Some(report) = self.from_chain.recv() => Input::Chain(report),
            request = self.requests.recv(), if self.are_requests_open => match request {
                Some(request) => Input::Request(request),
                None => {
                    self.are_requests_open = false;
                    Input::Timer
                }
            },
            () = tokio::time::sleep_until(timer) => Input::Timer,
        }
    }

    fn next_timer(&self) -> Instant {
        let wait = self.engine.next_deadline().saturating_sub(now_ms());
        self.upkeep_at.min(Instant::now() + Duration::from_millis(wait))
    }

    /// Handles this input and all that are waiting, writes the batch to disk, and then carries out its outbox.
    fn batch(&mut self, first: Input) {
        self.abandon_openings();
        self.dispatch(first);
        let mut size = 1;
        while size < MAX_BATCH
            && let Some(input) = self.ready()
        {
            self.dispatch(input);
            size += 1;
        }
        self.upkeep();
        if self.engine.next_deadline() <= now_ms() {
            self.handle(Event::Deadline);
        }
        self.finish_batch(size);
        // What came of the batch itself, a peer that is sent away for instance.
        if self.engine.has_notices() {
            self.finish_batch(0);
        }
    }

    /// An input that is there without waiting.
    fn ready(&mut self) -> Option<Input> {
        if let Ok(request) = self.requests.try_recv() {
            return Some(Input::Request(request));
        }
        if let Some(event) = self.network.ready() {
            return Some(Input::Network(Box::new(event)));
        }
        self.from_chain.try_recv().ok().map(Input::Chain)
    }

    fn dispatch(&mut self, input: Input) {
        match input {
            Input::Network(event) => self.on_network(*event),
            Input::Chain(report) => self.on_report(report),
            Input::Request(request) => self.on_request(request),
            Input::Timer => {}
        }
    }

    fn handle(&mut self, event: Event) {
        self.engine.handle(event, now_ms());
    }

    /// Gives the engine a user's command, whose reply goes to `reply`.
    fn command(&mut self, reply: PendingReply, command: UserCommand) {
        let request = self.replies.insert(reply);
        self.handle(Event::Command(request, command));
    }

    /// What is done once a minute.
    fn upkeep(&mut self) {
        if self.upkeep_at > Instant::now() {
            return;
        }
        self.upkeep_at = Instant::now() + UPKEEP_EVERY;
        let abandoned = self.replies.take_abandoned(|_| true);
        if !abandoned.is_empty() {
            self.handle(Event::Abandoned(abandoned));
        }
        if let Ok(bytes) = keys::random_bytes() {
            self.engine.reblind(&bytes);
        }
    }

    /// Drops the openings whose users have given up before anything was signed.
    fn abandon_openings(&mut self) {
        let uncommitted: Vec<UserRequestId> = self.engine.uncommitted_requests().collect();
        if uncommitted.is_empty() {
            return;
        }
        let abandoned = self.replies.take_abandoned(|request| uncommitted.contains(request));
        if !abandoned.is_empty() {
            self.handle(Event::Abandoned(abandoned));
        }
    }
}
