//! Runs by seed of one wallet with two channels at a time: the core that ships, a double of the disk, and a driver that
//! commits, loses what it has not committed, and dies. What is counted in the end is what the other side has.

use std::collections::{BTreeSet, VecDeque};

use thunder_protocol::channel::{
    ChainInput, ChannelCommand, Context, Direction, PaymentWrite, PeerInput, Terms,
};
use thunder_protocol::onchain::{
    ChainClosing, ChainView, ChannelEnd, ClosingEvent, EndKind, EventPosition, OnChain,
};
use thunder_protocol::wire::Message;
use thunder_protocol::{
    Amount, B256, Balances, Channel, Input, Memo, Nonce, Payment, Role, Signer, Transition,
};

use thunder_testing::Random;
use thunder_testing::disk::payments;

use super::*;
use crate::channels::ChannelEntry;
use crate::storage::{ChannelWrite, NewChannel, Settlements, Writes};
use crate::testing::disk::Disk;

const GENESIS: B256 = B256::repeat_byte(9);
const CHANNELS: usize = 2;
const STEPS: usize = 200;

/// What may be wrong with the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// An id is looked for only in the channel that the payment is ordered over.
    IdsPerChannel,
    /// Only the disk is looked at.
    QueuesForgotten,
}

/// One of the channels: the partner's side of it, and the messages under way.
struct Pipe {
    address: Address,
    partner: Channel,
    to_partner: VecDeque<Message>,
    to_node: VecDeque<Message>,
    /// The payments that the partner has.
    paid: BTreeSet<PaymentId>,
}

struct World {
    fault: Option<Fault>,
    random: Random,
    signers: [Signer; 2],
    disk: Disk,
    /// What is not on the disk yet.
    writes: Writes,
    batch: BatchPayments,
    channels: Channels,
    ids: PaymentIds,
    pipes: Vec<Pipe>,
    /// Messages that wait for the commit.
    unsent: Vec<(Address, Message)>,
    opened: u8,
    commands: u64,
    /// All that was paid, by id, in channels that are closed.
    closed: Vec<PaymentId>,
}

fn context(signer: &Signer) -> Context<'_> {
    Context {
        crypto: signer,
        now: 0,
        head: Some(100),
        chain_fresh: true,
        confirmations: 1,
        auto_challenge: true,
    }
}

fn view(status: OnChain) -> Input {
    let newest = Some(EventPosition { block: 1, tx: Some(B256::ZERO) });
    Input::Chain(ChainInput::View(ChainView { head: 100, newest, status }))
}

impl World {
    fn new(seed: u64, fault: Option<Fault>) -> Self {
        let signer = |secret| Signer::new(&[secret; 32], &[1; 32]).unwrap();
        let mut world = Self {
            fault,
            random: Random::new(seed),
            signers: [signer(0xa1), signer(0xb2)],
            disk: Disk::new(None),
            writes: Writes::default(),
            batch: BatchPayments::default(),
            channels: Channels::default(),
            ids: PaymentIds::default(),
            pipes: Vec::new(),
            unsent: Vec::new(),
            opened: 0,
            commands: 0,
            closed: Vec::new(),
        };
        (0..CHANNELS).for_each(|_| world.open());
        world
    }

