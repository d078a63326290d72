//! Two channel cores, a disk each, and a wire between them that does what a test wants.
#![allow(dead_code, unreachable_pub, reason = "every test file uses a part of it")]

pub mod chain;
pub mod data_loss;

use std::collections::{BTreeMap, VecDeque};

use thunder_protocol::channel::{
    ChainInput, ChannelCommand, ChannelNotice, CloseMode, CommandError, CommandId, CommandOutcome, Direction,
    Misbehaviour, PaymentStatus, PeerInput, Terms,
};
use thunder_protocol::onchain::{
    Call, CallFailure, CallKind, ChainClosing, ChainView, ChannelEnd, ClosePlan, ClosingEvent, EndKind,
    EventPosition, Evidence, OnChain,
};
use thunder_protocol::wire::{Message, Propose, Sync};
use thunder_protocol::{
    Address, AgreedReceipt, Amount, B256, Balances, Channel, Context, Crypto, Domain, Effects, Input, Nonce,
    Payment, Receipt, Role, Signature, Signer, address,
};
pub use thunder_testing::values::{CHAIN_ID, balances, nonce, payment, thd};
use thunder_testing::{Disk, Row, batch, values};

pub const CHANNEL: Address = address!("00000000000000000000000000000000000c4a11");

pub fn signer(role: Role) -> Signer {
    let secret = match role {
        Role::A => [0xa1; 32],
        Role::B => [0xb2; 32],
    };
    Signer::new(&secret, &[1; 32]).unwrap()
}

pub fn terms(role: Role, shares: Balances) -> Terms {
    values::terms(role, CHANNEL, [Role::A, Role::B].map(|role| signer(role).address()), shares)
}

pub fn view(head: u64, block: u64, status: OnChain) -> ChainView {
    let newest = Some(EventPosition { block, tx: Some(B256::with_last_byte(block as u8)) });
    ChainView { head, newest, status }
}

/// One party: its core, its disk, and what its effects asked for.
pub struct Party {
    pub role: Role,
    pub signer: Signer,
    pub channel: Option<Channel>,
    pub disk: Disk,
    pub outbox: VecDeque<Message>,
    pub submitted: Vec<Call>,
    pub replies: BTreeMap<CommandId, Result<CommandOutcome, CommandError>>,
    pub notices: Vec<ChannelNotice>,
    pub misbehaviour: Option<Misbehaviour>,
    pub now: u64,
    pub head: u64,
    pub fresh: bool,
    pub confirmations: u64,
    pub auto_challenge: bool,
    next_command: u64,
    /// How many disk writes succeed before the party "dies".
    pub writes_left: Option<usize>,
    /// How many there were.
    pub writes: usize,
}

impl Party {
    pub fn new(role: Role, channel: Option<Channel>) -> Self {
        Self {
            role,
            signer: signer(role),
            channel,
            disk: Disk::default(),
            outbox: VecDeque::new(),
            submitted: Vec::new(),
            replies: BTreeMap::new(),
            notices: Vec::new(),
            misbehaviour: None,
            now: 1_000,
            head: 10,
            fresh: true,
            confirmations: 1,
            auto_challenge: true,
            next_command: 0,
            writes_left: None,
            writes: 0,
        }
    }

    pub fn channel(&self) -> &Channel {
        self.channel.as_ref().expect("alive")
    }

