//! The task that talks to the chain: it follows the blocks and sends transactions, so that the
//! daemon never waits for an RPC endpoint.
//!
//! New blocks are a conversation. The task says what is new; the daemon says which channels it
//! wants looked at; the task shows them as the chain has them; the daemon puts everything on disk,
//! the position included, and says so. If anything fails in between, the same blocks come again.

use std::time::Duration;

use thunder_chain::follow::{Blocks, Follower, Processed, Progress};
use thunder_chain::submit::{GasFunds, Outcome, Request, Submitter};
use thunder_chain::{Chain, ChainError, Head, Identity, NotTheChannel, STATES_AT_ONCE};
use thunder_protocol::Address;
use thunder_protocol::channel::Terms;
use thunder_protocol::onchain::{CallKind, ChainView, OnChain};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::config::Config;
use crate::keys::Key;
use crate::store::{Store, StoreError, TransactionLog};

/// How often a local testnet is asked for new blocks.
const LOCAL_POLL: Duration = Duration::from_millis(100);
/// How often another chain is asked.
const POLL: Duration = Duration::from_secs(2);
/// How often an endpoint that does not answer is asked.
const RETRY: Duration = Duration::from_secs(1);
/// How often what waits is tried again while there are no new blocks.
const IDLE_ADVANCE: Duration = Duration::from_secs(5);

/// How often, in blocks, every channel's contract is asked for its state, whatever the events say:
/// often enough to find a closing in time that an endpoint shows no event of.
const AUDIT_EVERY: u64 = 6;
/// How often the wallet's ether is looked at.
const FUNDS_EVERY: Duration = Duration::from_secs(1);

/// What the daemon asks of the task.
#[derive(Debug)]
pub(crate) enum ChainRequest {
    /// This wallet is used from now on.
    Wallet {
        /// Its address.
        account: Address,
        /// Its key.
        key: Key,
    },
    /// Make this call.
    Submit(Box<Request>),
}

impl ChainRequest {
    /// What comes first when several wait: without the wallet nothing can be sent.
    fn rank(&self) -> u8 {
        match self {
            Self::Wallet { .. } => 0,
            Self::Submit(request) if request.call.kind() == CallKind::Challenge => 1,
            Self::Submit(_) => 2,
        }
    }
}

/// What the task tells the daemon.
#[derive(Debug)]
pub(crate) enum ChainEvent {
    /// The chain was reached, and it is this one. Nothing else is said before.
    Identified {
        /// Which.
        identity: Identity,
        /// The factory's template, or why there is none.
        template: Result<Address, ChainError>,
    },
    /// There are new blocks; which channels shall be looked at?
    NewBlocks {
        /// The blocks.
        blocks: Blocks,
        /// Whether every channel's own word is to be compared with what its events say.
        audit: bool,
        /// The answer.
        wanted: oneshot::Sender<Vec<Look>>,
    },
    /// That is how the chain has them. To be put on disk together with the position.
    Views {
        /// The blocks.
        blocks: Blocks,
        /// The channels.
        views: Vec<(Address, Seen)>,
        /// It is on disk.
        done: oneshot::Sender<()>,
    },
    /// Not all channels could be looked at; that is how the chain has these. The blocks come again.
    Glimpse(Vec<(Address, Seen)>),
    /// The chain answers; nothing is new.
    Alive,
    /// The chain does not answer.
    Unreachable(ChainError),
    /// THD and the factory are there now, or still not.
    Template(Result<Address, ChainError>),
    /// What became of a call.
    Outcome(Outcome),
    /// How many transactions are not mined.
    Unmined(usize),
    /// What the wallet has for gas, and what gas costs.
    Funds(GasFunds),
}

/// A channel to be looked at.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// The channel.
    pub terms: Terms,
    /// Its events are not older than this block.
    pub since: u64,
    /// Whether to make sure that it is what was agreed on.
    pub verify: bool,
    /// Nothing was said of it, and that is its state so far: its events are read only if the
    /// contract says otherwise.
    pub known: Option<u8>,
}

/// A state as the contract numbers it; `None` if there is no contract.
pub(crate) const fn state_number(status: &OnChain) -> Option<u8> {
    match status {
        OnChain::Missing => None,
        OnChain::Empty { .. } => Some(0),
        OnChain::Active { .. } => Some(1),
        OnChain::Closing(_) => Some(2),
        OnChain::Closed { .. } => Some(3),
    }
}

/// What was seen of a channel.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    /// What the chain says of it.
    View(ChainView),
    /// It is not the channel that was agreed on.
    Invalid(NotTheChannel),
}

