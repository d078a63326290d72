//! The guard with a chain, endpoints, a disk and a node around it, in virtual time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use thunder_guard::state::StorageState;
use thunder_guard::transactions::{CallOutcome, CallRequest, SignedCall};
use thunder_guard::{
    Action, AskError, ChainIdentity, Contracts, Guard, GuardConfig, Report, Stake, WatchRequest,
};
use thunder_protocol::channel::Terms;
use thunder_protocol::onchain::{Call, CallKind, ChainView, ClosePlan, Evidence, OnChain};
use thunder_protocol::{Address, B256, Nonce, Receipt, Role, Signature};
use zeroize::Zeroizing;

use crate::endpoint::{Endpoint, Faults};
use crate::ether::{CHAIN_ID, Ether, shares};
use crate::random::Random;

pub(crate) use crate::ether::NEWEST;

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) ether: Ether,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) guard: Guard,
    pub(crate) now: u64,
    /// The time between two blocks, in milliseconds.
    pub(crate) block_time: u64,
    next_block: u64,
    pub(crate) base_fee: u128,
    /// Answers on their way: when, and to which question.
    mail: BTreeMap<(u64, u64), Result<String, AskError>>,
    /// The chain that the disk says was used last.
    known: Option<ChainIdentity>,
    /// What the disk has.
    pub(crate) disk: BTreeMap<(Address, &'static str), SignedCall>,
    /// Every transaction that was ever written.
    written: BTreeSet<B256>,
    channels: Vec<Address>,
    /// What the node believes.
    pub(crate) views: HashMap<Address, OnChain>,
    /// Cheats that are to be answered.
    cheats: BTreeSet<Address>,
    claims: BTreeSet<Address>,
    pub(crate) read_head: Option<u64>,
    pub(crate) is_fresh: bool,
    pub(crate) unreadable: BTreeSet<Address>,
    /// The only channel that is worth something, if it is not all.
    pub(crate) only_worth: Option<Address>,
    pub(crate) reports: Vec<Report>,
    /// Whether writing fails.
    pub(crate) disk_is_full: bool,
    /// After so many actions the process dies.
    pub(crate) dies_in: Option<u64>,
    pub(crate) deaths: u64,
    /// Whether every question and report is printed: `THUNDER_TRACE=1`.
    trace: bool,
}

fn terms(channel: Address) -> Terms {
    Terms {
        channel,
        chain_id: CHAIN_ID,
        token: Address::repeat_byte(1),
        factory: Address::repeat_byte(2),
        salt: B256::ZERO,
        part_a: Address::repeat_byte(0xa),
        part_b: Address::repeat_byte(0xb),
        role: Role::B,
        amount: shares(10, 0).sum().unwrap(),
        shares: shares(10, 0),
    }
}

fn evidence() -> Evidence {
    let mut bytes = [7; 65];
    bytes[64] = 27;
    bytes[32] = 1;
    Evidence {
        receipt: Receipt { nonce: Nonce::new(NEWEST).unwrap(), balances: shares(1, 9) },
        signature: Some(Signature::from_bytes(bytes)),
    }
}

/// A cheat: A closes on receipt 1.
pub(crate) fn cheat() -> StorageState {
    StorageState::Closing { closer: Role::A, nonce: Nonce::new(1).unwrap(), balances: shares(9, 1), block: 0 }
}

impl World {
    pub(crate) fn new(seed: u64, channels: usize, block_time: u64, faults: Vec<Faults>) -> Self {
        let base_fee = 1_000_000_000;
        let channels = crate::ether::channels(channels);
        let ether = Ether::new(&channels, base_fee, block_time.div_ceil(1000));
        let endpoints: Vec<_> = faults.into_iter().map(Endpoint::new).collect();
        let guard = new_guard(endpoints.len(), None);
        let mut world = Self {
            random: Random::new(seed),
            ether,
            endpoints,
            guard,
            now: 0,
            block_time,
            next_block: block_time,
            base_fee,
            mail: BTreeMap::new(),
            known: None,
            disk: BTreeMap::new(),
            written: BTreeSet::new(),
            channels,
            views: HashMap::new(),
            cheats: BTreeSet::new(),
            claims: BTreeSet::new(),
            read_head: None,
            is_fresh: false,
            unreadable: BTreeSet::new(),
            only_worth: None,
            reports: Vec::new(),
            disk_is_full: false,
            dies_in: None,
            deaths: 0,
            trace: std::env::var_os("THUNDER_TRACE").is_some(),
        };
        for channel in &world.channels {
            world.views.insert(*channel, OnChain::Active { paid_in: shares(10, 0) });
        }
        world
    }