    fn open(&mut self) {
        self.opened += 1;
        let paid_in = Balances { a: "100".parse().unwrap(), b: Amount::ZERO };
        let terms = |role| Terms {
            channel: Address::repeat_byte(self.opened),
            chain_id: 31337,
            token: Address::repeat_byte(1),
            factory: Address::repeat_byte(2),
            salt: B256::repeat_byte(self.opened),
            part_a: self.signers[0].address(),
            part_b: self.signers[1].address(),
            role,
            amount: paid_in.a,
            shares: paid_in,
        };
        let address = terms(Role::A).channel;
        let active = |role, signer| {
            let opening = Channel::accept(terms(role)).channel;
            opening.apply(view(OnChain::Active { paid_in }), &context(signer)).channel
        };
        let (channel, partner) = (active(Role::A, &self.signers[0]), active(Role::B, &self.signers[1]));
        self.commit();
        let row = self.disk.next_channel_row().unwrap();
        let setup = channel.setup();
        self.writes.opened.push(NewChannel {
            row,
            address,
            genesis: GENESIS,
            wallet: setup.party(setup.role()),
            partner: setup.partner(),
            first_block: 0,
            created: 0,
        });
        self.writes.states.push(ChannelWrite { row, state: channel.encode().unwrap(), is_over: false });
        self.channels.insert(ChannelEntry::new(row, channel, 0, 0));
        self.pipes.push(Pipe {
            address,
            partner,
            to_partner: VecDeque::new(),
            to_node: VecDeque::new(),
            paid: BTreeSet::new(),
        });
        self.commit();
        self.connect(self.pipes.len() - 1);
    }

    /// What the engine does with an input.
    fn apply(&mut self, address: Address, input: Input) {
        let effects = self.channels.apply(address, input, &context(&self.signers[0])).unwrap();
        assert_eq!(effects.misbehaviour, None);
        let entry = self.channels.get(&address).unwrap();
        if let Some(writes) = effects.persist {
            let writes = PaymentWrites { row: entry.row, time: 0, writes, settled: Settlements::default() };
            self.batch.record(&writes);
            self.writes.payments.push(writes);
            let state = entry.channel.encode().unwrap();
            self.writes.states.push(ChannelWrite { row: entry.row, state, is_over: false });
        }
        self.unsent.extend(effects.send.into_iter().map(|message| (address, message)));
        effects.reply.iter().for_each(|(command, _)| self.ids.remove(*command));
    }

    fn order(&mut self, id: PaymentId) -> (CommandId, Payment) {
        self.commands += 1;
        (CommandId(self.commands), Payment { id, amount: Amount::ONE_THD, memo: Memo::default() })
    }

    /// The partner pays something, so that proposals cross.
    fn partner_pays(&mut self, at: usize) {
        let id = PaymentId::new(format!("p{}", self.commands)).unwrap();
        let (command, payment) = self.order(id);
        self.partner_gets(at, Input::Command(command, ChannelCommand::Pay { payment, known: None }));
        self.partner_gets(at, Input::Flush);
    }

    /// The user orders a payment, over one of the channels; again and again one of the last few.
    fn pay(&mut self) {
        let number = self.commands / 16 + self.random.below(4);
        let id = PaymentId::new(format!("p{number}")).unwrap();
        let at = self.random.index(self.pipes.len());
        let mut channel = self.pipes[at].address;
        let wallet = self.signers[0].address();
        let nothing = PaymentIds::default();
        let ids = if self.fault == Some(Fault::QueuesForgotten) { &nothing } else { &self.ids };
        let mut earlier = ids.find(&id, &wallet, &self.channels, &self.batch, &self.disk).unwrap();
        if self.fault == Some(Fault::IdsPerChannel) {
            earlier = earlier.filter(|earlier| earlier.channel == channel);
        }
        let (command, payment) = self.order(id.clone());
        let known = match earlier {
            Some(earlier) => {
                channel = earlier.channel;
                earlier.known
            }
            None => {
                self.ids.insert(id, channel, command);
                None
            }
        };
        self.apply(channel, Input::Command(command, ChannelCommand::Pay { payment, known }));
        if self.random.below(2) == 0 {
            self.apply(channel, Input::Flush);
        }
    }

    fn commit(&mut self) {
        self.disk.commit(&std::mem::take(&mut self.writes)).unwrap();
        self.batch = BatchPayments::default();
        for (address, message) in std::mem::take(&mut self.unsent) {
            let pipe = self.pipes.iter_mut().find(|pipe| pipe.address == address);
            pipe.into_iter().for_each(|pipe| pipe.to_partner.push_back(message.clone()));
        }
    }

