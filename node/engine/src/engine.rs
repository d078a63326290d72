//! `Engine`: the state of a node, and how each event reaches the file that handles it.

use std::collections::{BTreeSet, HashMap};

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use thunder_api::{ApiError, ApiResult, Code};
use thunder_protocol::channel::{CommandId, Context, Millis, NextStep};
use thunder_protocol::wire::Request;
use thunder_protocol::{Address, B256, ChainIdentity, Contracts, Input, LOCAL_CHAIN_IDS, Signer};

use crate::PeerId;
use crate::accept::AcceptPolicy;
use crate::chain_state::ChainState;
use crate::channels::{ChannelEntry, Channels};
use crate::event::{Event, OutboundRequestId, PeerEvent, UserCommand, UserRequestId};
use crate::offers::Offers;
use crate::outbox::{Batch, Notice};
use crate::payment_ids::{BatchPayments, PaymentIds};
use crate::payments::PaidMany;
use crate::peers::{NewConnection, Peers};
use crate::replies::{PendingCommand, ReplyTarget};
use crate::storage::{KnownPeer, Storage, StorageError};

/// How often connections of peers that don't prove who they are are ended, in milliseconds.
const DROP_UNPROVED_EVERY: Millis = 10_000;
/// How often channels that others wanted to open and did not are forgotten, in milliseconds.
const GIVE_UP_EVERY: Millis = 60_000;

/// What does not change while a node runs.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The own peer id.
    pub own_id: PeerId,
    /// Where THD and the factory are.
    pub contracts: Contracts,
    /// The RPC endpoints, as users know them.
    pub rpc: String,
    /// How deep an opening must be before a receipt builds on it, if the user says so.
    pub confirmations: Option<u64>,
    /// Whether a closing on an old receipt is challenged without being told to.
    pub auto_challenge: bool,
    /// Which channels of others are agreed to.
    pub accept: AcceptPolicy,
}

/// The state of a node, without I/O. Events go in, batches come out; nothing that a batch asks for can be had before the
/// batch is on the disk.
pub struct Engine {
    pub(crate) settings: EngineConfig,
    pub(crate) disk: Box<dyn Storage>,
    random: ChaCha20Rng,
    /// The time of the event that is handled.
    pub(crate) now: Millis,
    pub(crate) wallet: Option<Signer>,
    /// Why there is a wallet that can't be used.
    locked: Option<String>,
    pub(crate) chain: ChainState,
    pub(crate) channels: Channels,
    /// The row of the next channel.
    pub(crate) next_row: i64,
    pub(crate) peers: Peers,
    pub(crate) offers: Offers,
    /// Commands that channels were given and that have no outcome yet.
    pub(crate) pending_commands: HashMap<CommandId, PendingCommand>,
    pub(crate) paid_many: HashMap<UserRequestId, PaidMany>,
    /// The ids of own payments that wait.
    pub(crate) payment_ids: PaymentIds,
    /// Users who wait until the chain is read up to a block.
    pub(crate) block_waiters: Vec<(u64, UserRequestId)>,
    pub(crate) next_command: u64,
    next_outbound: u64,
    /// Channels with payments that were ordered in this batch and are proposed at its end, together.
    pub(crate) dirty_channels: BTreeSet<Address>,
    pub(crate) batch: Batch,
    pub(crate) batch_payments: BatchPayments,
    drop_unproved_at: Millis,
    give_up_at: Millis,
}

/// What an engine starts with.
#[derive(Debug)]
pub struct EngineStart {
    /// The settings.
    pub settings: EngineConfig,
    /// The chain that was used last, and the newest block of it that was read.
    pub chain: Option<(ChainIdentity, Option<u64>)>,
    /// Peers to be connected with.
    pub peers: Vec<(PeerId, KnownPeer)>,
    /// The seed of the generator of challenges, salts and payment ids: random and secret.
    pub seed: [u8; 32],
    /// The time.
    pub now: Millis,
}

