//! Everything there is at one moment, and what can happen next.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use thunder_protocol::channel::{ChannelCommand, CloseMode, PeerInput};
use thunder_protocol::onchain::Call;
use thunder_protocol::wire::Message;
use thunder_protocol::{Channel, Input, Receipt, Role, Signature};

use crate::fault::Fault;
use crate::hostile;
use crate::scenario::{Left, Scenario};
use crate::side::{Outcome, Side, hash_debug};
use crate::verdict::Broken;
use thunder_testing::contract::{Caller, Contract, Function, Phase, Revert};
use thunder_testing::crypto::Key;

pub(crate) const ROLES: [Role; 2] = [Role::A, Role::B];
/// The most messages under way to one side; more are lost.
const WIRE: usize = 6;

/// A message under way.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Who gets it.
    pub to: Role,
    /// What it says.
    pub message: Message,
    key: u64,
}

/// A transaction that may be mined or not.
#[derive(Debug, Clone)]
pub struct PendingPayment {
    /// Who sent it.
    pub from: Role,
    /// What it calls.
    pub call: Call,
    key: u64,
}

/// A receipt with an honest side's signature, in the hands of the adversary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Held {
    /// The receipt.
    pub receipt: Receipt,
    /// The signature.
    pub signature: Signature,
}

/// A state of the model.
#[derive(Debug, Clone)]
pub struct World {
    /// The honest sides; the adversary plays the one that is missing.
    pub sides: [Option<Arc<Side>>; 2],
    /// What is under way between two honest sides.
    pub wire: Vec<Arc<Letter>>,
    /// The chain.
    pub contract: Contract,
    /// The chain before its last event, for a reorganisation, and an honest side's transaction that
    /// goes back to those that may be mined.
    pub undo: Option<Box<(Contract, Option<Arc<PendingPayment>>)>>,
    /// Transactions that were broadcast.
    pub mempool: Vec<Arc<PendingPayment>>,
    /// What the adversary was ever given, oldest first.
    pub held: Vec<Held>,
    /// What may still happen.
    pub left: Left,
    /// How many payments each user has asked for.
    pub asked: [u8; 2],
    /// A property that does not hold here.
    pub broken: Option<Broken>,
    /// The adversary's proposal that is being handled: it knows what an answer to it signs.
    pub(crate) heard: Option<Receipt>,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.sides.hash(state);
        self.wire.iter().for_each(|letter| letter.key.hash(state));
        (&self.contract, &self.held, &self.left, self.asked, self.broken).hash(state);
        let undo = self.undo.as_deref();
        undo.map(|(contract, pending)| (contract, pending.as_ref().map(|pending| pending.key))).hash(state);
        self.mempool.iter().for_each(|pending| pending.key.hash(state));
    }
}

/// What hashes alike is taken for the same, as the checker does.
impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        let hashed = |world: &Self| {
            let mut hasher = std::hash::DefaultHasher::new();
            world.hash(&mut hasher);
            hasher.finish()
        };
        hashed(self) == hashed(other)
    }
}

/// Something that happens.
#[derive(Debug, Clone)]
pub enum Action {
    /// A user pays one or two THD.
    Pay(Role),
    /// A user closes: with the other side's FINAL, or alone.
    Close(Role, bool),
    /// A message arrives; `again` leaves it under way.
    Deliver {
        /// Which.
        letter: Arc<Letter>,
        /// It will arrive once more.
        again: bool,
    },
    /// Time passes for a side that waits for an answer.
    Tick(Role),
    /// The session ends, and a new one opens.
    Reconnect,
    /// A node dies and starts again.
    Crash(Role),
    /// A transaction is mined.
    Mine(Arc<PendingPayment>),
    /// A node follows the chain to its newest block.
    See(Role),
    /// Blocks pass.
    Blocks,
    /// The chain takes its last event back.
    Reorg,
    /// An owner copies the data directory.
    Backup(Role),
    /// The owner puts the copy back, by `restore`.
    Restore(Role),
    /// The user of a restored node orders FINAL.
    OrderFinal(Role),
    /// The user of a restored node gives it the newest receipt, with both signatures or as a record.
    Import(Role, bool),
    /// The adversary says something.
    Say(Arc<Message>),
    /// The adversary calls the contract.
    Post(Function),
}

