//! `Guard`: a state machine from endpoints' answers to questions, transactions and reports.
//!
//! It reads no clock, no disk and no network.

mod ask;
mod belief;
mod chain;
mod event_search;
mod read;
mod report;
mod verify;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use thunder_protocol::{Address, B256, Role};
use zeroize::Zeroizing;

use crate::block::DEFAULT_BLOCK_TIME;
use crate::endpoint::{Endpoint, Millis};
use crate::error::AskError;
use crate::question::{EndpointAnswer, Question};
use crate::read_schedule::ReadSchedule;
use crate::retry_timer::RetryTimer;
use crate::state::StorageState;
use crate::transactions::{
    CallRequest, CantSign, Conditions, Effect, Key, SignedCall, TransactionQuestion, TransactionSigner,
    Transactions,
};
use crate::watch::WatchedChannel;
use event_search::Search;
pub use report::{Action, EndpointStatus, GuardConfig, Report, Ticket};
use thunder_protocol::ChainIdentity;

/// Why a question was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum QuestionPurpose {
    ChainId,
    Genesis,
    Newest,
    Ancestor(u64),
    OlderBlock,
    States(Arc<[Address]>),
    Storage(Address),
    ClosingEvents { role: Role, to: u64 },
    Explain { channel: Address, from: u64, to: u64 },
    Verify(Address, VerifyPart),
    Contracts(ContractsPart),
    Transaction(TransactionQuestion),
    Send(Key, B256),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum VerifyPart {
    Code,
    Amount,
    Held,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ContractsPart {
    TokenCode,
    TokenDecimals,
    FactoryCode,
    FactoryToken,
}

/// A question that is under way.
#[derive(Debug)]
struct InFlightQuestion {
    endpoint: usize,
    purpose: QuestionPurpose,
    question: Question,
    at: Millis,
    /// The endpoint's epoch: an answer of an earlier one is of no use.
    epoch: u64,
    /// How often the same was asked because no answer came.
    copies: u8,
    was_repeated: bool,
}

/// What belongs to one endpoint beside what is known of it.
#[derive(Debug, Default)]
struct EndpointWork {
    schedule: ReadSchedule,
    /// Channels whose end was shown once: they are read again with the next block.
    ends: Vec<Address>,
    /// Grows whenever the endpoint may be on another chain than it was.
    epoch: u64,
    identity: IdentityCheck,
    /// Whether the chain that it shows is known to be the one that it showed before.
    is_identified: bool,
    /// From which height on blocks were taken back, if it is still the same chain.
    replaced: Option<u64>,
    /// An older block that is compared with what was shown before.
    ancestor: Option<Ancestor>,
    older: RetryTimer,
    /// Events that tell of closings early, with the account as A and as B.
    closing_events: [ClosingEvents; 2],
    balance: RetryTimer,
    /// The head at which all that was due is read.
    read_head: Option<u64>,
    /// Whether it is used: its chain is the right one, and it is up to date.
    is_live: bool,
}

/// A block that an endpoint has shown, and that is asked for again: another hash, shown twice, means that
/// blocks were taken back.
#[derive(Debug)]
struct Ancestor {
    number: u64,
    timer: RetryTimer,
    other: Option<Option<B256>>,
}

impl Ancestor {
    fn new(number: u64) -> Self {
        Self { number, timer: RetryTimer::default(), other: None }
    }
}

/// The chain id and block 0 of an endpoint, asked for once in a while. A few wrong answers make no other chain, and a
/// chain that wrong answers have made is left again.
#[derive(Debug, Default)]
struct IdentityCheck {
    chain_id: Option<u64>,
    genesis: Option<B256>,
    chain_id_timer: RetryTimer,
    genesis_timer: RetryTimer,
    /// How often in a row block 0 was refused.
    refusals: u32,
    /// Another chain than the one that is known, how often it was shown in a row, and since when.
    other: Option<(ChainIdentity, u32, Millis)>,
}

/// Events that name the account as one of the parties.
#[derive(Debug, Default)]
struct ClosingEvents {
    /// Up to which block they were asked for.
    asked_to: Option<u64>,
    timer: RetryTimer,
}

/// The guard.
#[derive(Debug)]
pub struct Guard {
    settings: GuardConfig,
    endpoints: Vec<Endpoint>,
    work: Vec<EndpointWork>,
    chain: Option<ChainIdentity>,
    /// The chain that was used before this one, as long as an endpoint that has not answered since may show it.
    earlier: Option<ChainIdentity>,
    /// When the first endpoint said which chain it shows.
    identified_at: Option<Millis>,
    /// `None` until the node has given them.
    channels: Option<HashMap<Address, WatchedChannel>>,
    /// Channels that are read with each block.
    urgent: BTreeSet<Address>,
    /// Channels that endpoints show differently.
    differing: BTreeSet<Address>,
    /// Channels whose views wait for something.
    waiting: BTreeSet<Address>,
    searches: BTreeMap<Address, Search>,
    verifying: BTreeMap<Address, verify::Verifying>,
    /// Channels that an endpoint can't read.
    unreadable: BTreeMap<Address, Unreadable>,
    contracts: verify::ContractsCheck,
    transactions: Option<Transactions>,
    /// The oldest first, so that a run can be repeated.
    tickets: BTreeMap<Ticket, InFlightQuestion>,
    next_ticket: Ticket,
    /// Which endpoint is asked first.
    first_asked: usize,
    actions: VecDeque<Action>,
    /// The newest block at which all that was due is read, as was reported.
    read_head: Option<u64>,
    /// Since when a newer one waits to be reported.
    read_since: Option<Millis>,
    is_released: bool,
    reported: LastReported,
}

/// A channel that endpoints can't read.
#[derive(Debug, Default)]
struct Unreadable {
    /// How often in a row each endpoint did not read it.
    tries: Vec<u32>,
    /// Why, if it was reported.
    reported: Option<String>,
}

impl Unreadable {
    fn is_at(&self, endpoint: usize) -> bool {
        self.tries.get(endpoint).is_some_and(|tries| *tries > 0)
    }
}

/// What was reported to the node last.
#[derive(Debug, Default)]
struct LastReported {
    endpoints: Vec<EndpointStatus>,
    calls: (usize, Vec<(Address, String)>),
    fresh: Option<(Option<Millis>, Millis, Option<Millis>)>,
    fresh_at: Millis,
    funds: Option<crate::transactions::GasFunds>,
}

impl Guard {
    /// A guard that has asked nothing yet.
    pub fn new(settings: GuardConfig) -> Self {
        let endpoints: Vec<_> = settings.endpoints.iter().cloned().map(Endpoint::new).collect();
        let work = endpoints.iter().map(|_| EndpointWork::default()).collect();
        Self {
            settings,
            endpoints,
            work,
            chain: None,
            earlier: None,
            identified_at: None,
            channels: None,
            urgent: BTreeSet::new(),
            differing: BTreeSet::new(),
            waiting: BTreeSet::new(),
            searches: BTreeMap::new(),
            verifying: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            contracts: verify::ContractsCheck::default(),
            transactions: None,
            tickets: BTreeMap::new(),
            next_ticket: 0,
            first_asked: 0,
            actions: VecDeque::new(),
            read_head: None,
            read_since: None,
            is_released: false,
            reported: LastReported::default(),
        }
    }

    /// Which chain it is, once that is known.
    pub const fn chain(&self) -> Option<ChainIdentity> {
        self.chain
    }

    // ---- orders -------------------------------------------------------------------------------

    /// Uses this account from now on, on the present chain; `sent` are its calls of an earlier run. The
    /// same account again changes nothing.
    ///
    /// # Errors
    ///
    /// If the key can't sign.
    pub fn set_account(
        &mut self,
        secret: &Zeroizing<[u8; 32]>,
        confirmations: u64,
        sent: Vec<SignedCall>,
    ) -> Result<(), CantSign> {
        let Some(chain) = self.chain else { return Ok(()) };
        let account = match TransactionSigner::new(secret, chain.chain_id) {
            Ok(account) => account,
            Err(error) => {
                self.transactions = None;
                return Err(error);
            }
        };
        let is_same = self
            .transactions
            .as_ref()
            .is_some_and(|old| (old.account(), old.chain_id()) == (account.address(), chain.chain_id));
        if !is_same {
            self.transactions = Some(Transactions::new(account, confirmations, self.endpoints.len(), sent));
        }
        Ok(())
    }

    /// Makes a call, unless the same is under way. Without an account nothing is made.
    pub fn submit(&mut self, request: CallRequest, now: Millis) {
        let around = self.conditions(now);
        let channel = self.channels.as_ref().and_then(|channels| channels.get(&request.terms.channel));
        let believed = channel.and_then(|channel| channel.believed);
        let is_believed = matches!(believed, Some(StorageState::Closing { .. }));
        if let Some(transactions) = &mut self.transactions {
            transactions.submit(request, is_believed, &around);
        }
    }

    /// The node has handled all that was read since the start, and its challenges are ordered: other calls may
    /// be sent now, too.
    pub const fn release(&mut self) {
        self.is_released = true;
    }

    // ---- disk ---------------------------------------------------------------------------------

    /// Writing a call to disk has succeeded, or not.
    pub fn saved(&mut self, sent: &SignedCall, result: Result<(), String>) {
        if let Some(transactions) = &mut self.transactions {
            transactions.saved(Key::new(sent.channel, sent.kind), result);
        }
    }

    // ---- answers ------------------------------------------------------------------------------

    /// An endpoint has answered, with this JSON, or not. Whatever it says, only this one question is the
    /// worse for it (rule G5).
    pub fn answered(&mut self, ticket: Ticket, result: Result<&str, AskError>, now: Millis) {
        let Some(asked) = self.tickets.remove(&ticket) else { return };
        let result = result.and_then(|json| asked.question.read(json));
        let took = now.saturating_sub(asked.at);
        if let Some(endpoint) = self.endpoints.get_mut(asked.endpoint) {
            let is_send = matches!(asked.purpose, QuestionPurpose::Send(..));
            endpoint.answered(&result, is_send, took, now);
        }
        let is_current = self.work.get(asked.endpoint).is_some_and(|work| work.epoch == asked.epoch);
        let outdated = || AskError::Unreachable("the answer is about another chain".into());
        self.dispatch(&asked, if is_current { result } else { Err(outdated()) }, now);
    }

    fn dispatch(&mut self, asked: &InFlightQuestion, result: Result<EndpointAnswer, AskError>, now: Millis) {
        let endpoint_index = asked.endpoint;
        self.rotate_first_asked(endpoint_index, &asked.purpose, &result);
        match &asked.purpose {
            QuestionPurpose::ChainId | QuestionPurpose::Genesis => {
                self.on_identity(endpoint_index, &asked.purpose, &result, now)
            }
            QuestionPurpose::Newest => {
                self.on_newest(endpoint_index, result, now);
                let head = self.endpoints.get(endpoint_index).and_then(|endpoint| endpoint.head);
                if let (Some(transactions), Some(head)) = (&mut self.transactions, head) {
                    transactions.on_polled(endpoint_index, asked.at, head.number);
                }
            }
            QuestionPurpose::Ancestor(number) => self.on_ancestor(endpoint_index, *number, result, now),
            QuestionPurpose::OlderBlock => self.on_older_block(endpoint_index, result, now),
            QuestionPurpose::States(channels) => self.on_states(endpoint_index, channels, result, now),
            QuestionPurpose::Storage(channel) => self.on_storage(endpoint_index, *channel, result, now),
            QuestionPurpose::ClosingEvents { role, to } => {
                self.on_closing_events(endpoint_index, (*role, *to), result, now)
            }
            QuestionPurpose::Explain { channel, from, to } => {
                self.on_explained(endpoint_index, *channel, (*from, *to), result, now);
            }
            QuestionPurpose::Verify(channel, part) => {
                self.on_verified(endpoint_index, *channel, *part, result, now)
            }
            QuestionPurpose::Contracts(part) => self.on_contracts(*part, result, now),
            QuestionPurpose::Transaction(question) => {
                if *question == TransactionQuestion::Balance
                    && let Some(work) = self.work.get_mut(endpoint_index)
                {
                    work.balance.answered(if result.is_ok() { Millis::MAX } else { now + BALANCE_RETRY });
                }
                let around = self.conditions(now);
                if let Some(transactions) = &mut self.transactions {
                    transactions.answered(endpoint_index, *question, &result, &around);
                }
            }
            QuestionPurpose::Send(key, hash) => {
                let around = self.conditions(now);
                if let Some(transactions) = &mut self.transactions {
                    transactions.sent(endpoint_index, *key, *hash, &result, &around);
                }
            }
        }
    }

    // ---- actions ------------------------------------------------------------------------------

    /// The next thing to be done now; `None` if there is nothing to be done before [`Self::wake_at`] or
    /// the next input.
    pub fn next_action(&mut self, now: Millis) -> Option<Action> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        self.run_timers(now);
        if self.actions.is_empty() {
            self.ask(now);
        }
        self.actions.pop_front()
    }

    /// When [`Self::next_action`] may have something to do without any further input.
    pub fn wake_at(&self, now: Millis) -> Millis {
        /// What waits is looked at this often at least: when somebody waits, and otherwise.
        const SOON: (Millis, Millis) = (50, 250);
        let polls = self
            .endpoints
            .iter()
            .map(|endpoint| endpoint.polls.ready_at(endpoint.hedge()).max(endpoint.wakes_at()));
        let is_busy = self.transactions.as_ref().is_some_and(|transactions| transactions.unmined() > 0)
            || !self.waiting.is_empty()
            || !self.verifying.is_empty()
            || self.work.iter().any(|work| work.schedule.is_due() || !work.is_identified);
        let soon = now.saturating_add(if is_busy { SOON.0 } else { SOON.1 });
        polls.chain([soon]).min().unwrap_or(soon).max(now.saturating_add(10))
    }

    /// Looks after what waits for time to pass.
    fn run_timers(&mut self, now: Millis) {
        self.choose_chain(now);
        self.judge_liveness(now);
        self.report_waiting(now);
        self.run_transactions(now);
        self.report_health(now);
    }

    fn run_transactions(&mut self, now: Millis) {
        let around = self.conditions(now);
        let Some(transactions) = &mut self.transactions else { return };
        transactions.plan(&around);
        while let Some(effect) = transactions.next_effect() {
            self.actions.push_back(match effect {
                Effect::Save(sent) => Action::Save(sent),
                Effect::Forget(sent) => Action::Forget(sent),
                Effect::Outcome(outcome) => Action::Report(Report::Outcome(outcome)),
                Effect::Taken { channel, kind, tx } => Action::Report(Report::Taken { channel, kind, tx }),
                Effect::Late { channel, blocks, tried } => {
                    Action::Report(Report::Late { channel, blocks, tried })
                }
                Effect::TakenBack { channel, kind } => {
                    let what = format!("the chain took a {kind:?} transaction back; it is sent again");
                    Action::Report(Report::Note { channel, what })
                }
                Effect::Overtaken { channel, kind, nonce } => {
                    let what = format!(
                        "another program used the account's nonce {nonce}; the {kind:?} transaction is made anew"
                    );
                    Action::Report(Report::Note { channel, what })
                }
            });
        }
        let refused = transactions.refused(now).map(|(channel, reason)| (channel, reason.to_owned()));
        let calls = (transactions.unmined(), refused.collect::<Vec<_>>());
        if calls != self.reported.calls {
            self.reported.calls.clone_from(&calls);
            let (unmined, refused) = calls;
            self.actions.push_back(Action::Report(Report::Calls { unmined, refused }));
        }
        if let Some(funds) = transactions.funds(&around).filter(|funds| Some(*funds) != self.reported.funds) {
            self.reported.funds = Some(funds);
            self.actions.push_back(Action::Report(Report::Funds(funds)));
        }
    }

    fn conditions(&self, now: Millis) -> Conditions {
        let usable = self.endpoints.iter().zip(&self.work).filter(|(endpoint, work)| {
            self.chain.is_some() && endpoint.chain == self.chain && work.is_identified
        });
        let heads: Vec<_> = usable.filter_map(|(endpoint, _)| endpoint.head).collect();
        let lowest = heads.iter().map(|head| head.number).min();
        Conditions {
            now,
            head: self.read_head.or(lowest).unwrap_or(0),
            newest: heads.iter().map(|head| head.number).max().unwrap_or(0),
            base_fee: middle(heads.iter().filter_map(|head| head.base_fee)),
            has_head: !heads.is_empty(),
            is_released: self.is_released,
            block_time: self.longer_block_time(),
            turn_block_time: self.turn_block_time(),
            timeout: self.block_time().clamp(1_000, 5_000),
        }
    }

    /// The time between two blocks, in milliseconds.
    fn block_time(&self) -> Millis {
        self.measured_block_time().unwrap_or(DEFAULT_BLOCK_TIME)
    }

    /// The same, of two endpoints the longer, within bounds: one that says that blocks take a minute where they take a
    /// second must not stop the clock of challenges for all of their time.
    fn longer_block_time(&self) -> Millis {
        /// How much longer than the shorter one, and what the shorter one counts as at least.
        const MOST: (u64, Millis) = (4, 1_000);
        let usable = self.endpoints.iter().filter(|endpoint| endpoint.chain == self.chain);
        let mut times: Vec<_> = usable.filter_map(|endpoint| endpoint.pace.measured()).collect();
        times.sort_unstable();
        let shortest = times.first().copied().unwrap_or(0).max(MOST.1);
        let most = shortest.saturating_mul(MOST.0).min(shortest.max(DEFAULT_BLOCK_TIME));
        times.get(times.len() / 2).copied().unwrap_or(0).min(most)
    }

    /// The longest time between two blocks that an endpoint shows, but no longer than Ethereum's or, where all show longer
    /// ones, than the shortest of those: an endpoint that says that blocks come faster than they do must not end a turn in
    /// which none came.
    fn turn_block_time(&self) -> Millis {
        let usable = self.endpoints.iter().filter(|endpoint| endpoint.chain == self.chain);
        let times = usable.map(|endpoint| endpoint.pace.measured().unwrap_or(DEFAULT_BLOCK_TIME));
        let (shortest, longest) = (times.clone().min(), times.max());
        let most = shortest.map_or(DEFAULT_BLOCK_TIME, |shortest| shortest.max(DEFAULT_BLOCK_TIME));
        longest.map_or(DEFAULT_BLOCK_TIME, |longest| longest.min(most))
    }

    fn measured_block_time(&self) -> Option<Millis> {
        let usable = self.endpoints.iter().filter(|endpoint| endpoint.chain == self.chain);
        middle(usable.filter_map(|endpoint| endpoint.pace.measured()))
    }

    fn report(&mut self, report: Report) {
        self.actions.push_back(Action::Report(report));
    }

    fn is_usable(&self, endpoint_index: usize) -> bool {
        let (Some(endpoint), Some(work)) =
            (self.endpoints.get(endpoint_index), self.work.get(endpoint_index))
        else {
            return false;
        };
        self.chain.is_some() && endpoint.chain == self.chain && work.is_identified
    }
}

/// The one in the middle; of two the lower.
fn middle<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    values.get(values.len().checked_sub(1)? / 2).copied()
}

/// The wait before the account's ether is asked for again. It is read with each new block.
const BALANCE_RETRY: Millis = 1_000;