    fn partner_gets(&mut self, at: usize, input: Input) {
        let pipe = &mut self.pipes[at];
        let partner = pipe.partner.clone();
        let Transition { channel, effects } = partner.apply(input, &context(&self.signers[1]));
        assert_eq!(effects.misbehaviour, None);
        pipe.partner = channel;
        pipe.to_node.extend(effects.send);
        for write in effects.persist.into_iter().flatten() {
            if let PaymentWrite::Insert { direction: Direction::In, payment, .. } = write {
                assert!(pipe.paid.insert(payment.id), "twice in one channel");
            }
        }
    }

    fn repeated(&self, address: &Address, message: &Message) -> Vec<PaymentId> {
        let row = self.channels.get(address).unwrap().row;
        let is_known = |id: &&PaymentId| {
            self.batch.has_of_partner(row, id) || self.disk.knows_payment_of_partner(row, id).unwrap()
        };
        payments(message).iter().map(|payment| &payment.id).filter(is_known).cloned().collect()
    }

    fn deliver(&mut self, at: usize) {
        if self.pipes[at].to_partner.is_empty() || self.random.below(2) == 0 {
            let Some(message) = self.pipes[at].to_node.pop_front() else { return };
            let address = self.pipes[at].address;
            let repeated = self.repeated(&address, &message);
            self.apply(address, Input::Peer(PeerInput::Message { message, repeated }));
        } else if let Some(message) = self.pipes[at].to_partner.pop_front() {
            let repeated = self.pipes[at].paid.iter().cloned().collect();
            self.partner_gets(at, Input::Peer(PeerInput::Message { message, repeated }));
        }
    }

    fn deliver_all(&mut self) {
        self.commit();
        for at in 0..self.pipes.len() {
            (0..8).for_each(|_| self.deliver(at));
        }
    }

    fn disconnect(&mut self, at: usize) {
        self.pipes[at].to_partner.clear();
        self.pipes[at].to_node.clear();
        let address = self.pipes[at].address;
        self.unsent.retain(|(other, _)| *other != address);
        self.partner_gets(at, Input::Peer(PeerInput::Disconnected));
        self.apply(address, Input::Peer(PeerInput::Disconnected));
    }

    fn connect(&mut self, at: usize) {
        self.disconnect(at);
        self.partner_gets(at, Input::Peer(PeerInput::Connected { initiator: false }));
        self.apply(self.pipes[at].address, Input::Peer(PeerInput::Connected { initiator: true }));
    }

    /// kill -9, and a start from the disk.
    fn crash(&mut self) {
        self.writes = Writes::default();
        self.batch = BatchPayments::default();
        self.unsent.clear();
        self.ids = PaymentIds::default();
        self.channels = Channels::load(self.disk.channels(GENESIS).unwrap(), 31337);
        (0..self.pipes.len()).for_each(|at| self.connect(at));
    }

    /// The partner closes on what it has, and another channel is opened.
    fn close(&mut self, at: usize) {
        let Pipe { address, partner, paid, .. } = self.pipes.remove(at);
        self.unsent.retain(|(other, _)| *other != address);
        let receipt = partner.receipts().unwrap().agreed.receipt;
        let (nonce, balances) = (receipt.nonce, receipt.balances);
        let paid_in = Balances { a: partner.setup().terms().amount, b: Amount::ZERO };
        let event = ClosingEvent { base_nonce: nonce, by_proposal: false, tx: B256::ZERO };
        let closing = ChainClosing {
            closer: Role::B,
            nonce,
            balances,
            block: 2,
            paid_in: Some(paid_in),
            event: Some(event),
        };
        self.apply(address, view(OnChain::Closing(closing)));
        if self.random.below(2) == 0 {
            let end = ChannelEnd { kind: EndKind::Withdrawn, paid_out: balances };
            self.apply(address, view(OnChain::Closed { closing: Some(closing), end }));
        }
        self.closed.extend(paid);
        self.open();
    }