/// The task's state.
pub(crate) struct ChainTask {
    chain: Chain,
    config: Config,
    store: Store,
    requests: mpsc::UnboundedReceiver<ChainRequest>,
    events: mpsc::Sender<ChainEvent>,
    wallet: Option<(Address, Key)>,
    follower: Option<Follower>,
    submitter: Option<Submitter<TransactionLog>>,
    /// For which account and chain it is.
    submits_for: Option<(Address, Identity)>,
    has_template: bool,
    last_advance: Instant,
    unmined: usize,
    /// At which block the channels were last asked for their state.
    audited: u64,
    /// When the wallet's ether was last looked at.
    looked_at_funds: Option<Instant>,
}

/// The daemon is gone.
struct Stopped;

impl ChainTask {
    /// A task for this chain.
    pub(crate) fn new(
        chain: Chain,
        config: Config,
        store: Store,
        requests: mpsc::UnboundedReceiver<ChainRequest>,
        events: mpsc::Sender<ChainEvent>,
    ) -> Self {
        Self {
            chain,
            config,
            store,
            requests,
            events,
            wallet: None,
            follower: None,
            submitter: None,
            submits_for: None,
            has_template: false,
            last_advance: Instant::now(),
            unmined: 0,
            audited: 0,
            looked_at_funds: None,
        }
    }

