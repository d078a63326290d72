//! Sessions: what is said outside one, and what its sync shows (rules 8 and 9).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use common::*;
use thunder_protocol::channel::{CommandError, Misbehaviour, PeerInput};
use thunder_protocol::onchain::OnChain;
use thunder_protocol::wire::Message;
use thunder_protocol::{AgreedReceipt, Input, Nonce, Role, Signatures};

const PAID_IN: u64 = 10;

fn pair() -> Pair {
    Pair::active(balances(PAID_IN, PAID_IN))
}

#[test]
fn rule_8_offline_pay_fails_at_once_and_signs_nothing() {
    let mut pair = pair();
    pair.disconnect();
    let writes = pair.a.writes;
    let caller = pair.a.pay("x", 1);
    assert_eq!(pair.a.reply(caller), &Err(CommandError::PeerOffline));
    assert_eq!(pair.a.writes, writes);
    pair.connect();
    pair.run();
    assert_eq!(pair.a.agreed().0, 0);
}

#[test]
fn rule_8_what_only_waits_when_the_peer_leaves_is_not_paid() {
    let mut pair = pair();
    let proposed = pair.a.pay("proposed", 1);
    let waiting = pair.a.pay("waiting", 1);
    pair.disconnect();
    assert_eq!(pair.a.reply(waiting), &Err(CommandError::PeerOffline));
    assert!(!pair.a.is_answered(proposed), "its outcome is open");
    pair.connect();
    pair.run();
    assert!(pair.a.reply(proposed).is_ok());
    assert_eq!(pair.b.agreed(), (1, balances(9, 11)));
}

#[test]
fn rule_9_nothing_is_handled_before_sync() {
    let mut pair = pair();
    pair.disconnect();
    pair.connect();
    let propose = pair.a.forge(0, 1, balances(9, 11), vec![payment("x", 1)]);
    pair.b.receive(Message::Propose(propose.clone()));
    assert_eq!(pair.b.agreed().0, 0);
    assert!(pair.b.outbox.is_empty());
    pair.run();
    pair.b.receive(Message::Propose(propose));
    assert_eq!(pair.b.agreed().0, 1);
}

#[test]
fn rule_9_a_lost_answer_comes_with_the_next_sync() {
    let mut pair = pair();
    let caller = pair.a.pay("x", 1);
    pair.deliver(Role::B);
    pair.reconnect();
    assert!(pair.a.reply(caller).is_ok());
    pair.assert_agreement(balances(PAID_IN, PAID_IN));
}

#[test]
fn rule_9_only_an_own_signature_proves_lost_data() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    let backup = pair.a.disk.clone();
    pair.a.pay("y", 1);
    pair.run();
    pair.disconnect();
    pair.a.disk = backup;
    pair.a.restart();
    assert_eq!(pair.a.agreed().0, 1);
    pair.connect();
    pair.run();
    assert_eq!(
        pair.a.channel().name(),
        "closing",
        "lost, takes the newer receipt over, and both final_receipt on it"
    );
    assert_eq!(pair.a.agreed(), (3, balances(8, 12)));
}

#[test]
fn rule_9_a_bare_claim_is_misbehaviour_and_changes_nothing() {
    let mut pair = pair();
    pair.disconnect();
    pair.connect();
    let Some(Message::Sync(mut sync)) = pair.a.outbox.pop_front() else { panic!("A syncs first") };
    let receipt = thunder_protocol::Receipt { nonce: nonce(8), balances: balances(20, 0) };
    let theirs = pair.a.sign(receipt.nonce, receipt.balances);
    sync.agreed = AgreedReceipt::signed(receipt, Signatures { a: theirs, b: theirs });
    pair.b.receive(Message::Sync(sync));
    assert_eq!(pair.b.misbehaviour, Some(Misbehaviour::BareClaim));
    assert_eq!(pair.b.channel().name(), "active");
    assert_eq!(pair.b.agreed(), (0, balances(10, 10)));
}

#[test]
fn rule_9_the_proposals_nonce_with_other_balances_and_the_own_signature_proves_lost_data() {
    let mut pair = pair();
    pair.a.pay("now", 1);
    // In a life that A has forgotten it signed another receipt with nonce 1.
    let other = thunder_protocol::Receipt { nonce: nonce(1), balances: balances(5, 15) };
    let signatures = Signatures {
        a: pair.a.sign(other.nonce, other.balances),
        b: pair.b.sign(other.nonce, other.balances),
    };
    pair.disconnect();
    pair.connect();
    pair.a.outbox.clear();
    let sync = thunder_protocol::wire::Sync {
        agreed: AgreedReceipt::signed(other, signatures),
        proposal: None,
        own_final: None,
        closing: false,
        lost: false,
        wants_reply: false,
    };
    pair.a.receive(Message::Sync(sync.into()));
    assert_eq!(pair.a.channel().name(), "lost");
    assert_eq!(pair.a.agreed(), (1, balances(5, 15)));
}

#[test]
fn one_side_sees_the_channel_later_and_the_payment_still_goes_through() {
    let mut pair = Pair::opening(balances(10, 0), 10);
    pair.a.chain(OnChain::Active { paid_in: balances(10, 0) });
    let caller = pair.a.pay("x", 1);
    pair.run();
    assert!(!pair.a.is_answered(caller));
    pair.b.chain(OnChain::Active { paid_in: balances(10, 0) });
    pair.run();
    assert!(pair.a.reply(caller).is_ok());
    pair.assert_agreement(balances(10, 0));
}

#[test]
fn messages_outside_a_session_are_dropped() {
    let mut pair = pair();
    pair.disconnect();
    let propose = pair.a.forge(0, 1, balances(9, 11), vec![payment("x", 1)]);
    pair.b.receive(Message::Propose(propose));
    pair.b.apply(Input::Peer(PeerInput::Disconnected));
    assert_eq!(pair.b.agreed().0, 0);
    assert!(pair.b.outbox.is_empty());
    assert_eq!(Nonce::ZERO, nonce(0));
}