    fn step(&mut self) {
        let at = self.random.index(self.pipes.len());
        match self.random.below(80) {
            0..=13 => self.pay(),
            14 | 15 => self.partner_pays(at),
            16..=55 => self.deliver(at),
            56..=74 => self.commit(),
            75 => self.disconnect(at),
            76 | 77 => self.connect(at),
            78 => self.crash(),
            _ if self.opened < 30 => self.close(at),
            _ => {}
        }
    }

    /// The ids under which the other side was paid, in all channels that ever were.
    fn paid(&self) -> Vec<&PaymentId> {
        self.closed.iter().chain(self.pipes.iter().flat_map(|pipe| &pipe.paid)).collect()
    }

    fn is_paid_twice(&self) -> bool {
        let mut seen = BTreeSet::new();
        self.paid().into_iter().any(|id| !seen.insert(id))
    }
}

/// The first seed with which something was paid twice, and how many payments there were.
fn run(fault: Option<Fault>, seeds: u64) -> (Option<u64>, usize) {
    let mut payments = 0;
    for seed in 1..=seeds {
        let mut world = World::new(seed, fault);
        for _ in 0..STEPS {
            world.step();
            if world.is_paid_twice() {
                return (Some(seed), payments);
            }
        }
        payments += world.paid().len();
    }
    (None, payments)
}

#[test]
fn rule_6_an_id_is_paid_once_over_all_channels_of_a_wallet() {
    let (twice, payments) = run(None, 300);
    assert_eq!(twice, None, "the seed with which an id was paid twice");
    assert!(payments > 1000, "nothing happened: {payments}");
}

#[test]
fn rule_6_seeded_faults_are_found() {
    for fault in [Fault::IdsPerChannel, Fault::QueuesForgotten] {
        let (twice, _) = run(Some(fault), 300);
        println!("{fault:?}: seed {twice:?}");
        assert!(twice.is_some(), "{fault:?} is not found");
    }
}

#[test]
fn rule_6_an_id_is_free_again_once_the_channel_has_refused_its_payment() {
    let mut ids = PaymentIds::default();
    let (id, channel) = (PaymentId::new("rent").unwrap(), Address::repeat_byte(1));
    let find = |ids: &PaymentIds| {
        let (channels, batch, disk) = (Channels::default(), BatchPayments::default(), Disk::new(None));
        ids.find(&id, &Address::ZERO, &channels, &batch, &disk).unwrap()
    };
    ids.insert(id.clone(), channel, CommandId(1));
    assert_eq!(find(&ids), Some(EarlierPayment { channel, known: None }));
    ids.remove(CommandId(2));
    assert!(find(&ids).is_some(), "another command");
    ids.remove(CommandId(1));
    assert_eq!(find(&ids), None);
    assert!(ids.channels.is_empty() && ids.ids.is_empty());
}

#[test]
fn rule_6_payments_of_other_wallets_and_chains_are_others() {
    let mut world = World::new(1, None);
    let channel = world.pipes[0].address;
    (0..4).for_each(|_| world.deliver_all());
    let (command, payment) = world.order(PaymentId::new("rent").unwrap());
    let id = payment.id.clone();
    let pay = ChannelCommand::Pay { payment, known: None };
    world.apply(channel, Input::Command(command, pay));
    world.apply(channel, Input::Flush);
    let find = |wallet: &Signer, channels| {
        world.ids.find(&id, &wallet.address(), channels, &world.batch, &world.disk).unwrap()
    };
    let own = find(&world.signers[0], &world.channels).unwrap();
    assert_eq!((own.channel, own.known.unwrap().nonce), (channel, Nonce::new(1)));
    assert_eq!(find(&world.signers[1], &world.channels), None);
    assert_eq!(find(&world.signers[0], &Channels::default()), None);
}
