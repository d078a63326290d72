//! The guard with endpoints, a disk and a node around it, and what must hold of everything it does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ethers_core::types::transaction::eip2718::TypedTransaction;
use ethers_core::types::{NameOrAddress, U256};
use ethers_core::utils::{keccak256, rlp::Rlp};
use thunder_guard::transactions::fees::{CAP, URGENT_CAP};
use thunder_guard::transactions::{Attempt, CallOutcome, CallRequest, SignedCall, gas_limit};
use thunder_guard::{
    Action, AskError, ChainIdentity, Contracts, Guard, GuardConfig, Question, Report, STATES_AT_ONCE, Stake,
    Ticket, WatchRequest, balance_calldata, clone_code, from_ethers, read_response,
};
use thunder_protocol::channel::Terms;
use thunder_protocol::onchain::{Call, CallKind, ChainView, ClosePlan, EventPosition, Evidence, OnChain};
use thunder_protocol::{Address, B256, Nonce, Receipt, Role, Signature, hex};
use zeroize::Zeroizing;

use crate::endpoint::{Endpoint, Faults};
use crate::ether::{CHAIN_ID, Ether, shares, thd};
use crate::random::Random;

/// The questions that one endpoint may have at the same time.
const MAX_ASKED: usize = 24;
/// The actions that follow from one input, besides those for each channel and each call.
const MAX_ACTIONS: usize = 128;
/// What a text that is reported may have in bytes.
const MAX_TEXT: usize = 4096;

/// A question that is under way.
pub(super) struct Asked {
    pub(super) endpoint: usize,
    pub(super) question: Question,
    until: u64,
}

/// What the node and the disk have around the guard.
pub(super) struct Bench {
    pub(super) guard: Guard,
    pub(super) now: u64,
    pub(super) ether: Ether,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) channels: Vec<Address>,
    pub(super) asked: BTreeMap<Ticket, Asked>,
    pub(super) disk_is_full: bool,
    /// Whether the channels are verified.
    verify: bool,
    contracts: Contracts,
    /// What the disk has, by chain.
    disk: BTreeMap<(u64, B256), BTreeMap<(Address, String), SignedCall>>,
    /// The transactions that were on disk before they were sent, or that may be sent without.
    may_be_sent: BTreeSet<B256>,
    /// Those that were looked at, and the ids of their chains.
    checked: BTreeMap<B256, u64>,
    pub(super) watched: BTreeSet<Address>,
    /// The channels that calls were ordered for, now or in an earlier run.
    ordered: BTreeSet<Address>,
    pub(super) views: BTreeMap<Address, OnChain>,
    pub(super) chain: Option<ChainIdentity>,
    pub(super) is_fresh: bool,
}

impl Bench {
    pub(super) fn new(endpoints: usize, channels: usize, verify: bool) -> Self {
        let contracts = Contracts { token: Address::repeat_byte(1), factory: Address::repeat_byte(2) };
        let channels = crate::ether::channels(channels);
        let faults = || Faults { tip: 1_000_000_000, hides_since: 1, ..Faults::default() };
        let mut ether = Ether::new(&channels, 1_000_000_000, 12);
        ether.balance = 100 * 10_u128.pow(18);
        let views = channels.iter().map(|channel| (*channel, OnChain::Missing)).collect();
        Self {
            guard: new_guard(endpoints, contracts),
            now: 0,
            ether,
            endpoints: (0..endpoints).map(|_| Endpoint::new(faults())).collect(),
            channels,
            asked: BTreeMap::new(),
            disk_is_full: false,
            verify,
            contracts,
            disk: BTreeMap::new(),
            may_be_sent: BTreeSet::new(),
            checked: BTreeMap::new(),
            watched: BTreeSet::new(),
            ordered: BTreeSet::new(),
            views,
            chain: None,
            is_fresh: false,
        }
    }

    // ---- what happens -------------------------------------------------------------------------

    /// The process dies, and a new one begins with what the disk has.
    pub(super) fn restart(&mut self) {
        self.guard = new_guard(self.endpoints.len(), self.contracts);
        self.asked.clear();
        self.watched.clear();
        (self.chain, self.is_fresh) = (None, false);
        self.act();
    }

    /// Time passes; what was not answered in time is not answered any more.
    pub(super) fn pass(&mut self, millis: u64) {
        self.now = self.now.saturating_add(millis);
        let late: Vec<_> = self
            .asked
            .iter()
            .filter(|(_, asked)| asked.until <= self.now)
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in late {
            self.answer(ticket, Err(AskError::Timeout));
        }
        self.act();
    }

    /// One question is answered.
    pub(super) fn answer(&mut self, ticket: Ticket, result: Result<String, AskError>) {
        self.asked.remove(&ticket);
        self.guard.answered(ticket, result.as_deref().map_err(Clone::clone), self.now);
    }