/// An action, during which a node may die after so many of its steps.
#[derive(Debug, Clone)]
pub struct Happening {
    /// What happens.
    pub action: Action,
    /// After how many steps of its effects the acting node dies.
    pub cut: Option<usize>,
}

impl PartialEq for Happening {
    fn eq(&self, other: &Self) -> bool {
        key(self) == key(other)
    }
}

impl World {
    /// Hashes what a verdict depends on: not what is under way, and not what may still happen.
    pub(crate) fn hash_for_verdict(&self, state: &mut impl Hasher) {
        self.sides.hash(state);
        (&self.contract, &self.held).hash(state);
        self.mempool.iter().for_each(|pending| pending.key.hash(state));
    }

    /// One side, if it is honest.
    pub fn side(&self, role: Role) -> Option<&Arc<Side>> {
        self.sides[role as usize].as_ref()
    }

    /// The honest sides.
    pub fn honest(&self) -> impl Iterator<Item = &Arc<Side>> {
        self.sides.iter().flatten()
    }

    /// What happens; `None` if it can't.
    pub fn act(&self, happening: &Happening) -> Option<Self> {
        let mut world = self.clone();
        let cut = happening.cut;
        if cut.is_some() {
            world.left.crashes -= 1;
        }
        match &happening.action {
            Action::Pay(role) => {
                world.left.pays[*role as usize] -= 1;
                let number = world.asked[*role as usize];
                world.asked[*role as usize] += 1;
                world.step(*role, |side| side.pay(number, u64::from(1 + number % 2), cut))?;
            }
            Action::Close(role, cooperative) => {
                let left = if *cooperative { &mut world.left.coops } else { &mut world.left.closes };
                *left -= 1;
                let mode = if *cooperative { CloseMode::Cooperative } else { CloseMode::Alone };
                world.step(*role, |side| side.command(ChannelCommand::Close(mode), cut))?;
            }
            Action::Deliver { letter, again } => world.deliver(letter, *again, cut)?,
            Action::Say(message) => {
                let to = world.honest().next()?.role;
                // `u8::MAX` is as many as it likes.
                if world.left.said < u8::MAX {
                    world.left.said -= 1;
                }
                world.heard = hostile::proposed(message);
                world.step(to, |side| side.receive((**message).clone(), cut))?;
                world.heard = None;
            }
            Action::Tick(role) => world.step(*role, |side| side.step(Input::Tick, cut))?,
            Action::Reconnect => world.reconnect(),
            Action::Crash(role) => {
                world.left.crashes -= 1;
                world.restart(*role);
            }
            Action::Mine(pending) => {
                world.mempool.retain(|other| other.key != pending.key);
                let function = Function::of(&pending.call)?;
                world.execute(pending.from, &function, Some(pending)).ok()?;
            }
            Action::Post(function) => {
                world.left.posts -= 1;
                let adversary = world.honest().next()?.role.other();
                world.execute(adversary, function, None).ok()?;
            }
            Action::See(role) => world.see(*role),
            Action::Blocks => {
                world.left.blocks -= 1;
                world.contract.block += 8;
            }
            Action::Reorg => {
                world.left.reorgs -= 1;
                let head = world.contract.block;
                let (contract, pending) = *world.undo.take()?;
                world.contract = contract;
                world.contract.block = head + 1;
                if let Some(pending) = pending {
                    world.broadcast(pending.from, pending.call.clone());
                }
            }
            Action::Backup(role) => {
                world.left.backups -= 1;
                let side = Arc::make_mut(world.sides[*role as usize].as_mut()?);
                side.backup = Some(side.disk.clone());
                side.refresh();
            }
            Action::Restore(role) => {
                Arc::make_mut(world.sides[*role as usize].as_mut()?).restore();
                world.restart(*role);
            }
            Action::OrderFinal(role) => {
                world.left.orders -= 1;
                world.step(*role, |side| side.order_final(cut))?;
            }
            Action::Import(role, export) => {
                world.left.imports -= 1;
                world.step(*role, |side| side.import(*export, cut))?;
            }
        }
        Some(world)
    }

