//! What a payment costs, counted: signatures, verifications, messages, bytes, disk writes and
//! allocations, for one payment at a time and for many in one receipt. Counts don't depend on the
//! machine; a change that makes them grow is slower everywhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;

use common::{CHANNEL, Pair, balances, payment, thd};
use thunder_protocol::channel::{ChannelCommand, CommandId, PeerInput};
use thunder_protocol::codec;
use thunder_protocol::wire::{Envelope, Message};
use thunder_protocol::{Address, B256, Channel, Context, Crypto, Effects, Input, Role, Signature, Signer};
use thunder_testing::batch;

/// Counts what it does.
struct Counting {
    signer: Signer,
    signatures: Cell<u64>,
    verifications: Cell<u64>,
}

impl Crypto for Counting {
    fn sign(&self, digest: &B256) -> Signature {
        self.signatures.set(self.signatures.get() + 1);
        self.signer.sign(digest)
    }

    fn verify(&self, digest: &B256, signature: &Signature, signer: &Address) -> bool {
        self.verifications.set(self.verifications.get() + 1);
        self.signer.verify(digest, signature, signer)
    }
}

/// One side, and what it has cost.
struct Side {
    crypto: Counting,
    channel: Option<Channel>,
    commands: u64,
    costs: Costs,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Costs {
    signatures: u64,
    verifications: u64,
    messages: u64,
    /// On the wire, with the envelope.
    bytes: u64,
    /// Inputs after which something has to be on the disk before anything is sent.
    writes: u64,
    /// Of the channel's state, each time.
    state_bytes: u64,
    allocations: u64,
}

impl Side {
    fn new(role: Role, channel: Option<Channel>) -> Self {
        let crypto = Counting {
            signer: common::signer(role),
            signatures: Cell::default(),
            verifications: Cell::default(),
        };
        Self { crypto, channel, commands: 0, costs: Costs::default() }
    }

    fn apply(&mut self, input: Input) -> Vec<Message> {
        let channel = self.channel.take().unwrap();
        let context = Context {
            crypto: &self.crypto,
            now: 1_000,
            head: Some(11),
            chain_fresh: true,
            confirmations: 1,
            auto_challenge: true,
        };
        let mut transition = None;
        let counted =
            allocation_counter::measure(|| transition = Some(batch::apply(channel, input, &context)));
        self.costs.allocations += counted.count_total;
        let transition = transition.unwrap();
        let Effects { persist, send, misbehaviour, .. } = transition.effects;
        assert_eq!(misbehaviour, None);
        if persist.is_some() {
            self.costs.writes += 1;
            self.costs.state_bytes += transition.channel.encode().unwrap().len() as u64;
        }
        for message in &send {
            let envelope = Envelope::Channel { channel: CHANNEL, message: message.clone() };
            self.costs.messages += 1;
            self.costs.bytes += codec::encode(&envelope).unwrap().len() as u64;
        }
        self.channel = Some(transition.channel);
        send.into_iter().collect()
    }

    fn pay(&mut self, name: &str) -> Vec<Message> {
        self.commands += 1;
        let command = ChannelCommand::Pay { payment: payment(name, 1), known: None };
        self.apply(Input::Command(CommandId(self.commands), command))
    }

    fn receive(&mut self, message: Message) -> Vec<Message> {
        self.apply(Input::Peer(PeerInput::Message { message, repeated: Vec::new() }))
    }

    /// What it has cost since the last time.
    fn take_costs(&mut self) -> Costs {
        let counted = Costs {
            signatures: self.crypto.signatures.take(),
            verifications: self.crypto.verifications.take(),
            ..self.costs
        };
        self.costs = Costs::default();
        counted
    }
}

/// Payer and payee with a channel that has been used.
fn pair() -> (Side, Side) {
    let Pair { a, b } = Pair::active(balances(2000, 0));
    let (mut payer, mut payee) = (Side::new(Role::A, a.channel), Side::new(Role::B, b.channel));
    for number in 0..10 {
        let sent = payer.pay(&format!("before-{number}"));
        exchange(&mut payer, &mut payee, sent);
    }
    payer.take_costs();
    payee.take_costs();
    (payer, payee)
}

/// Hands messages back and forth until there are none.
fn exchange(payer: &mut Side, payee: &mut Side, mut sent: Vec<Message>) {
    while !sent.is_empty() {
        let answers: Vec<_> = sent.into_iter().flat_map(|message| payee.receive(message)).collect();
        sent = answers.into_iter().flat_map(|message| payer.receive(message)).collect();
    }
}

fn mine(side: &Side, role: Role) -> thunder_protocol::Amount {
    side.channel.as_ref().unwrap().balances().of(role)
}

/// Holds a count against what is allowed; a smaller one is to be written down here.
fn assert_at_most(what: &str, counted: Costs, most: Costs) {
    let Costs { signatures, verifications, messages, bytes, writes, state_bytes, allocations } = counted;
    eprintln!("{what}: {counted:?}");
    assert_eq!((signatures, verifications), (most.signatures, most.verifications), "{what}");
    assert_eq!((messages, writes), (most.messages, most.writes), "{what}");
    assert!(bytes <= most.bytes, "{what}: {bytes} bytes on the wire");
    assert!(state_bytes <= most.state_bytes, "{what}: {state_bytes} bytes of state");
    assert!(allocations <= most.allocations, "{what}: {allocations} allocations");
}

#[test]
fn one_payment_costs_two_signatures_two_verifications_two_messages_and_three_writes() {
    let (mut payer, mut payee) = pair();
    let before = mine(&payee, Role::B);
    let sent = payer.pay("one");
    exchange(&mut payer, &mut payee, sent);
    assert_eq!(mine(&payee, Role::B), before.checked_add(thd(1)).unwrap());
    let (a, b) = (payer.take_costs(), payee.take_costs());
    let most = Costs { signatures: 1, verifications: 1, messages: 1, ..Costs::default() };
    assert_at_most("payer", a, Costs { bytes: 160, writes: 2, state_bytes: 1350, allocations: 18, ..most });
    assert_at_most("payee", b, Costs { bytes: 110, writes: 1, state_bytes: 620, allocations: 12, ..most });
}

#[test]
fn many_payments_cost_two_receipts_and_a_line_each() {
    const MANY: u64 = 256;
    let (mut payer, mut payee) = pair();
    let before = mine(&payee, Role::B);
    let first = payer.pay("first");
    // They wait while the first is under way, and go out together.
    for number in 0..MANY {
        assert!(payer.pay(&format!("{number}")).is_empty());
    }
    exchange(&mut payer, &mut payee, first);
    assert_eq!(mine(&payee, Role::B), before.checked_add(thd(MANY + 1)).unwrap());
    let (a, b) = (payer.take_costs(), payee.take_costs());
    let most = Costs { signatures: 2, verifications: 2, messages: 2, ..Costs::default() };
    let (bytes, waiting, applied) = (320 + 18 * MANY, 100 + 5 * MANY, 80 + MANY);
    let a_most = Costs { bytes, writes: 3, state_bytes: 2100, allocations: waiting, ..most };
    let b_most = Costs { bytes: 220, writes: 2, state_bytes: 1250, allocations: applied, ..most };
    assert_at_most("payer", a, a_most);
    assert_at_most("payee", b, b_most);
}