    pub(crate) fn channel(&self, index: usize) -> Address {
        self.channels[index]
    }

    /// The process dies, and a new one begins with what the disk has.
    pub(crate) fn restart(&mut self) {
        self.deaths += 1;
        self.guard = new_guard(self.endpoints.len(), self.known);
        self.mail.clear();
        self.cheats.clear();
        self.claims.clear();
        self.read_head = None;
        self.is_fresh = false;
    }

    /// Goes on until the next block was mined, which has these changes, and what follows from it until just
    /// before the next.
    pub(crate) fn block(&mut self, changes: &[(Address, StorageState)]) {
        self.run(self.next_block);
        self.ether.mine(self.block_time.div_ceil(1000), self.base_fee, changes);
        self.next_block += self.block_time;
        self.run(self.next_block - 1);
    }

    /// Goes on until this time.
    pub(crate) fn run(&mut self, until: u64) {
        loop {
            self.act();
            let mail = self.mail.keys().next().map(|(at, _)| *at);
            let wake = self.guard.wake_at(self.now).max(self.now + 1);
            let next = mail.map_or(wake, |mail| mail.min(wake)).max(self.now);
            if next > until {
                self.now = until;
                return;
            }
            self.now = next;
            while let Some((&(at, ticket), _)) = self.mail.first_key_value()
                && at <= self.now
            {
                let answer = self.mail.remove(&(at, ticket)).unwrap();
                self.guard.answered(ticket, answer.as_deref().map_err(Clone::clone), self.now);
            }
        }
    }

    fn act(&mut self) {
        for actions in 0.. {
            assert!(actions < 100_000, "no end of actions");
            let Some(action) = self.guard.next_action(self.now) else { return };
            if let Some(left) = &mut self.dies_in {
                if *left == 0 {
                    self.dies_in = None;
                    self.restart();
                    continue;
                }
                *left -= 1;
            }
            self.carry_out(action);
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Ask { endpoint, ticket, question, timeout } => {
                if let thunder_guard::Question::Send(raw) = &question {
                    let hash = B256::new(ethers_core::utils::keccak256(raw));
                    assert!(
                        self.written.contains(&hash) || self.disk_is_full,
                        "invariant 1: sent and not written"
                    );
                }
                let (result, at) =
                    self.endpoints[endpoint].answer(&question, &mut self.ether, &mut self.random, self.now);
                if self.trace {
                    let params: String = question.params().to_string().chars().take(80).collect();
                    println!("{:>7} {} {params} -> {result:?} at {at:?}", self.now, question.method());
                }
                let limit = self.now + timeout;
                let (result, at) = match at.filter(|at| *at < limit) {
                    Some(at) => (result, at),
                    None => (Err(AskError::Timeout), limit),
                };
                self.mail.insert((at, ticket), result);
            }
            Action::Save(sent) => {
                if self.disk_is_full {
                    self.guard.saved(&sent, Err("no space left on device".into()));
                    return;
                }
                self.written.extend(sent.attempts.iter().map(|attempt| attempt.hash));
                self.check_replacement(&sent);
                self.disk.insert((sent.channel, sent.kind.as_str()), sent.clone());
                self.guard.saved(&sent, Ok(()));
            }
            Action::Forget(sent) => {
                self.disk.remove(&(sent.channel, sent.kind.as_str()));
            }
            Action::Report(report) => self.take(report),
        }
    }