    fn execute(
        &mut self,
        from: Role,
        function: &Function,
        pending: Option<&Arc<PendingPayment>>,
    ) -> Result<(), Revert> {
        let before = self.contract.clone();
        self.contract.mine(Caller::Party(from), function, &Key(from))?;
        self.undo = (self.left.reorgs > 0).then(|| Box::new((before, pending.cloned())));
        Ok(())
    }

    /// Lets a node do something, and passes on what comes out of it.
    fn step(&mut self, role: Role, step: impl FnOnce(&mut Side) -> Option<Outcome>) -> Option<()> {
        let slot = self.sides[role as usize].as_mut()?;
        let side = Arc::make_mut(slot);
        let outcome = step(side)?;
        side.refresh();
        self.pass_on(role, outcome);
        Some(())
    }

    fn pass_on(&mut self, role: Role, outcome: Outcome) {
        for call in outcome.submit {
            self.broadcast(role, call);
        }
        for message in outcome.send {
            self.send(role, message);
        }
        if outcome.misbehaviour.is_some() && self.sides.iter().all(Option::is_some) {
            self.broken = Some(Broken::HonestAccused);
        }
        if outcome.crashed {
            self.restart(role);
        }
    }

    fn broadcast(&mut self, from: Role, call: Call) {
        if Function::of(&call).is_none()
            || self.mempool.iter().any(|other| other.from == from && other.call == call)
        {
            return;
        }
        let key = key(&(from, &call));
        let at = self.mempool.partition_point(|other| other.key < key);
        self.mempool.insert(at, Arc::new(PendingPayment { from, call, key }));
    }

    fn send(&mut self, from: Role, message: Message) {
        let to = from.other();
        let Some(receiver) = self.side(to) else {
            hostile::learn(&mut self.held, from, &message, self.heard);
            return;
        };
        let key = key(&(to, &message));
        let under_way = self.wire.iter().filter(|letter| letter.to == to).count();
        if !receiver.online || under_way >= WIRE || self.wire.iter().any(|letter| letter.key == key) {
            return;
        }
        let at = self.wire.partition_point(|letter| letter.key < key);
        self.wire.insert(at, Arc::new(Letter { to, message, key }));
    }

    pub(crate) fn deliver(&mut self, letter: &Arc<Letter>, again: bool, cut: Option<usize>) -> Option<()> {
        if again {
            self.left.repeats -= 1;
        } else {
            self.wire.retain(|other| other.key != letter.key);
        }
        self.step(letter.to, |side| side.receive(letter.message.clone(), cut))
    }

    pub(crate) fn see(&mut self, role: Role) {
        let view = self.contract.view();
        let _ = self.step(role, |side| Some(side.see(view)));
    }

    /// What was sent to a node that dies is lost; what it sent may still arrive.
    fn restart(&mut self, role: Role) {
        self.wire.retain(|letter| letter.to != role);
        let view = self.contract.view();
        let _ = self.step(role, |side| Some(side.restart(view)));
    }

    fn reconnect(&mut self) {
        self.left.connects = self.left.connects.saturating_sub(1);
        let both = self.sides.iter().all(Option::is_some);
        for role in ROLES {
            if self.side(role).is_some_and(|side| side.online) {
                let _ = self.step(role, |side| Some(side.session(PeerInput::Disconnected)));
            }
        }
        if self.honest().all(|side| side.fault != Some(Fault::EarlierConnection)) {
            self.wire.clear();
        }
        // Both are in the session before anything is said in it.
        for role in ROLES.into_iter().rev() {
            let initiator = role == Role::A || !both;
            let _ = self.step(role, |side| Some(side.session(PeerInput::Connected { initiator })));
        }
    }