    /// Runs until the daemon is gone.
    pub(crate) async fn run(mut self) {
        let mut pause = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                request = self.requests.recv() => {
                    let Some(request) = request else { return };
                    if self.handle_all(Some(request)).await.is_err() {
                        return;
                    }
                    // What was sent may be mined at once.
                    pause = LOCAL_POLL.min(pause);
                }
                () = tokio::time::sleep(pause) => match self.step().await {
                    Ok(Ok(())) => pause = self.poll_interval(),
                    Ok(Err(error)) => {
                        if self.tell(ChainEvent::Unreachable(error)).await.is_err() {
                            return;
                        }
                        pause = RETRY;
                    }
                    Err(Stopped) => return,
                },
            }
        }
    }

    fn poll_interval(&self) -> Duration {
        let chain_id = self.follower.as_ref().map(|follower| follower.identity().chain_id);
        let is_local = chain_id.is_some_and(|id| thunder_chain::contracts::LOCAL_CHAIN_IDS.contains(&id));
        if is_local { LOCAL_POLL } else { POLL }
    }

    async fn tell(&self, event: ChainEvent) -> Result<(), Stopped> {
        self.events.send(event).await.map_err(|_| Stopped)
    }

    /// Handles whatever is asked for by now: challenges first, which have to be in time.
    async fn handle_all(&mut self, first: Option<ChainRequest>) -> Result<(), Stopped> {
        let mut requests: Vec<_> = first.into_iter().collect();
        while let Ok(request) = self.requests.try_recv() {
            requests.push(request);
        }
        requests.sort_by_key(ChainRequest::rank);
        for request in requests {
            self.handle(request).await?;
        }
        Ok(())
    }

    async fn handle(&mut self, request: ChainRequest) -> Result<(), Stopped> {
        match request {
            ChainRequest::Wallet { account, key } => {
                self.wallet = Some((account, key));
                self.make_submitter();
            }
            ChainRequest::Submit(request) => {
                let (channel, kind) = (request.terms.channel, request.call.kind());
                failpoint!("submit-before");
                let outcome = match &mut self.submitter {
                    Some(submitter) => submitter.submit(*request).await,
                    None => {
                        let error = ChainError::Unreachable("the chain was not reached yet".into());
                        Some(Outcome::Failed { channel, kind, error })
                    }
                };
                failpoint!("broadcast-after");
                if let Some(outcome) = outcome {
                    self.tell(ChainEvent::Outcome(outcome)).await?;
                }
                self.report_unmined().await?;
            }
        }
        Ok(())
    }

    fn make_submitter(&mut self) {
        let (Some((account, key)), Some(follower)) = (&self.wallet, &self.follower) else { return };
        let identity = follower.identity();
        // What waits in the one that is there must not be lost.
        if self.submits_for == Some((*account, identity)) {
            return;
        }
        // One that signs for another chain or account is no use, whatever becomes of the new one.
        (self.submitter, self.submits_for) = (None, None);
        let (chain_id, genesis) = (identity.chain_id, identity.genesis);
        let sent = self.store.transactions(genesis).unwrap_or_else(|error| {
            tracing::error!(%error, "can't read the transactions that are under way");
            Vec::new()
        });
        let log = TransactionLog::new(self.store.clone(), genesis);
        let confirmations = self.config.confirmations_on(chain_id);
        match Submitter::new(self.chain.clone(), key.expose(), chain_id, confirmations, log, sent) {
            Ok(submitter) => {
                self.submitter = Some(submitter);
                self.submits_for = Some((*account, identity));
            }
            Err(error) => tracing::error!(%error, %account, "the wallet can't sign transactions"),
        }
    }

    /// Looks once. The inner error is the chain's.
    async fn step(&mut self) -> Result<Result<(), ChainError>, Stopped> {
        let Some(follower) = &self.follower else {
            return match self.chain.identity().await {
                Ok(identity) => self.start_following(identity).await,
                Err(error) => Ok(Err(error)),
            };
        };
        if !self.has_template {
            let template = self.chain.template().await;
            self.has_template = template.is_ok();
            self.tell(ChainEvent::Template(template)).await?;
        }
        let account = self.wallet.as_ref().map(|(account, _)| *account);
        match follower.next(&self.chain, account).await {
            Err(error) => Ok(Err(error)),
            Ok(Progress::Nothing) => {
                self.tell(ChainEvent::Alive).await?;
                if self.last_advance.elapsed() >= IDLE_ADVANCE {
                    return self.advance().await;
                }
                Ok(Ok(()))
            }
            Ok(Progress::OtherChain(identity)) => self.start_following(identity).await,
            Ok(Progress::Blocks(blocks)) => self.process(blocks).await,
        }
    }

    async fn start_following(&mut self, identity: Identity) -> Result<Result<(), ChainError>, Stopped> {
        let template = self.chain.template().await;
        if template.as_ref().is_err_and(ChainError::is_temporary) {
            return Ok(template.map(|_| ()));
        }
        let (first, processed) = match self.prepare_store(&identity) {
            Ok(prepared) => prepared,
            Err(error) => return Ok(Err(ChainError::Nonsense(error.to_string()))),
        };
        self.has_template = template.is_ok();
        self.follower = Some(Follower::new(identity, first, processed));
        self.make_submitter();
        self.tell(ChainEvent::Identified { identity, template }).await?;
        Ok(Ok(()))
    }

    /// Makes the database one for this chain; what belongs to another stays in it, out of use. Says
    /// where to begin: with the oldest channel if nothing of the chain is processed, else after what is.
    fn prepare_store(&self, identity: &Identity) -> Result<(Option<u64>, Vec<Processed>), StoreError> {
        if self.store.identity()? != Some(*identity) {
            self.store.set_identity(identity)?;
        }
        let processed = self.store.processed_blocks(identity.genesis)?;
        let first = match processed.is_empty() {
            true => self.store.channels(identity.genesis)?.iter().map(|stored| stored.since).min(),
            false => None,
        };
        Ok((first, processed))
    }

    async fn process(&mut self, blocks: Blocks) -> Result<Result<(), ChainError>, Stopped> {
        let (wanted, answer) = oneshot::channel();
        let head = blocks.head.number;
        // Also if the chain is shorter now.
        let audit = head.abs_diff(self.audited) >= AUDIT_EVERY;
        self.tell(ChainEvent::NewBlocks { blocks: blocks.clone(), audit, wanted }).await?;
        let looks = answer.await.map_err(|_| Stopped)?;
        let (views, failed) = self.look_at_all(&looks, &blocks).await;
        if let Some(error) = failed {
            // One channel that can't be read must not keep a cheat in another from its challenge, nor
            // what was sent from being mined.
            if !views.is_empty() {
                self.tell(ChainEvent::Glimpse(views)).await?;
            }
            let _ = self.advance().await?;
            return Ok(Err(error));
        }
        let (done, written) = oneshot::channel();
        self.tell(ChainEvent::Views { blocks: blocks.clone(), views, done }).await?;
        // Without the daemon's word that it is on disk the same blocks come again.
        if written.await.is_ok()
            && let Some(follower) = &mut self.follower
        {
            follower.processed(&blocks);
            if audit {
                self.audited = head;
            }
        }
        // What these blocks made necessary, before what was under way already.
        self.handle_all(None).await?;
        self.advance().await
    }

    /// What is seen of each, and why not of all. If nothing can be reached, the rest is not tried.
    async fn look_at_all(
        &self,
        looks: &[Look],
        blocks: &Blocks,
    ) -> (Vec<(Address, Seen)>, Option<ChainError>) {
        let (mut views, mut failed) = (Vec::new(), None);
        let (quiet, others): (Vec<_>, Vec<_>) = looks.iter().partition(|look| look.known.is_some());
        let others = others.into_iter().map(|look| (look, None)).collect();
        self.look_at_these(others, blocks, &mut views, &mut failed).await;
        for chunk in quiet.chunks(STATES_AT_ONCE) {
            if matches!(failed, Some(ChainError::Unreachable(_))) {
                break;
            }
            match self.own_words(chunk, &blocks.head).await {
                Ok(said) => {
                    let said = chunk.iter().copied().zip(said);
                    let odd = said.filter(|(look, said)| *said != look.known).collect();
                    self.look_at_these(odd, blocks, &mut views, &mut failed).await;
                }
                Err(error) => failed = Some(error),
            }
        }
        (views, failed)
    }

    /// Looks at these, of which some have said what state they are in.
    async fn look_at_these(
        &self,
        looks: Vec<(&Look, Option<u8>)>,
        blocks: &Blocks,
        views: &mut Vec<(Address, Seen)>,
        failed: &mut Option<ChainError>,
    ) {
        for (look, said) in looks {
            match self.look(look, said, blocks).await {
                Ok(seen) => views.push((look.terms.channel, seen)),
                Err(error @ ChainError::Unreachable(_)) => {
                    *failed = Some(error);
                    return;
                }
                Err(error) => *failed = failed.take().or(Some(error)),
            }
        }
    }

    async fn look(&self, look: &Look, said: Option<u8>, blocks: &Blocks) -> Result<Seen, ChainError> {
        let channel = look.terms.channel;
        let view = self.chain.view(&look.terms, look.since, &blocks.head).await?;
        if look.verify
            && view.newest.is_some()
            && let Err(why) = self.chain.verify(&look.terms, &blocks.head).await?
        {
            return Ok(Seen::Invalid(why));
        }
        let shown = state_number(&view.status);
        if let Some(said) = said.filter(|said| Some(*said) != shown) {
            // Whatever is true, signing more on this, or doing nothing, could cost the channel.
            return Err(ChainError::Contradictory(format!(
                "the contract of channel {channel} is in state {said} (0 EMPTY, 1 ACTIVE, 2 CLOSING, 3 CLOSED), \
                 and its events don't say so"
            )));
        }
        Ok(Seen::View(view))
    }

    /// The states that the contracts themselves are in; `None` if there is none at the address.
    async fn own_words(&self, looks: &[&Look], head: &Head) -> Result<Vec<Option<u8>>, ChainError> {
        let channels: Vec<_> = looks.iter().map(|look| look.terms.channel).collect();
        match self.chain.states(&channels, head).await {
            Ok(states) => return Ok(states),
            // Out of reach it looks the same; then the first of them is not answered either.
            Err(error) => tracing::debug!(%error, "the endpoint does not answer for many channels at once"),
        }
        let mut states = Vec::with_capacity(channels.len());
        for channel in channels {
            states.push(match self.chain.state(channel, head).await {
                Ok(state) => Some(state),
                Err(error) if error.is_temporary() => return Err(error),
                Err(_) => None,
            });
        }
        Ok(states)
    }

    async fn advance(&mut self) -> Result<Result<(), ChainError>, Stopped> {
        self.last_advance = Instant::now();
        let Some(submitter) = &mut self.submitter else { return Ok(Ok(())) };
        let head = match self.chain.head().await {
            Ok(head) => head,
            Err(error) => return Ok(Err(error)),
        };
        for outcome in submitter.advance(&head).await {
            self.tell(ChainEvent::Outcome(outcome)).await?;
        }
        self.report_unmined().await?;
        self.look_at_funds(&head).await?;
        Ok(Ok(()))
    }

    /// Tells the daemon what the wallet has for gas, now and then.
    async fn look_at_funds(&mut self, head: &Head) -> Result<(), Stopped> {
        let Some((account, _)) = &self.wallet else { return Ok(()) };
        if self.looked_at_funds.is_some_and(|last| last.elapsed() < FUNDS_EVERY) {
            return Ok(());
        }
        match self.chain.gas_funds(*account, head).await {
            Ok(funds) => {
                self.looked_at_funds = Some(Instant::now());
                self.tell(ChainEvent::Funds(funds)).await
            }
            // All that the chain says of the channels is read; this can wait.
            Err(error) => {
                tracing::debug!(%error, "can't look at the wallet's ether");
                Ok(())
            }
        }
    }

    async fn report_unmined(&mut self) -> Result<(), Stopped> {
        let unmined = self.submitter.as_ref().map_or(0, Submitter::unmined);
        if unmined != self.unmined {
            self.unmined = unmined;
            self.tell(ChainEvent::Unmined(unmined)).await?;
        }
        Ok(())
    }
}

/// How far below the newest block the events of a channel that is agreed on now can be: as far as
/// a reorganisation could push them.
pub(crate) const OPENING_MARGIN: u64 = 128;
