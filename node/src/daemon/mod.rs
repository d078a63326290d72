//! The daemon's one loop. It owns the channels, the sessions with other nodes and the callers who
//! wait; nothing else changes any of them.
//!
//! Inputs are taken in batches: everything that is there is applied, what changed is written in one
//! transaction, and only after its commit is anything sent, broadcast or answered. One write and
//! one message then serve as many payments as have come in meanwhile.

mod allowance;
mod answers;
mod asks;
mod chain;
mod chain_state;
mod channel_info;
mod channels;
mod chatter;
mod dial;
mod discovery;
mod execute;
mod funds;
mod infos;
pub mod limits;
mod lost;
mod measure;
mod opening;
mod patience;
mod payment_ids;
mod payments;
mod peers;
mod restoring;
mod sessions;
mod texts;
mod wallet;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{FutureExt, StreamExt};
use libp2p::request_response::OutboundRequestId;
use libp2p::swarm::SwarmEvent;
use libp2p::{PeerId, Swarm};
use thunder_chain::{Contracts, Report};
use thunder_protocol::channel::{CommandId, Context, Millis};
use thunder_protocol::{Address, Signer};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::chain_task::ChainRequest;
use crate::config::Config;
use crate::events::EventLog;
use crate::keys::{self, WalletFile};
use crate::log::LostLines;
use crate::metrics::Metrics;
use crate::p2p::{self, Behaviour, BehaviourEvent};
use crate::store::{Store, StoreError};

use answers::Caller;
pub use asks::{Ask, Order, Reply};
use chain_state::ChainState;
use channels::Channels;
use discovery::Discovery;
use execute::After;
pub use measure::Health;
use opening::Openings;
pub(crate) use opening::is_awaited;
use payment_ids::PaymentIds;
use peers::Peers;
pub(crate) use restoring::backup_error;
pub(crate) use wallet::wallet_error;

/// How many inputs one batch takes.
const MAX_BATCH: usize = 4096;
/// How often connections that lead nowhere are ended.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How often the signer is blinded anew.
const REBLIND_EVERY: Duration = Duration::from_secs(60);

/// The wallet in use.
struct Wallet {
    address: Address,
    signer: Signer,
    key: keys::Key,
}

/// The node.
pub struct Daemon {
    config: Config,
    store: Store,
    swarm: Swarm<Behaviour>,
    to_chain: mpsc::UnboundedSender<ChainRequest>,
    from_chain: mpsc::Receiver<Report>,
    asks: mpsc::Receiver<Ask>,
    asks_open: bool,
    wallet_file: WalletFile,
    wallet: Option<Wallet>,
    /// Why there is a wallet that can't be used.
    locked: Option<String>,
    /// A backup waits to be put in place by a new start.
    restored: bool,
    chain: ChainState,
    channels: Channels,
    peers: Peers,
    discovery: Discovery,
    openings: Openings,
    callers: HashMap<CommandId, Caller>,
    /// The ids of own payments that wait.
    payment_ids: PaymentIds,
    /// Channels with payments that were ordered in this batch and are proposed at its end, together.
    ordered: BTreeSet<Address>,
    /// The newest block that was read, as the disk has it.
    noted_head: Option<u64>,
    /// Who waits until the chain is read up to a block.
    awaiting_block: Vec<(u64, Reply<()>)>,
    next_command: u64,
    after: After,
    events: EventLog,
    /// When which channel wants to be told that time has passed.
    ticks: BTreeMap<(Millis, Address), ()>,
    /// At which block which channel wants to be told.
    block_ticks: BTreeMap<(u64, Address), ()>,
    reblind_at: Instant,
    /// When connections that lead nowhere are ended next.
    sweep_at: Instant,
    metrics: Metrics,
    /// When what `--metrics` says was measured, and how the node was then.
    measured: Option<(Instant, Health)>,
    /// When the packets went out that are not answered yet.
    asked: HashMap<OutboundRequestId, Instant>,
    lost_lines: LostLines,
}

/// What the daemon is made of.
pub struct Parts {
    /// The command line.
    pub config: Config,
    /// The disk.
    pub store: Store,
    /// The network.
    pub swarm: Swarm<Behaviour>,
    /// The chain task.
    pub(crate) to_chain: mpsc::UnboundedSender<ChainRequest>,
    /// What it says.
    pub(crate) from_chain: mpsc::Receiver<Report>,
    /// Where THD and the factory are.
    pub contracts: Contracts,
    /// What users ask.
    pub asks: mpsc::Receiver<Ask>,
    /// Where the wallet is kept.
    pub wallet_file: WalletFile,
    /// What watchers read.
    pub events: EventLog,
    /// How much of the log was lost.
    pub lost_lines: LostLines,
}