    /// One question is answered with this HTTP status and body.
    pub(super) fn respond(&mut self, ticket: Ticket, status: u16, body: &[u8]) {
        let result = read_response(status, body, ticket).map(|result| result.get().to_owned());
        self.answer(ticket, result);
    }

    /// All that is asked is answered truly, and what is asked after that, so many times.
    pub(super) fn answer_all(&mut self, times: usize) {
        for _ in 0..times {
            let tickets: Vec<_> = self.asked.keys().copied().collect();
            for ticket in tickets {
                let truth = self.truth(ticket);
                self.answer(ticket, truth);
            }
            self.act();
        }
    }

    /// The true answer to a question.
    pub(super) fn truth(&mut self, ticket: Ticket) -> Result<String, AskError> {
        let Some(asked) = self.asked.get(&ticket) else { return Err(AskError::Timeout) };
        let quoted = |bytes: &[u8]| Ok(format!("\"{}\"", hex::encode_prefixed(bytes)));
        let word = |number: u128| quoted(&[[0; 16], number.to_be_bytes()].concat());
        match &asked.question {
            Question::Code(address) if self.channels.contains(address) => {
                let Terms { part_a, part_b, .. } = terms(*address, &self.contracts);
                return quoted(&clone_code(self.contracts.template(), part_a, part_b));
            }
            Question::Call { to, .. } if self.channels.contains(to) => return word(thd(10).base_units()),
            Question::Call { data, .. } if data.starts_with(&balance_calldata(Address::ZERO)[..4]) => {
                return word(thd(10).base_units());
            }
            // A mempool of this chain has no other transactions.
            Question::Send(raw) if self.checked.get(&B256::new(keccak256(raw))) != Some(&CHAIN_ID) => {
                return Err(AskError::Refused(thunder_guard::Refusal {
                    code: -32000,
                    message: "invalid sender".into(),
                    data: Vec::new(),
                }));
            }
            _ => {}
        }
        let (question, endpoint) = (asked.question.clone(), asked.endpoint);
        let endpoint = self.endpoints.get_mut(endpoint).expect("an endpoint that there is");
        endpoint.answer(&question, &mut self.ether, &mut Random::new(0), self.now).0
    }

    // ---- orders -------------------------------------------------------------------------------

    pub(super) fn submit(&mut self, channel: Address, kind: CallKind) {
        if self.chain.is_none() {
            return;
        }
        self.ordered.insert(channel);
        let call = match kind {
            CallKind::Open => Call::Open {
                part_b: Address::repeat_byte(0xb),
                amount: thd(10),
                deposit: thd(5),
                salt: B256::repeat_byte(3),
            },
            CallKind::Fund => Call::Fund { value: thd(5) },
            CallKind::Cancel => Call::Cancel,
            CallKind::Close => Call::Close(ClosePlan::Receipt(evidence())),
            CallKind::Challenge => Call::Challenge(evidence()),
            CallKind::Withdraw => Call::Withdraw,
        };
        self.guard.submit(CallRequest { terms: terms(channel, &self.contracts), call }, self.now);
    }

    pub(super) fn watch_all(&mut self) {
        if self.chain.is_none() {
            return;
        }
        let watches: Vec<_> = self.channels.iter().map(|channel| self.watch_of(*channel)).collect();
        self.watched = self.channels.iter().copied().collect();
        self.guard.watch_all(&watches);
    }

    pub(super) fn watch(&mut self, channel: Address) {
        if self.chain.is_some() {
            self.watched.insert(channel);
            self.guard.watch(&self.watch_of(channel));
        }
    }

    pub(super) fn unwatch(&mut self, channel: Address) {
        self.watched.remove(&channel);
        self.guard.unwatch(channel);
    }

    fn watch_of(&self, channel: Address) -> WatchRequest {
        let status = self.views.get(&channel).copied().unwrap_or(OnChain::Missing);
        let newest = Some(EventPosition { block: 1, tx: None }).filter(|_| status != OnChain::Missing);
        let view = ChainView { status, newest, ..ChainView::missing(0) };
        let terms = terms(channel, &self.contracts);
        WatchRequest { terms, view, stake: Stake::AtRisk, verify: self.verify, first_block: 0 }
    }

    // ---- what the guard does ------------------------------------------------------------------