    pub fn context(&self) -> Context<'_> {
        Context {
            crypto: &self.signer,
            now: self.now,
            head: Some(self.head),
            chain_fresh: self.fresh,
            confirmations: self.confirmations,
            auto_challenge: self.auto_challenge,
        }
    }

    /// Applies an input and carries out the effects in their order: disk, chain, wire, callers.
    pub fn apply(&mut self, input: Input) {
        let channel = self.channel.take().expect("alive");
        let transition = batch::apply(channel, input, &self.context());
        self.carry_out(transition.channel, transition.effects);
    }

    /// Applies a command alone; [`Input::Flush`] ends its batch.
    pub fn command_in_batch(&mut self, command: ChannelCommand) -> CommandId {
        let (channel, id) = (self.channel.take().expect("alive"), self.next_id());
        let transition = channel.apply(Input::Command(id, command), &self.context());
        self.carry_out(transition.channel, transition.effects);
        id
    }

    pub fn carry_out(&mut self, channel: Channel, effects: Effects) {
        if let Some(writes) = effects.persist {
            if self.writes_left == Some(0) {
                return; // dead before the write: nothing after it happens
            }
            self.writes_left = self.writes_left.map(|left| left - 1);
            self.disk.write(&channel, &writes);
            assert!(!self.disk.has_twice, "a payment applied twice");
            self.writes += 1;
            if self.writes_left == Some(0) {
                return; // dead right after the write
            }
        }
        self.channel = Some(channel);
        self.submitted.extend(effects.submit);
        self.outbox.extend(effects.send);
        self.replies.extend(effects.reply);
        self.notices.extend(effects.notify);
        self.misbehaviour = self.misbehaviour.or(effects.misbehaviour);
    }

    pub fn is_dead(&self) -> bool {
        self.channel.is_none()
    }

    fn next_id(&mut self) -> CommandId {
        self.next_command += 1;
        CommandId(self.next_command)
    }

    pub fn command(&mut self, command: ChannelCommand) -> CommandId {
        let id = self.next_id();
        self.apply(Input::Command(id, command));
        id
    }

    pub fn pay(&mut self, id: &str, amount: u64) -> CommandId {
        self.make(payment(id, amount))
    }

    /// Orders a payment.
    pub fn make(&mut self, payment: Payment) -> CommandId {
        self.command(self.disk.order(self.channel(), payment))
    }

    pub fn close(&mut self) -> CommandId {
        self.command(ChannelCommand::Close(CloseMode::Alone))
    }

    pub fn receive(&mut self, message: Message) {
        self.apply(self.disk.message(message));
    }

    pub fn chain(&mut self, status: OnChain) {
        self.head += 1;
        self.apply(Input::Chain(ChainInput::View(view(self.head, self.head, status))));
    }

    pub fn fail(&mut self, kind: CallKind, reason: &str) {
        self.apply(Input::Chain(ChainInput::CallFailed {
            kind,
            reason: CallFailure::Refused(reason.into()),
        }));
    }

    pub fn reply(&self, id: CommandId) -> &Result<CommandOutcome, CommandError> {
        self.replies.get(&id).expect("answered")
    }

    pub fn is_answered(&self, id: CommandId) -> bool {
        self.replies.contains_key(&id)
    }

    pub fn agreed(&self) -> (u64, Balances) {
        let agreed = self.channel().receipts().expect("has receipts").agreed;
        (agreed.nonce().get(), agreed.balances())
    }

    /// kill -9 and a new start from disk: the chain is caught up with, no session is open.
    pub fn restart(&mut self) {
        self.channel = Some(self.disk.load());
        self.outbox.clear();
        self.writes_left = None;
        self.apply(Input::Resume);
    }

    /// The disk is gone; `restore` brings a backup back.
    pub fn restore(&mut self, backup: Disk) {
        self.disk = backup;
        self.disk.mark_stale();
        self.restart();
    }

    pub fn sign(&self, nonce: Nonce, balances: Balances) -> Signature {
        self.signer.sign(&Domain::new(CHAIN_ID, CHANNEL).digest(&Receipt { nonce, balances }))
    }

    /// A proposal that this party signs without asking its core.
    pub fn forge(&self, base: u64, number: u64, shares: Balances, payments: Vec<Payment>) -> Propose {
        let signature = self.sign(nonce(number), shares);
        Propose { base_nonce: nonce(base), nonce: nonce(number), balances: shares, payments, signature }
    }

    pub fn applied(&self, direction: Direction) -> Vec<(String, Amount)> {
        let done = |row: &&Row| {
            row.direction == direction
                && row.nonce.is_some_and(|nonce| self.channel().status_of(nonce) == PaymentStatus::Done)
        };
        let mut rows: Vec<_> = self
            .disk
            .rows
            .iter()
            .filter(done)
            .map(|row| (row.payment.id.to_string(), row.payment.amount))
            .collect();
        rows.sort();
        rows
    }
}

/// Both parties of one channel.
pub struct Pair {
    pub a: Party,
    pub b: Party,
}

impl Pair {
    /// A pair whose channel was just agreed on and is not on the chain.
    pub fn opening(shares: Balances, deposit: u64) -> Self {
        let mut a = Party::new(Role::A, None);
        let mut b = Party::new(Role::B, None);
        let accepted = Channel::accept(terms(Role::B, shares));
        b.carry_out(accepted.channel, accepted.effects);
        let opened = Channel::open(terms(Role::A, shares), thd(deposit), CommandId(0));
        a.carry_out(opened.channel, opened.effects);
        Self { a, b }
    }