impl Engine {
    /// An engine with the channels that the disk has.
    pub fn new(start: EngineStart, disk: Box<dyn Storage>) -> Result<Self, StorageError> {
        let EngineStart { settings, chain, peers, seed, now } = start;
        let (identity, head) = chain.map_or((None, None), |(identity, head)| (Some(identity), head));
        let channels = match identity {
            Some(identity) => Channels::load(disk.channels(identity.genesis)?, identity.chain_id),
            None => Channels::default(),
        };
        Ok(Self {
            random: ChaCha20Rng::from_seed(seed),
            now,
            wallet: None,
            locked: None,
            chain: ChainState::new(identity, head, settings.contracts, now),
            channels,
            next_row: disk.next_channel_row()?,
            peers: Peers::new(settings.own_id.clone(), peers, now),
            offers: Offers::default(),
            pending_commands: HashMap::new(),
            paid_many: HashMap::new(),
            payment_ids: PaymentIds::default(),
            block_waiters: Vec::new(),
            next_command: 0,
            next_outbound: 0,
            dirty_channels: BTreeSet::new(),
            batch: Batch::default(),
            batch_payments: BatchPayments::default(),
            drop_unproved_at: now.saturating_add(DROP_UNPROVED_EVERY),
            give_up_at: now.saturating_add(GIVE_UP_EVERY),
            settings,
            disk,
        })
    }

    /// Handles an event. What it brings about is in the batch that [`Self::finish_batch`] ends.
    pub fn handle(&mut self, event: Event, now: Millis) {
        self.now = self.now.max(now);
        match event {
            Event::Peer(event) => self.on_peer_event(event),
            Event::Chain(event) => self.on_chain_event(event),
            Event::Command(request, command) => self.on_command(request, command),
            Event::Abandoned(requests) => {
                let is_abandoned = |request: &UserRequestId| requests.contains(request);
                self.offers.abandon(is_abandoned);
                self.block_waiters.retain(|(_, request)| !is_abandoned(request));
                self.pending_commands.retain(|_, pending| !is_abandoned(&pending.target.request()));
                self.paid_many.retain(|request, _| !is_abandoned(request));
            }
            Event::Deadline => self.on_deadline(),
        }
    }