    /// Invariant 3: a replacement pays more than what was signed before for its nonce; 4: within the cap.
    fn check_replacement(&self, sent: &SignedCall) {
        let attempts: Vec<_> = sent.attempts.iter().collect();
        // What the account can't pay is offered for less.
        let is_lowered = attempts.windows(2).any(|pair| pair[1].fees.max_fee < pair[0].fees.max_fee);
        for (index, later) in attempts.iter().enumerate() {
            for earlier in attempts.iter().take(index).filter(|earlier| earlier.nonce == later.nonce) {
                let (old, new) = (earlier.fees, later.fees);
                assert!(is_lowered || new.max_fee * 10 > old.max_fee * 11, "invariant 3: {old:?} {new:?}");
            }
            let cap = match sent.kind {
                CallKind::Challenge => thunder_guard::transactions::fees::URGENT_CAP,
                _ => thunder_guard::transactions::fees::CAP,
            };
            assert!(later.fees.max_fee <= cap, "invariant 4");
        }
    }

    fn take(&mut self, report: Report) {
        if self.trace {
            println!("{:>7} {report:?}", self.now);
        }
        if let Report::ChainConfirmed(chain) = &report {
            self.known = Some(*chain);
        }
        match &report {
            Report::Chain(chain) if chain.chain_id != CHAIN_ID => self.guard.watch_all(&[]),
            Report::Chain(chain) => {
                assert_eq!(
                    *chain,
                    ChainIdentity { chain_id: CHAIN_ID, genesis: crate::endpoint::genesis().hash }
                );
                let sent = self.disk.values().cloned().collect();
                self.guard.set_account(&Zeroizing::new([7; 32]), 1, sent).unwrap();
                let watches: Vec<_> = self.channels.iter().map(|channel| self.watch(*channel)).collect();
                self.guard.watch_all(&watches);
                // The core asks again for what is due.
                for channel in self.channels.clone() {
                    if matches!(self.views[&channel], OnChain::Closing(closing) if closing.closer == Role::A)
                    {
                        self.cheats.insert(channel);
                        self.challenge(channel);
                    }
                }
            }
            Report::View { channel, view } => {
                self.views.insert(*channel, view.status);
                match view.status {
                    OnChain::Closing(closing) if closing.closer == Role::A => {
                        self.cheats.insert(*channel);
                        self.guard.set_stake(*channel, Stake::Urgent);
                        self.challenge(*channel);
                    }
                    OnChain::Closed { .. } => {
                        self.cheats.remove(channel);
                    }
                    _ => {}
                }
            }
            Report::Claim { channel, closing } => {
                assert_eq!(closing.closer, Role::A);
                self.claims.insert(*channel);
                // The core has no evidence against its newest receipt.
                if closing.nonce.get() < NEWEST {
                    self.challenge(*channel);
                }
            }
            Report::Read { head } => {
                self.read_head = Some(*head);
                // The core asks for a challenge with each block, until it is mined.
                for channel in self.cheats.clone() {
                    self.challenge(channel);
                }
                self.guard.release();
            }
            Report::Fresh { age, lasts, .. } => self.is_fresh = age.is_some_and(|age| age <= *lasts),
            Report::Unreadable { channel, why } => {
                if why.is_some() {
                    self.unreadable.insert(*channel);
                } else {
                    self.unreadable.remove(channel);
                }
            }
            Report::Outcome(CallOutcome::Mined { tx, block, .. }) => {
                let _ = (tx, block);
            }
            _ => {}
        }
        self.reports.push(report);
    }

    fn watch(&self, channel: Address) -> WatchRequest {
        let view = ChainView { status: self.views[&channel], ..ChainView::missing(0) };
        let view = ChainView {
            newest: Some(thunder_protocol::onchain::EventPosition { block: 1, tx: None }),
            ..view
        };
        let stake = match view.status {
            OnChain::Closing(_) => Stake::Urgent,
            _ => Stake::AtRisk,
        };
        WatchRequest { terms: terms(channel), view, stake, verify: false, first_block: 0 }
    }

    pub(crate) fn challenge(&mut self, channel: Address) {
        self.submit(channel, Call::Challenge(evidence()));
    }