/// One input.
enum Inbound {
    Network(Box<SwarmEvent<BehaviourEvent>>),
    Chain(Report),
    Ask(Ask),
    Timer,
}

impl Daemon {
    /// A daemon with the channels that the disk has.
    pub fn new(parts: Parts) -> Result<Self, StoreError> {
        let Parts { config, store, swarm, to_chain, from_chain, .. } = parts;
        let Parts { contracts, asks, wallet_file, events, lost_lines, .. } = parts;
        let identity = store.identity()?;
        let head = identity.map(|identity| store.head(identity.genesis)).transpose()?.flatten();
        let chain = ChainState::new(identity, head, contracts);
        let mut daemon = Self {
            peers: Peers::new(*swarm.local_peer_id(), store.peers()?),
            config,
            store,
            swarm,
            to_chain,
            from_chain,
            asks,
            asks_open: true,
            wallet_file,
            wallet: None,
            locked: None,
            restored: false,
            chain,
            channels: Channels::default(),
            discovery: Discovery::default(),
            openings: Openings::default(),
            callers: HashMap::new(),
            payment_ids: PaymentIds::default(),
            ordered: BTreeSet::new(),
            noted_head: None,
            awaiting_block: Vec::new(),
            next_command: 0,
            after: After::default(),
            events,
            ticks: BTreeMap::new(),
            block_ticks: BTreeMap::new(),
            reblind_at: Instant::now() + REBLIND_EVERY,
            sweep_at: Instant::now() + SWEEP_EVERY,
            metrics: Metrics::default(),
            measured: None,
            asked: HashMap::new(),
            lost_lines,
        };
        daemon.load_channels()?;
        Ok(daemon)
    }

    /// Loads the wallet that the data directory has, if it can.
    pub fn load_wallet(&mut self) {
        let loaded = match self.wallet_file.load() {
            Ok(None) => return,
            Ok(Some(key)) => {
                keys::signer(&key).map(|signer| (key, signer)).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match loaded {
            Ok((key, signer)) => {
                let address = signer.address();
                if let Err(error) = self.may_use(address) {
                    return self.lock(format!("the wallet {address} can't be used: {error}"));
                }
                self.wallet = Some(Wallet { address, signer, key });
                self.tell_chain_of_wallet();
            }
            Err(error) => self.lock(error),
        }
    }

    fn lock(&mut self, why: String) {
        tracing::error!("no channel can be looked after: {why}");
        self.locked = Some(why);
    }

    /// The wallet's address.
    pub fn wallet_address(&self) -> Option<Address> {
        self.wallet.as_ref().map(|wallet| wallet.address)
    }

    /// The multiaddrs that the node listens on, those that people use first.
    pub fn listeners(&self) -> Vec<String> {
        p2p::shown_addresses(self.swarm.listeners())
    }

    /// The node's name in the network.
    pub fn peer_id(&self) -> &PeerId {
        self.swarm.local_peer_id()
    }

    /// How many channels are not over.
    pub fn open_channels(&self) -> usize {
        self.channels.open_count()
    }

    /// Handles what comes until `until` says stop or the time is up: used at the start, to have
    /// something to say about the chain and the addresses.
    pub async fn run_until(&mut self, deadline: Instant, until: impl Fn(&Self) -> bool) {
        while !until(self) {
            tokio::select! {
                inbound = self.next() => self.batch(inbound),
                () = tokio::time::sleep_until(deadline) => return,
            }
        }
    }

    /// What the chain is, for people.
    pub fn chain_summary(&self) -> String {
        match (self.chain.is_connected(), self.chain.identity, self.chain.head) {
            (true, Some(identity), Some(head)) => {
                format!("{}, chain id {}, block {head}", self.config.rpc, identity.chain_id)
            }
            (true, Some(identity), None) => format!("{}, chain id {}", self.config.rpc, identity.chain_id),
            _ => format!("{} is not reachable; trying again", self.config.rpc),
        }
    }

    /// Whether the first look at the chain is over.
    pub const fn knows_chain(&self) -> bool {
        self.chain.caught_up && self.chain.contracts_found.is_some()
    }

    /// Runs until `stop` is there, or a backup was restored. Reports whether the node has to start
    /// anew.
    pub async fn run(&mut self, stop: impl Future<Output = ()>) -> bool {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return false,
                inbound = self.next() => self.batch(inbound),
            }
            if self.restored {
                return true;
            }
        }
    }