    fn on_peer_event(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Connected { peer, connection: id, address, is_dialer, request } => {
                self.on_connected(NewConnection { peer, id, address, is_dialer, request });
            }
            PeerEvent::Disconnected { peer, connection, others } => {
                self.on_disconnected(&peer, connection, others);
            }
            PeerEvent::DialFailed { peer } => self.peers.dial_failed(&peer, self.now),
            PeerEvent::AddressFound { peer } => self.peers.dial_soon(&peer, self.now),
            PeerEvent::Request { peer, id, request } => self.on_request(&peer, id, request),
            PeerEvent::Response { peer, id, response } => self.on_response(&peer, id, response),
            PeerEvent::RequestFailed { peer, id, is_unsupported } => {
                self.on_request_failed(&peer, id, is_unsupported);
            }
            // The messages in the response may be lost. In a new session both sides send their state again.
            PeerEvent::ResponseFailed { peer } => {
                self.restart_session(&peer, "a response was not delivered");
            }
        }
    }

    fn on_command(&mut self, request_id: UserRequestId, command: UserCommand) {
        match command {
            UserCommand::Connect { peer, addresses } => self.connect(request_id, peer, addresses),
            UserCommand::Open { request, partner } => self.offer_channel(request_id, &request, partner),
            UserCommand::Fund { channel, value } => match self.require_chain() {
                Ok(_) => {
                    let id = self.register_command(channel, ReplyTarget::PaidIn(request_id));
                    let fund = thunder_protocol::channel::ChannelCommand::Fund { value: Some(value) };
                    self.apply(channel, Input::Command(id, fund));
                }
                Err(error) => self.reply(request_id, Err(error)),
            },
            UserCommand::Pay(request) => self.pay(request_id, request),
            UserCommand::PayMany(request) => self.pay_many(request_id, request),
            UserCommand::Close { request, gas } => self.close(request_id, &request, gas),
            UserCommand::Settle { command, selector, gas } => {
                self.settle(request_id, command, &selector, gas)
            }
            UserCommand::ImportReceipt(request) => self.import_receipt(request_id, &request),
            UserCommand::AwaitBlock(block) => {
                self.block_waiters.push((block, request_id));
                self.reply_block_waiters();
            }
        }
    }

    /// When [`Event::Deadline`] is wanted next.
    pub fn next_deadline(&self) -> Millis {
        let own = [self.drop_unproved_at, self.give_up_at];
        let others = [self.channels.next_tick(), self.peers.next_deadline(), self.offers.next_deadline()];
        own.into_iter().chain(others.into_iter().flatten()).min().unwrap_or(self.give_up_at)
    }

    fn on_deadline(&mut self) {
        while let Some(channel) = self.channels.take_due_tick(self.now) {
            self.apply(channel, Input::Tick);
        }
        self.dial_due();
        if self.drop_unproved_at <= self.now {
            self.drop_unproved_at = self.now.saturating_add(DROP_UNPROVED_EVERY);
            self.drop_unproved();
        }
        self.expire_offers();
        if self.give_up_at <= self.now {
            self.give_up_at = self.now.saturating_add(GIVE_UP_EVERY);
            self.give_up_inbound_pending();
        }
    }

    // ---- the wallet ---------------------------------------------------------------------------

    /// Uses this wallet from now on. The caller has made sure that no channel needs another one.
    pub fn set_wallet(&mut self, signer: Signer, now: Millis) {
        self.now = self.now.max(now);
        let is_first = self.wallet.is_none();
        self.wallet = Some(signer);
        self.locked = None;
        if !is_first || !self.peers.connected.is_empty() {
            self.end_all_sessions("another wallet is used");
        }
        if self.chain.identity.is_some() {
            self.watch_all();
        }
        if self.chain.is_caught_up {
            self.resume_channels();
        }
    }

    /// Notes why there is a wallet that can't be used.
    pub fn lock(&mut self, why: String) {
        self.locked = Some(why);
    }

    /// Why there is a wallet that can't be used.
    pub fn locked(&self) -> Option<&str> {
        self.locked.as_deref()
    }

    /// The wallet's signer.
    pub const fn wallet(&self) -> Option<&Signer> {
        self.wallet.as_ref()
    }

    /// Blinds the wallet's signer anew.
    pub fn reblind(&mut self, random: &[u8; 32]) {
        if let Some(wallet) = &mut self.wallet {
            wallet.reblind(random);
        }
    }

    /// The wallet's address.
    pub fn wallet_address(&self) -> Option<Address> {
        self.wallet.as_ref().map(Signer::address)
    }

    // ---- what commands require ----------------------------------------------------------------

    /// The wallet's address, or why there is none.
    pub fn require_wallet(&self) -> ApiResult<Address> {
        self.wallet_address().ok_or_else(|| {
            if let Some(why) = &self.locked {
                return ApiError::new(Code::WrongPassword, why.clone(), "put it right and restart thunderd");
            }
            let hint = "import one: thunder-cli importwallet \"<seedphrase>\"";
            ApiError::new(Code::NoWallet, "no wallet is loaded", hint)
        })
    }

    /// The chain, if an endpoint answers now.
    pub(crate) fn require_chain(&self) -> ApiResult<ChainIdentity> {
        let identity = self.chain.identity.filter(|_| self.chain.is_connected());
        identity.ok_or_else(|| {
            let message = format!("the chain at {} can't be reached", self.settings.rpc);
            let hint = "check that it runs, and --RPC; thunderd keeps trying";
            ApiError::new(Code::ChainUnreachable, message, hint)
        })
    }

    /// The chain and the wallet, if both and the contracts are there.
    pub fn require_ready(&self) -> ApiResult<(ChainIdentity, Address)> {
        let address = self.require_wallet()?;
        let identity = self.require_chain()?;
        match &self.chain.contracts_found {
            Some(Ok(())) => Ok((identity, address)),
            None => Err(ApiError::new(
                Code::ChainUnreachable,
                "THD and the channel factory were not looked for yet",
                "try again in a moment",
            )),
            Some(Err(error)) => {
                let hint = "deploy THD and the factory with `thunder-deploy thd --to <address>`, or see --token and --factory";
                Err(ApiError::new(Code::ContractsMissing, error.clone(), hint))
            }
        }
    }

    // ---- what others may look at --------------------------------------------------------------

    /// The channels of the chain in use.
    pub const fn channels(&self) -> &Channels {
        &self.channels
    }

    /// The peers.
    pub const fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The chain.
    pub const fn chain(&self) -> &ChainState {
        &self.chain
    }

    /// Whether every channel was read lately enough to sign on.
    pub fn is_chain_fresh(&self) -> bool {
        self.chain.is_fresh(self.now)
    }

    /// What can be done with a channel next; nothing without its wallet.
    pub fn next_step(&self, entry: &ChannelEntry) -> Option<NextStep> {
        self.wallet.as_ref().map(|wallet| entry.channel.next_step(&self.context(wallet, true)))
    }

    /// The commands that nothing was signed for yet: they are not carried out once their users have given up.
    pub fn uncommitted_requests(&self) -> impl Iterator<Item = UserRequestId> {
        self.offers.requests()
    }

    // ---- small things -------------------------------------------------------------------------

    pub(crate) fn context<'a>(&self, wallet: &'a Signer, is_readable: bool) -> Context<'a> {
        context(&self.settings, &self.chain, self.now, wallet, is_readable)
    }

    /// Adds something that has happened to the batch.
    pub fn notice(&mut self, notice: Notice) {
        self.batch.effects.notices.push(notice);
    }

    /// Whether something has happened since the last batch that is not in a batch yet.
    pub fn has_notices(&self) -> bool {
        !self.batch.effects.notices.is_empty()
    }

    pub(crate) fn random_bytes(&mut self) -> B256 {
        let mut bytes = B256::ZERO;
        self.random.fill_bytes(bytes.as_mut_slice());
        bytes
    }

    /// The number of the next request to a peer.
    pub fn next_outbound_id(&mut self) -> OutboundRequestId {
        self.next_outbound += 1;
        OutboundRequestId(self.next_outbound)
    }

    /// The number of the request to a peer that was sent last.
    pub(crate) const fn last_outbound_id(&self) -> OutboundRequestId {
        OutboundRequestId(self.next_outbound)
    }

    pub(crate) fn send_request(&mut self, peer: &PeerId, request: Request) -> OutboundRequestId {
        let id = self.next_outbound_id();
        self.batch.effects.independent.requests.push((id, peer.clone(), request));
        id
    }
}

fn confirmations(settings: &EngineConfig, chain: &ChainState) -> u64 {
    confirmations_on(settings.confirmations, chain.identity.map_or(0, |identity| identity.chain_id))
}

/// How deep an opening must be on a chain before a receipt builds on it: as the user says, or 1 on a local testnet
/// and 6 elsewhere.
pub fn confirmations_on(own: Option<u64>, chain_id: u64) -> u64 {
    own.unwrap_or(if LOCAL_CHAIN_IDS.contains(&chain_id) { 1 } else { 6 })
}

/// What the core needs to know while an input is applied. `is_readable`: whether the channel can be read from the chain;
/// otherwise nothing is signed over it.
pub(crate) fn context<'a>(
    settings: &EngineConfig,
    chain: &ChainState,
    now: Millis,
    wallet: &'a Signer,
    is_readable: bool,
) -> Context<'a> {
    Context {
        crypto: wallet,
        now,
        head: chain.head,
        chain_fresh: chain.is_fresh(now) && is_readable,
        confirmations: confirmations(settings, chain),
        auto_challenge: settings.auto_challenge,
    }
}
