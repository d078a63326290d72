//! The memory of a node that gets as many large messages as it takes at once: messages that never end, and messages of
//! which each byte takes as much memory as possible when they are read.

use std::sync::Arc;

use thunder_node::limits::{LARGE_IN_ALL, LARGE_PER_CONNECTION};
use thunder_protocol::wire::{Envelope, MAX_PAYMENTS, Message, Packet, Propose, Request};
use thunder_protocol::{Address, Balances, Memo, Nonce, Payment, PaymentId, Signature, codec};

use super::harness::*;
use super::mallory::{Bytes, Gate, Mallory, no_session, runtime};

/// What a node may need while it is flooded; see `docs/limits.md`.
pub const MAX_MEMORY: u64 = 256 << 20;

/// The most memory that a node ever needed.
pub fn most_memory(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn messages_that_never_end_take_no_more_memory_than_there_are_places_for() {
    let world = World::new();
    let (alice, bob, _) = world.channel();
    runtime().block_on(async {
        let mut all = Vec::new();
        for _ in 0..4 {
            all.push(Mallory::connect(bob.port).await.unwrap());
        }
        let given_up = all.iter_mut().map(|mallory| async {
            let sent = mallory.send_endless();
            mallory.answers(sent).await
        });
        let answers = futures::future::join_all(given_up).await;
        assert!(answers.iter().flatten().all(Option::is_none));
    });
    let most = most_memory(&bob);
    eprintln!("endless messages: at most {} MiB", most >> 20);
    assert!(most < MAX_MEMORY, "{most} bytes");
    alice.pay("1");
}

/// A packet of half the largest size with well-formed messages as small as can be, which take much more memory when they
/// are read than on the wire.
fn dense(of: Dense) -> Arc<[u8]> {
    let payment = Payment { id: PaymentId::new("x").unwrap(), amount: thd("0"), memo: Memo::default() };
    let propose = |payments: usize| Envelope::Channel {
        channel: Address::ZERO,
        message: Message::Propose(Propose {
            base_nonce: Nonce::ZERO,
            nonce: Nonce::new(1).unwrap(),
            balances: Balances { a: thd("0"), b: thd("0") },
            payments: vec![payment.clone(); payments],
            signature: Signature::from_bytes([0; 65]),
        }),
    };
    let envelope = match of {
        Dense::Proposals => propose(MAX_PAYMENTS),
        Dense::Payments => propose(15 * MAX_PAYMENTS),
        Dense::Messages => Envelope::UnknownChannel { channel: Address::ZERO },
    };
    let count = codec::MAX_LEN / 2 / codec::encode(&envelope).unwrap().len();
    let messages = vec![envelope; count];
    codec::encode(&Request::Packet(Packet { session: no_session(), messages })).unwrap().into()
}

/// Of what a dense packet has as much as fits.
#[derive(Debug, Clone, Copy)]
enum Dense {
    /// Proposals with as many payments as one may have.
    Proposals,
    /// Payments, in a proposal that has more than it may have.
    Payments,
    /// Messages, more than a packet may have.
    Messages,
}

/// They are all held back before their last byte and are whole at the same time.
#[test]
fn dense_packets_take_no_more_memory_than_the_limits_say() {
    let world = World::new();
    let (alice, bob, _) = world.channel();
    let connections = LARGE_IN_ALL / LARGE_PER_CONNECTION;
    for of in [Dense::Proposals, Dense::Payments, Dense::Messages] {
        let (packet, gate) = (dense(of), Gate::default());
        runtime().block_on(async {
            let mut all = Vec::new();
            for _ in 0..connections {
                all.push(Mallory::connect(bob.port).await.unwrap());
            }
            let floods = all.iter_mut().map(|mallory| async {
                let held = || Bytes::Held(Arc::clone(&packet), gate.clone());
                let sent = (0..LARGE_PER_CONNECTION).map(|_| mallory.send(held())).collect();
                mallory.until(|| gate.waiting() == LARGE_IN_ALL).await;
                gate.open();
                mallory.answers(sent).await
            });
            futures::future::join_all(floods).await;
        });
        let most = most_memory(&bob);
        eprintln!("dense packets of {of:?}: at most {} MiB", most >> 20);
        assert!(most < MAX_MEMORY, "{of:?}: {most} bytes");
    }
    alice.pay("1");
}