    /// Carries out all that the guard wants done now.
    pub(super) fn act(&mut self) {
        let mut actions = 0;
        while let Some(action) = self.guard.next_action(self.now) {
            actions += 1;
            assert!(actions <= MAX_ACTIONS + 32 * self.size(), "no end of actions: {action:?}");
            match action {
                Action::Ask { endpoint, ticket, question, timeout } => {
                    self.ask(endpoint, ticket, question, timeout);
                }
                Action::Save(sent) => self.save(sent),
                Action::Forget(sent) => {
                    if let Some(disk) = self.disk() {
                        disk.remove(&key(&sent));
                    }
                }
                Action::Report(report) => self.take(report),
            }
        }
        let wake = self.guard.wake_at(self.now);
        assert!(wake > self.now || self.now == u64::MAX, "it wakes at once, and has nothing to do");
        assert!(wake <= self.now.saturating_add(1_000), "it sleeps for longer than a second");
    }

    /// How many things there are to deal with.
    pub(super) fn size(&self) -> usize {
        self.channels.len() + self.disk.values().map(BTreeMap::len).sum::<usize>() + self.endpoints.len()
    }

    fn ask(&mut self, endpoint: usize, ticket: Ticket, question: Question, timeout: u64) {
        assert!(endpoint < self.endpoints.len());
        assert!((100..=60_000).contains(&timeout), "{timeout}");
        assert!(question.max_bytes() <= 4 << 20);
        let params = question.params().to_string().len();
        assert!(params <= 4096 + 64 * self.channels.len(), "{params} bytes: {question:?}");
        match &question {
            Question::Send(raw) => {
                let hash = B256::new(keccak256(raw));
                assert!(self.may_be_sent.contains(&hash), "sent before it is on disk");
            }
            Question::States { channels, .. } => {
                assert!(!channels.is_empty() && channels.len() <= STATES_AT_ONCE);
                assert!(channels.iter().all(|channel| self.channels.contains(channel)));
            }
            Question::Storage { channel, .. } => assert!(self.channels.contains(channel)),
            Question::Logs(filter) => {
                assert!(filter.from <= filter.to && filter.to - filter.from < 10_000, "{filter:?}");
            }
            _ => {}
        }
        let until = self.now.saturating_add(timeout);
        assert!(self.asked.insert(ticket, Asked { endpoint, question, until }).is_none(), "asked twice");
        let at_once = self.asked.values().filter(|asked| asked.endpoint == endpoint).count();
        assert!(at_once <= MAX_ASKED, "{at_once} questions at the same time");
    }

    fn disk(&mut self) -> Option<&mut BTreeMap<(Address, String), SignedCall>> {
        let ChainIdentity { chain_id, genesis } = self.chain?;
        Some(self.disk.entry((chain_id, genesis)).or_default())
    }

    fn save(&mut self, sent: SignedCall) {
        assert!(self.ordered.contains(&sent.channel), "nobody ordered it: {sent:?}");
        let chain = self.chain.expect("a transaction of no chain");
        check_fees(&sent);
        if let Some(newest) = sent.newest()
            && !self.checked.contains_key(&newest.hash)
        {
            check(&sent, newest, chain.chain_id, &self.contracts);
            self.checked.insert(newest.hash, chain.chain_id);
        }
        let is_full = self.disk_is_full;
        // A challenge is sent even if the disk takes nothing more.
        if !is_full || sent.kind == CallKind::Challenge {
            self.may_be_sent.extend(sent.attempts.iter().map(|attempt| attempt.hash));
        }
        if !is_full && let Some(disk) = self.disk() {
            disk.insert(key(&sent), sent.clone());
        }
        self.guard.saved(&sent, if is_full { Err("no space left on device".into()) } else { Ok(()) });
    }

    fn take(&mut self, report: Report) {
        let length = format!("{report:?}").len();
        assert!(length <= MAX_TEXT + 512 * self.size(), "{length} bytes: {report:?}");
        match report {
            Report::Chain(chain) => {
                self.chain = Some(chain);
                self.is_fresh = false;
                let sent: Vec<_> =
                    self.disk().map(|disk| disk.values().cloned().collect()).unwrap_or_default();
                self.guard.set_account(&Zeroizing::new([7; 32]), 1, sent).expect("a key");
                self.watch_all();
            }
            Report::View { channel, view } => {
                self.is_watched(channel);
                self.views.insert(channel, view.status);
                if let OnChain::Closing(closing) = view.status
                    && closing.closer == Role::A
                {
                    self.guard.set_stake(channel, Stake::Urgent);
                    self.submit(channel, CallKind::Challenge);
                }
            }
            Report::Claim { channel, closing } => {
                self.is_watched(channel);
                assert_eq!(closing.closer, Role::A, "the own closing is no claim");
                self.submit(channel, CallKind::Challenge);
            }
            Report::Invalid { channel, .. } => {
                self.is_watched(channel);
                self.watched.remove(&channel);
            }
            Report::Unreadable { channel, .. } => self.is_watched(channel),
            Report::Taken { channel, .. }
            | Report::Late { channel, .. }
            | Report::Note { channel, .. }
            | Report::Outcome(CallOutcome::Failed { channel, .. } | CallOutcome::Mined { channel, .. }) => {
                assert!(self.ordered.contains(&channel), "nobody ordered a call for {channel}");
            }
            Report::Calls { refused, .. } => {
                assert!(refused.iter().all(|(channel, _)| self.ordered.contains(channel)), "{refused:?}");
            }
            Report::Fresh { age, lasts, .. } => self.is_fresh = age.is_some_and(|age| age <= lasts),
            Report::Endpoints(endpoints) => assert_eq!(endpoints.len(), self.endpoints.len()),
            // The core asks for a challenge with each block, until it is mined or too late.
            Report::Read { head } => {
                for channel in self.watched.clone() {
                    if let Some(OnChain::Closing(closing)) = self.views.get(&channel)
                        && closing.closer == Role::A
                        && closing.withdrawable_at() > head
                    {
                        self.submit(channel, CallKind::Challenge);
                    }
                }
            }
            Report::ChainConfirmed(_)
            | Report::Contracts(_)
            | Report::Reorganisation { .. }
            | Report::Funds(_) => {}
        }
    }