    pub(crate) fn close(&mut self, channel: Address) {
        self.submit(channel, Call::Close(ClosePlan::Receipt(evidence())));
    }

    /// Closes on another receipt than [`Self::close`].
    pub(crate) fn close_on(&mut self, channel: Address, nonce: u64) {
        let receipt = Receipt { nonce: Nonce::new(nonce).unwrap(), ..evidence().receipt };
        self.submit(channel, Call::Close(ClosePlan::Receipt(Evidence { receipt, ..evidence() })));
    }

    pub(crate) fn withdraw(&mut self, channel: Address) {
        self.submit(channel, Call::Withdraw);
    }

    /// Opens a channel without a deposit, which needs no permit.
    pub(crate) fn open(&mut self, channel: Address) {
        let nothing = thunder_protocol::Amount::ZERO;
        let call = Call::Open {
            part_b: Address::repeat_byte(0xb),
            amount: shares(10, 0).a,
            deposit: nothing,
            salt: B256::repeat_byte(3),
        };
        self.submit(channel, call);
    }

    fn submit(&mut self, channel: Address, call: Call) {
        let mut terms = terms(channel);
        if self.only_worth.is_some_and(|worth| worth != channel) {
            terms.amount = thunder_protocol::Amount::from_base_units(1).unwrap();
        }
        self.guard.submit(CallRequest { terms, call }, self.now);
    }

    /// What the own transactions that are mined have cost, in wei, with the gas of a refused challenge each.
    pub(crate) fn spent(&self) -> u128 {
        const GAS: u128 = 35_000;
        let price = |tip: u128, max_fee: u128| (tip + 1_000_000_000).min(max_fee);
        let mined = self.ether.own_mined();
        mined.map(|mined| price(mined.transaction.tip, mined.transaction.max_fee) * GAS).sum()
    }

    /// Blocks from the cheat's closing to its challenge; `None` if there is none.
    pub(crate) fn answered_after(&self, channel: Address) -> Option<u64> {
        let is = |state: &StorageState, stage: u8| state.stage() == stage;
        let at = |stage: u8| {
            let blocks = self.ether.blocks.iter();
            let first =
                blocks.filter(|block| block.states.get(&channel).is_some_and(|state| is(state, stage)));
            first.map(|block| block.head.number).next()
        };
        let end = at(4)?;
        match self.ether.state(&channel) {
            StorageState::Closed { balances, .. } if balances == shares(0, 10) => {
                Some(end - at(3).unwrap_or(end))
            }
            _ => None,
        }
    }
}

fn new_guard(endpoints: usize, chain: Option<ChainIdentity>) -> Guard {
    Guard::new(GuardConfig {
        endpoints: (0..endpoints).map(|number| format!("endpoint {number}")).collect(),
        contracts: Contracts { token: Address::repeat_byte(1), factory: Address::repeat_byte(2) },
        states_code: Arc::from([0u8; 8]),
        chain,
    })
}

impl World {
    /// Another program makes a transaction with the account's next nonce.
    pub(crate) fn spend(&mut self, fee: u128) {
        let nonce = self.ether.newest().count;
        let mut hash = [0xee; 32];
        hash[..8].copy_from_slice(&self.random.next().to_be_bytes());
        let new = crate::ether::Transaction {
            hash: B256::new(hash),
            nonce,
            to: Address::ZERO,
            data: Vec::new(),
            gas: 21_000,
            max_fee: fee + self.base_fee,
            tip: fee,
        };
        let beats = |old: &crate::ether::Transaction| {
            new.max_fee * 10 >= old.max_fee * 11 && new.tip * 10 >= old.tip * 11
        };
        if self.ether.foreign.iter().any(|old| old.nonce == nonce) {
            return;
        }
        match self.ether.pool.iter().position(|old| old.nonce == nonce) {
            Some(index) if beats(&self.ether.pool[index]) => {
                self.ether.pool.remove(index);
                self.ether.foreign.push(new);
            }
            Some(_) => {}
            None => self.ether.foreign.push(new),
        }
    }
}