    /// A pair with an ACTIVE channel, in a session and in sync.
    pub fn active(shares: Balances) -> Self {
        let mut pair = Self::opening(shares, 0);
        let status = OnChain::Active { paid_in: shares };
        pair.a.chain(status);
        pair.b.chain(status);
        pair.run();
        pair
    }

    pub fn party(&mut self, role: Role) -> &mut Party {
        match role {
            Role::A => &mut self.a,
            Role::B => &mut self.b,
        }
    }

    /// Hands the oldest message that `to` has coming to it. Reports whether there was one.
    pub fn deliver(&mut self, to: Role) -> bool {
        let Some(message) = self.party(to.other()).outbox.pop_front() else { return false };
        if !self.party(to).is_dead() {
            self.party(to).receive(message);
        }
        true
    }

    /// Delivers until nothing is on the way.
    pub fn run(&mut self) {
        while self.deliver(Role::A) | self.deliver(Role::B) {}
    }

    /// The session ends; what was on the way is gone.
    pub fn disconnect(&mut self) {
        for role in [Role::A, Role::B] {
            self.party(role).outbox.clear();
            if !self.party(role).is_dead() {
                self.party(role).apply(Input::Peer(PeerInput::Disconnected));
            }
        }
    }

    /// A new session, opened by A.
    pub fn connect(&mut self) {
        self.a.apply(Input::Peer(PeerInput::Connected { initiator: true }));
        self.b.apply(Input::Peer(PeerInput::Connected { initiator: false }));
    }

    pub fn reconnect(&mut self) {
        self.disconnect();
        self.connect();
        self.run();
    }

    /// Lets time pass until both sides have repeated what was due.
    pub fn tick(&mut self) {
        for party in [&mut self.a, &mut self.b] {
            party.now += 10_000;
            party.apply(Input::Tick);
        }
        self.run();
    }

    /// Agreement and No minting: both sides have the same receipt and the same history, and the
    /// shares are what was paid in, moved by exactly the payments applied.
    pub fn assert_agreement(&self, paid_in: Balances) {
        assert_eq!(self.a.agreed(), self.b.agreed(), "the newest receipts differ");
        assert_eq!(self.a.applied(Direction::Out), self.b.applied(Direction::In));
        assert_eq!(self.b.applied(Direction::Out), self.a.applied(Direction::In));
        let sum =
            |rows: Vec<(String, Amount)>| Amount::checked_sum(rows.into_iter().map(|row| row.1)).unwrap();
        let (out, back) = (sum(self.a.applied(Direction::Out)), sum(self.b.applied(Direction::Out)));
        let expected = paid_in.a.checked_add(back).unwrap().checked_sub(out).unwrap();
        assert_eq!(self.a.agreed().1.a, expected, "the shares are not what the payments say");
    }
}

pub fn closing(
    closer: Role,
    number: u64,
    shares: Balances,
    base: u64,
    by_proposal: bool,
    block: u64,
) -> OnChain {
    OnChain::Closing(ChainClosing {
        closer,
        nonce: nonce(number),
        balances: shares,
        block,
        paid_in: Some(balances(10, 10)),
        event: Some(ClosingEvent {
            base_nonce: nonce(base),
            by_proposal,
            tx: B256::with_last_byte(block as u8),
        }),
    })
}

pub fn closed(kind: EndKind, paid_out: Balances, closing: Option<ChainClosing>) -> OnChain {
    OnChain::Closed { closing, end: ChannelEnd { kind, paid_out } }
}

pub fn evidence(party: &Party, number: u64, shares: Balances) -> Evidence {
    let receipt = Receipt { nonce: nonce(number), balances: shares };
    Evidence { receipt, signature: Some(party.sign(receipt.nonce, shares)) }
}

/// The plan of the closing that was submitted last.
pub fn plan_of(party: &Party) -> ClosePlan {
    match party.submitted.last() {
        Some(Call::Close(plan)) => *plan,
        other => panic!("no closing submitted: {other:?}"),
    }
}

/// A sync that shows a receipt, and nothing else.
pub fn sync_of(agreed: AgreedReceipt) -> Message {
    let (proposal, own_final) = (None, None);
    Message::Sync(
        Sync { agreed, proposal, own_final, closing: false, lost: false, wants_reply: false }.into(),
    )
}