    fn is_watched(&self, channel: Address) {
        assert!(self.watched.contains(&channel), "a report of {channel}, which is not watched");
    }
}

fn key(sent: &SignedCall) -> (Address, String) {
    (sent.channel, sent.kind.as_str().into())
}

fn new_guard(endpoints: usize, contracts: Contracts) -> Guard {
    Guard::new(GuardConfig {
        endpoints: (0..endpoints).map(|number| format!("endpoint {number}")).collect(),
        contracts,
        states_code: Arc::from([0u8; 8]),
        chain: None,
    })
}

fn terms(channel: Address, contracts: &Contracts) -> Terms {
    Terms {
        channel,
        chain_id: CHAIN_ID,
        token: contracts.token,
        factory: contracts.factory,
        salt: B256::ZERO,
        part_a: Address::repeat_byte(0xa),
        part_b: Address::repeat_byte(0xb),
        role: Role::B,
        amount: thd(10),
        shares: shares(10, 0),
    }
}

/// The own newest receipt.
fn evidence() -> Evidence {
    let mut bytes = [7; 65];
    (bytes[32], bytes[64]) = (1, 27);
    let nonce = Nonce::new(7).expect("small");
    Evidence {
        receipt: Receipt { nonce, balances: shares(1, 9) },
        signature: Some(Signature::from_bytes(bytes)),
    }
}

/// A transaction has a bearable price.
fn check_fees(sent: &SignedCall) {
    let cap = if sent.kind == CallKind::Challenge { URGENT_CAP } else { CAP };
    let least_gas = gas_limit(sent.kind);
    assert!((least_gas..=4 * least_gas).contains(&sent.gas), "gas: {sent:?}");
    assert!(sent.attempts.len() <= 64, "{} attempts", sent.attempts.len());
    for attempt in &sent.attempts {
        assert!(attempt.fees.max_fee <= cap, "above the cap: {attempt:?}");
        assert!(attempt.fees.tip.is_none_or(|tip| tip <= attempt.fees.max_fee), "the tip: {attempt:?}");
    }
}

/// A transaction says what was ordered, for this chain.
fn check(sent: &SignedCall, newest: &Attempt, chain_id: u64, contracts: &Contracts) {
    let (tx, _) = TypedTransaction::decode_signed(&Rlp::new(&newest.raw)).expect("a signed transaction");
    assert_eq!(B256::new(keccak256(&newest.raw)), newest.hash);
    let to = if sent.kind == CallKind::Open { contracts.factory } else { sent.channel };
    assert_eq!(tx.to().and_then(NameOrAddress::as_address).map(|to| from_ethers(*to)), Some(to));
    assert_eq!(tx.chain_id().map(|id| U256::from(id.0[0])), Some(U256::from(chain_id)));
    assert_eq!(tx.data().map(|data| data.to_vec()), Some(sent.data.clone()));
    assert_eq!(tx.nonce().copied(), newest.nonce.map(U256::from));
    assert_eq!(tx.gas().copied(), Some(U256::from(sent.gas)));
    assert!(tx.value().is_none_or(U256::is_zero), "ether goes along");
    let (max_fee, tip) = match &tx {
        TypedTransaction::Eip1559(tx) => (tx.max_fee_per_gas, tx.max_priority_fee_per_gas),
        TypedTransaction::Legacy(tx) => (tx.gas_price, None),
        TypedTransaction::Eip2930(_) => panic!("{tx:?}"),
    };
    assert_eq!((max_fee, tip), (Some(newest.fees.max_fee.into()), newest.fees.tip.map(U256::from)));
}