    /// The next input. Safe to drop while it waits.
    async fn next(&mut self) -> Inbound {
        let timer = self.next_timer();
        tokio::select! {
            event = self.swarm.select_next_some() => Inbound::Network(Box::new(event)),
            Some(event) = self.from_chain.recv() => Inbound::Chain(event),
            ask = self.asks.recv(), if self.asks_open => match ask {
                Some(ask) => Inbound::Ask(ask),
                None => {
                    self.asks_open = false;
                    Inbound::Timer
                }
            },
            () = tokio::time::sleep_until(timer) => Inbound::Timer,
        }
    }

    fn next_timer(&self) -> Instant {
        let now = Instant::now();
        let tick = self
            .ticks
            .keys()
            .next()
            .map(|(due, _)| now + Duration::from_millis(due.saturating_sub(now_ms())));
        let (peer, opening) = (self.peers.next_dial(), self.openings.next_deadline());
        [tick, peer, opening, Some(self.reblind_at), Some(self.sweep_at)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.reblind_at)
    }

    /// Applies this input and all that are there by now, writes, and only then does the rest.
    fn batch(&mut self, first: Inbound) {
        self.dispatch(first);
        let mut size = 1;
        while size < MAX_BATCH
            && let Some(inbound) = self.ready()
        {
            self.dispatch(inbound);
            size += 1;
        }
        self.timers();
        self.propose_ordered();
        self.finish_batch(size);
    }

    /// An input that is there without waiting.
    fn ready(&mut self) -> Option<Inbound> {
        if let Ok(ask) = self.asks.try_recv() {
            return Some(Inbound::Ask(ask));
        }
        if let Some(Some(event)) = self.swarm.next().now_or_never() {
            return Some(Inbound::Network(Box::new(event)));
        }
        self.from_chain.try_recv().ok().map(Inbound::Chain)
    }

    fn dispatch(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Network(event) => self.on_network(*event),
            Inbound::Chain(report) => self.on_report(report),
            Inbound::Ask(ask) => self.on_ask(ask),
            Inbound::Timer => {}
        }
    }

    /// One proposal for all payments that came in this batch.
    pub(super) fn propose_ordered(&mut self) {
        for channel in std::mem::take(&mut self.ordered) {
            self.apply(channel, thunder_protocol::Input::Flush);
        }
    }

    /// Whatever time has come for.
    fn timers(&mut self) {
        let now = now_ms();
        while let Some(((due, channel), ())) = self.ticks.first_key_value().map(|(key, value)| (*key, *value))
        {
            if due > now {
                break;
            }
            self.ticks.remove(&(due, channel));
            self.apply(channel, thunder_protocol::Input::Tick);
        }
        self.dial_due();
        if self.sweep_at <= Instant::now() {
            self.sweep_at = Instant::now() + SWEEP_EVERY;
            self.drop_unproved();
        }
        self.openings.give_up(Instant::now());
        if self.reblind_at <= Instant::now() {
            self.reblind_at = Instant::now() + REBLIND_EVERY;
            self.callers.retain(|_, caller| caller.is_waiting());
            self.give_up_awaited();
            if let (Some(wallet), Ok(bytes)) = (&mut self.wallet, keys::random_bytes()) {
                wallet.signer.reblind(&bytes);
            }
        }
    }

    /// Whether the chain was heard of recently.
    fn is_chain_fresh(&self) -> bool {
        self.chain.is_fresh()
    }
}

/// The world while an input is applied.
///
/// `is_readable`: whether the channel itself can be read; otherwise nothing is signed over it.
fn context<'a>(config: &Config, wallet: &'a Wallet, chain: &ChainState, is_readable: bool) -> Context<'a> {
    let chain_id = chain.identity.map_or(0, |identity| identity.chain_id);
    Context {
        crypto: &wallet.signer,
        now: now_ms(),
        head: chain.head,
        chain_fresh: chain.is_fresh() && is_readable,
        confirmations: config.confirmations_on(chain_id),
        auto_challenge: !config.no_auto_challenge,
    }
}

/// Milliseconds since 1970. It never goes back, and goes on also while the system's clock is set
/// back, so that what waits for a time is not stalled.
pub(crate) fn now_ms() -> Millis {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    /// The largest difference so far between the system's clock and the time since the start.
    static AHEAD: AtomicU64 = AtomicU64::new(0);
    let millis = |elapsed: Duration| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let running = millis(BEGUN.get_or_init(Instant::now).elapsed());
    let clock = millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    let ahead = clock.saturating_sub(running);
    running.saturating_add(AHEAD.fetch_max(ahead, Ordering::Relaxed).max(ahead))
}
