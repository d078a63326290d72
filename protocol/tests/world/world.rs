//! Two nodes, the network between them, the chain, and time.

use std::collections::BTreeMap;

use thunder_protocol::channel::{
    ChainInput, CloseMode, Command, CommandError, CommandId, CommandOutcome, Direction, PeerInput,
};
use thunder_protocol::onchain::{CallFailure, CallKind, OnChain};
use thunder_protocol::{Amount, Balances, Channel, Input, Memo, Payment, PaymentId, Role};

use crate::common::{terms, thd};
use crate::ether::Ether;
use crate::network::Network;
use crate::node::{CONFIRMATIONS, Deed, Node};
use crate::random::Random;

/// The longest that a node is down or its RPC silent, in blocks. With the time that a transaction
/// waits for cheaper fees and a reorganisation this stays inside the 24 blocks of a challenge.
const MAX_ABSENCE: u64 = 5;
/// The longest that a transaction waits for cheaper fees, in blocks.
const MAX_CONGESTION: u64 = 8;
/// The deepest reorganisation: what is confirmed stays.
const MAX_REORGANISATION: u64 = CONFIRMATIONS - 1;
/// The milliseconds between two blocks.
const BLOCK_TIME: u64 = 1_000;

/// What a node knows of the chain, and what it still has to be told.
struct Sight {
    /// The mark of the newest block that it has read.
    mark: u64,
    /// Failures of its transactions that it has not heard of.
    failed: Vec<(CallKind, &'static str)>,
    /// Since which block it does not hear of the chain.
    silent_since: Option<u64>,
    /// Since which block it is down.
    down_since: Option<u64>,
}

/// What the callers of one payment were answered; `None` if nothing.
pub(crate) type Answers = Vec<Option<Result<CommandOutcome, CommandError>>>;

pub(crate) struct World {
    pub(crate) random: Random,
    a: Node,
    b: Node,
    sight_a: Sight,
    sight_b: Sight,
    pub(crate) network: Network,
    pub(crate) ether: Ether,
    payments: u64,
    /// What was asked for under each id, in order.
    asked: BTreeMap<PaymentId, (Role, Vec<CommandId>)>,
    /// The side that cheats, if one does: nobody runs its commands any more.
    pub(crate) cheat: Option<Role>,
    /// Whether endpoints may show a state before its events (guard rule G1).
    events_may_be_late: bool,
    trace: bool,
}

const fn at_first() -> Sight {
    Sight { mark: 0, failed: Vec::new(), silent_since: None, down_since: None }
}

impl World {
    /// A and B have agreed on a channel, and A's transaction is on its way.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let shares = if random.one_in(2) {
            Balances { a: thd(60), b: Amount::ZERO }
        } else {
            Balances { a: thd(40), b: thd(20) }
        };
        let b = Node::new(Role::B, Channel::accept(terms(Role::B, shares)));
        let a = Node::new(Role::A, Channel::open(terms(Role::A, shares), shares.a, CommandId(0)));
        let ether = Ether::new(thd(60));
        let mut world = Self {
            random,
            a,
            b,
            sight_a: at_first(),
            sight_b: at_first(),
            network: Network::default(),
            ether,
            payments: 0,
            asked: BTreeMap::new(),
            cheat: None,
            events_may_be_late: true,
            trace: std::env::var_os("THUNDER_TRACE").is_some(),
        };
        world.network.open();
        world.commit(Role::B);
        world.commit(Role::A);
        world
    }

    pub(crate) fn node(&mut self, role: Role) -> &mut Node {
        match role {
            Role::A => &mut self.a,
            Role::B => &mut self.b,
        }
    }

    fn sight(&mut self, role: Role) -> &mut Sight {
        match role {
            Role::A => &mut self.sight_a,
            Role::B => &mut self.sight_b,
        }
    }

    fn log(&self, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("[{}] {}", self.ether.height(), what());
        }
    }

    // ---- what happens -------------------------------------------------------------------------

    /// Anything at all, except that an absence ends in time.
    pub(crate) fn step(&mut self) {
        let role = self.random.role();
        match self.random.below(40) {
            0..=8 => self.pay(role),
            9..=21 => self.deliver(role),
            22 => self.crash(role),
            23 | 24 => self.connect(),
            25 if self.random.one_in(3) => self.disconnect(),
            26 => self.silence(role),
            27 if self.random.one_in(3) => self.reorganise(),
            28 => self.ether.congestion = 1 + self.random.below(MAX_CONGESTION),
            29 => self.user(role),
            30..=33 => self.tick(role),
            _ => self.mine(),
        }
        if self.random.below(3) > 0 {
            self.commit(role);
        }
        self.end_absences();
    }

    pub(crate) fn pay(&mut self, role: Role) {
        if !self.node(role).is_up() || self.cheat == Some(role) {
            return;
        }
        // Now and then an id is repeated, as by a client that did not hear the outcome.
        let again = self.payments > 0 && self.random.one_in(6);
        let number = if again { 1 + self.random.below(self.payments) } else { self.payments + 1 };
        self.payments = self.payments.max(number);
        let id = PaymentId::new(format!("{role}{number}")).expect("an id");
        let payment = Payment { id: id.clone(), amount: thd(1 + number % 4), memo: Memo::default() };
        let command = self.node(role).pay(payment);
        self.log(|| format!("{role} pays {id}: {command:?}"));
        self.asked.entry(id).or_insert_with(|| (role, Vec::new())).1.push(command);
    }

    pub(crate) fn deliver(&mut self, to: Role) {
        if !self.node(to).is_up() {
            return;
        }
        let Some(message) = self.network.next(to, &mut self.random) else { return };
        self.log(|| format!("{to} gets {message:?}"));
        self.node(to).receive(message);
    }

    /// The node dies: at once, or somewhere in what it does next.
    fn crash(&mut self, role: Role) {
        if self.random.one_in(2) {
            self.node(role).dies_in = Some(self.random.below(4));
            return;
        }
        self.node(role).die();
        self.noticed_death();
    }

    fn noticed_death(&mut self) {
        for role in [Role::A, Role::B] {
            if !self.node(role).is_up() && self.sight(role).down_since.is_none() {
                let height = self.ether.height();
                self.log(|| format!("{role} dies"));
                self.sight(role).down_since = Some(height);
                self.disconnect();
            }
        }
    }

    fn connect(&mut self) {
        if !self.a.is_up() || !self.b.is_up() || self.cheat.is_some() && self.random.one_in(2) {
            return;
        }
        self.disconnect();
        self.log(|| "they connect".into());
        self.network.open();
        let initiator = self.random.role();
        // Whoever was called knows of the session first.
        for role in [initiator.other(), initiator] {
            self.node(role).apply(Input::Peer(PeerInput::Connected { initiator: role == initiator }));
        }
    }

    fn disconnect(&mut self) {
        if !self.network.is_open() {
            return;
        }
        self.log(|| "the session ends".into());
        self.network.close();
        for role in [Role::A, Role::B] {
            self.node(role).apply(Input::Peer(PeerInput::Disconnected));
            self.commit(role);
        }
    }

    fn silence(&mut self, role: Role) {
        let height = self.ether.height();
        let sight = self.sight(role);
        sight.silent_since = if sight.silent_since.is_some() { None } else { Some(height) };
        self.node(role).is_fresh = self.random.one_in(2);
    }

    fn end_absences(&mut self) {
        self.noticed_death();
        let height = self.ether.height();
        for role in [Role::A, Role::B] {
            let over = |since: Option<u64>| since.is_some_and(|since| height >= since + MAX_ABSENCE);
            if over(self.sight(role).silent_since) {
                self.sight(role).silent_since = None;
            }
            if self.sight(role).silent_since.is_none() {
                self.node(role).is_fresh = true;
            }
            let up_again = over(self.sight(role).down_since) || self.random.one_in(6);
            if self.sight(role).down_since.is_some() && up_again && self.sight(role).silent_since.is_none() {
                self.start(role);
            }
        }
    }

    /// The node starts: it catches up with the chain, and then goes on with what was under way.
    fn start(&mut self, role: Role) {
        self.log(|| format!("{role} starts"));
        self.sight(role).down_since = None;
        self.node(role).start();
        self.sight(role).mark = u64::MAX;
        self.look(role);
        self.node(role).apply(Input::Resume);
        self.commit(role);
    }

    fn tick(&mut self, role: Role) {
        if !self.node(role).is_up() {
            return;
        }
        let due = self.node(role).channel().next_tick();
        let now = self.node(role).now;
        if let Some(due) = due {
            self.node(role).now = now.max(due);
            self.node(role).apply(Input::Tick);
        }
    }

    /// What a person does now and then.
    fn user(&mut self, role: Role) {
        if !self.node(role).is_up() || self.cheat == Some(role) || self.random.below(3) > 0 {
            return;
        }
        let command = match self.random.below(6) {
            0 => Command::Close(CloseMode::Alone),
            1 => Command::Close(CloseMode::Cooperative),
            2 => Command::Challenge,
            3 => Command::Fund { value: None },
            4 if self.random.one_in(2) => Command::Cancel,
            _ => Command::Withdraw,
        };
        self.log(|| format!("{role} is told to {command:?}"));
        self.node(role).command(command);
    }

    /// Carries out what a node's inputs have asked for.
    pub(crate) fn commit(&mut self, role: Role) {
        for deed in self.node(role).commit() {
            match deed {
                Deed::Submit(call) if self.sight(role).silent_since.is_some() => {
                    // The RPC does not take it: the node hears so, and asks again when it is back.
                    let kind = call.kind();
                    self.sight(role).failed.push((kind, "unreachable"));
                }
                Deed::Submit(call) => {
                    self.log(|| format!("{role} broadcasts {call:?}"));
                    self.ether.submit(role, call, &mut self.random);
                }
                Deed::Send(message) => self.network.send(role.other(), message),
            }
        }
        self.noticed_death();
    }

    // ---- the chain ----------------------------------------------------------------------------

    pub(crate) fn mine(&mut self) {
        self.ether.mine(&mut self.random);
        for mined in self.ether.mined().to_vec() {
            self.log(|| format!("mined for {}: {:?}: {:?}", mined.from, mined.call, mined.result));
            if let Err(reason) = mined.result {
                self.sight(mined.from).failed.push((mined.call.kind(), reason));
            }
        }
        self.everybody_looks();
    }

    fn reorganise(&mut self) {
        let depth = 1 + self.random.below(MAX_REORGANISATION);
        self.log(|| format!("{depth} blocks are taken back"));
        self.ether.reorganise(depth, &mut self.random);
        for _ in 0..=depth {
            self.ether.mine(&mut self.random);
            for mined in self.ether.mined().to_vec() {
                if let Err(reason) = mined.result {
                    self.sight(mined.from).failed.push((mined.call.kind(), reason));
                }
            }
        }
        self.everybody_looks();
    }

    fn everybody_looks(&mut self) {
        for role in [Role::A, Role::B] {
            self.node(role).now += BLOCK_TIME;
            if self.node(role).is_up() && self.sight(role).silent_since.is_none() {
                self.look(role);
                self.commit(role);
            }
        }
    }

    /// The node reads the chain to its end.
    fn look(&mut self, role: Role) {
        let (mut view, mark) = (self.ether.view(), self.ether.mark());
        if self.sight(role).mark == mark {
            return;
        }
        if self.events_may_be_late && self.random.one_in(3) {
            view = view.without_events();
        } else {
            self.sight(role).mark = mark;
        }
        self.node(role).head = view.head;
        let known = *self.node(role).channel().view();
        if known.newest != view.newest || known.status != view.status {
            self.node(role).apply(Input::Chain(ChainInput::View(view)));
        }
        for (kind, reason) in std::mem::take(&mut self.sight(role).failed) {
            let reason = CallFailure::Refused(reason.into());
            self.node(role).apply(Input::Chain(ChainInput::CallFailed { kind, reason }));
        }
        self.node(role).apply(Input::Chain(ChainInput::Block));
    }

    // ---- the end ------------------------------------------------------------------------------

    /// From now on nothing fails. Everybody is up, hears of the chain, and pays low fees.
    pub(crate) fn heal(&mut self) {
        self.ether.congestion = 1;
        self.events_may_be_late = false;
        for role in [Role::A, Role::B] {
            self.node(role).dies_in = None;
            self.sight(role).silent_since = None;
            self.node(role).is_fresh = true;
            if self.sight(role).down_since.is_some() {
                self.start(role);
            }
        }
    }

    /// A while in which everything works.
    pub(crate) fn quiet(&mut self, blocks: u64) {
        for _ in 0..blocks {
            if !self.network.is_open() && self.cheat.is_none() {
                self.connect();
            }
            for _ in 0..200 {
                for role in [Role::A, Role::B] {
                    self.deliver(role);
                    self.commit(role);
                }
                if self.network.is_quiet() {
                    break;
                }
            }
            for role in [Role::A, Role::B] {
                self.tick(role);
                self.commit(role);
            }
            self.mine();
        }
    }

    /// What an honest user does to get the money out.
    pub(crate) fn wind_up(&mut self, role: Role) {
        if self.node(role).is_up() {
            let command = match self.ether.status() {
                OnChain::Missing | OnChain::Closed { .. } => return,
                OnChain::Empty { .. } => Command::Cancel,
                OnChain::Active { .. } => Command::Close(CloseMode::Alone),
                OnChain::Closing(_) => Command::Withdraw,
            };
            self.log(|| format!("{role} winds up: {command:?}"));
            self.node(role).command(command);
            self.commit(role);
        }
    }

    /// What whoever asked for each payment was answered, in the order of asking.
    pub(crate) fn answers(&self) -> Vec<(Role, PaymentId, Answers)> {
        let replies = |role: Role| match role {
            Role::A => &self.a.replies,
            Role::B => &self.b.replies,
        };
        let answers = |role: Role, commands: &[CommandId]| {
            commands.iter().map(|command| replies(role).get(command).cloned()).collect()
        };
        self.asked
            .iter()
            .map(|(id, (role, commands))| (*role, id.clone(), answers(*role, commands)))
            .collect()
    }

    /// The payments of one direction that count.
    pub(crate) fn applied(&mut self, role: Role, direction: Direction) -> BTreeMap<PaymentId, Amount> {
        let channel = self.node(role).channel();
        let done = |nonce| channel.status_of(nonce) == thunder_protocol::channel::PaymentStatus::Done;
        let rows = self.node(role).disk.rows.iter();
        rows.filter(|row| row.direction == direction && row.nonce.is_some_and(done))
            .map(|row| (row.payment.id.clone(), row.payment.amount))
            .collect()
    }
}