    /// Everything that can happen next.
    pub fn happenings(&self, scenario: &Scenario) -> Vec<Happening> {
        let mut all = Vec::new();
        let mut add = |action: Action, cuts: usize| {
            all.push(Happening { action: action.clone(), cut: None });
            let cuts = if self.left.crashes > 0 { cuts } else { 0 };
            all.extend((0..cuts).map(|cut| Happening { action: action.clone(), cut: Some(cut) }));
        };
        for side in self.honest() {
            let role = side.role;
            if self.left.pays[role as usize] > 0 && side.online && matches!(side.channel, Channel::Active(_))
            {
                add(Action::Pay(role), 3);
            }
            let closable = matches!(side.channel, Channel::Active(_) | Channel::CooperativeClosing(_));
            if self.left.closes > 0 && closable {
                add(Action::Close(role, false), 3);
            }
            if self.left.coops > 0 && side.online && matches!(side.channel, Channel::Active(_)) {
                add(Action::Close(role, true), 3);
            }
            if side.online && side.channel.next_tick().is_some() {
                add(Action::Tick(role), 0);
            }
            if self.left.crashes > 0 {
                add(Action::Crash(role), 0);
            }
            let (known, view) = (side.channel.view(), self.contract.view());
            let due = side.channel.next_block(&side.context(&Key(role)));
            let news = (known.newest, known.status) != (view.newest, view.status);
            if news || due.is_some_and(|due| due <= view.head && side.head < view.head) {
                add(Action::See(role), 0);
            }
            if self.left.backups > 0 && side.backup.is_none() && side.restored.is_none() {
                add(Action::Backup(role), 0);
            }
            if side.backup.is_some() {
                add(Action::Restore(role), 0);
            }
            if self.left.orders > 0 && matches!(side.channel, Channel::DataLoss(_)) {
                add(Action::OrderFinal(role), 3);
            }
            if self.left.imports > 0 && side.restored.is_some() {
                add(Action::Import(role, true), 3);
                add(Action::Import(role, false), 3);
            }
        }
        for letter in &self.wire {
            if self.side(letter.to).is_some_and(|side| side.online) {
                add(Action::Deliver { letter: letter.clone(), again: false }, 4);
                if self.left.repeats > 0 {
                    add(Action::Deliver { letter: letter.clone(), again: true }, 0);
                }
            }
        }
        if self.left.connects > 0 || self.honest().any(|side| !side.online) {
            add(Action::Reconnect, 0);
        }
        self.mempool.iter().for_each(|pending| add(Action::Mine(pending.clone()), 0));
        if self.left.blocks > 0 && self.contract.phase != Phase::Closed {
            add(Action::Blocks, 0);
        }
        if self.left.reorgs > 0 && self.undo.is_some() && self.may_reorg(scenario) {
            add(Action::Reorg, 0);
        }
        if let ([Some(side), None] | [None, Some(side)], true) = (&self.sides, self.left.said > 0) {
            let messages = if side.online { hostile::messages(self, side, scenario) } else { Vec::new() };
            messages.into_iter().for_each(|message| add(Action::Say(Arc::new(message)), 4));
            if self.left.posts > 0 {
                let posts = hostile::posts(self, side.role, scenario);
                posts.into_iter().for_each(|post| add(Action::Post(post), 0));
            }
        }
        all
    }

    /// An opening is not taken back once it is as deep as a receipt needs it; a closing may be.
    fn may_reorg(&self, scenario: &Scenario) -> bool {
        let deep = self.contract.view().is_confirmed(scenario.confirmations);
        !deep || !matches!(self.contract.phase, Phase::Empty | Phase::Active)
    }
}

/// A name for what `Debug` shows.
fn key(value: &impl std::fmt::Debug) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hash_debug(value, &mut hasher);
    hasher.finish()
}
