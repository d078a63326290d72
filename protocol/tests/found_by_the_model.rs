//! What the model checker has found: each test is the heart of a trace.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use common::*;
use thunder_protocol::channel::{CloseMode, Command, PaymentStatus};
use thunder_protocol::onchain::{Call, ClosePlan, OnChain};
use thunder_protocol::wire::{Message, Sync};
use thunder_protocol::{AgreedReceipt, Receipt, Role, Signatures};

fn pair() -> Pair {
    Pair::active(balances(10, 10))
}

/// Rule 5: a repeated proposal that was answered by a proposal on it got a plain answer, which could
/// overtake that proposal. The partner then proposed again, which crossed it with a higher nonce, and
/// so on: payments here waited for as long as the partner's were repeated and the network reordered.
#[test]
fn rule_5_a_repeated_proposal_gets_the_proposal_that_answered_it() {
    let mut pair = pair();
    pair.a.pay("a", 1);
    pair.b.pay("b", 1);
    let repeated = pair.b.outbox[0].clone();
    pair.a.outbox.clear(); // A's crossing 1 is lost on the way
    pair.deliver(Role::A);
    let answer = pair.a.outbox.pop_front().unwrap();
    assert!(matches!(&answer, Message::Propose(propose) if propose.base_nonce == nonce(2)));
    pair.a.receive(repeated);
    assert_eq!(pair.a.outbox.pop_front(), Some(answer), "byte for byte, and nothing beside it");
}

/// A side that follows the chain only when the channel is CLOSING already, because the other closed on
/// a proposal at once, took the proposal's shares for receipt 0. When the chain took the closing back it
/// could not close alone: the contract refused its receipt 0.
#[test]
fn a_closing_that_was_seen_first_and_taken_back_leaves_the_true_receipt_0() {
    let mut pair = Pair::opening(balances(10, 10), 10);
    pair.a.chain(closing(Role::B, 2, balances(11, 9), 0, true, 12));
    pair.a.chain(OnChain::Active { paid_in: balances(10, 10) });
    assert_eq!(pair.a.agreed(), (0, balances(10, 10)));
    pair.a.command(Command::Close(CloseMode::Alone));
    let Some(Call::Close(ClosePlan::Receipt(base))) = pair.a.submitted.last() else { panic!("closes") };
    assert_eq!(base.receipt.balances, balances(10, 10));
}

/// Rule 12: A closes on its proposal 1, which crosses B's 2, and B takes A's payment into its history.
/// When A then shows that it had answered 2, that became B's agreed receipt, and with it A's payment
/// counted as done, which is in no receipt that B has.
#[test]
fn rule_12_what_was_recorded_of_a_closing_and_what_crossed_it_are_never_both_in() {
    let mut pair = pair();
    pair.a.pay("a", 1);
    pair.b.pay("b", 2);
    let (first, second) = (pair.a.outbox.clone(), pair.b.outbox.clone());
    let seen = closing(Role::A, 1, balances(9, 11), 0, true, 20);
    pair.b.chain(seen);
    pair.b.receive(first[0].clone());
    let Message::Propose(propose) = &second[0] else { panic!("B proposes") };
    let receipt = Receipt { nonce: propose.nonce, balances: propose.balances };
    let answered = Signatures { a: pair.a.sign(receipt.nonce, receipt.balances), b: propose.signature };
    let sync = Sync {
        agreed: AgreedReceipt::signed(receipt, answered),
        proposal: None,
        finish: None,
        closing: false,
        lost: false,
        wants_reply: false,
    };
    pair.b.receive(Message::Sync(sync.into()));
    pair.b.chain(OnChain::Active { paid_in: balances(10, 10) });
    let status = |number| pair.b.channel().status_of(nonce(number));
    assert_ne!((status(1), status(2)), (PaymentStatus::Done, PaymentStatus::Done));
    assert_eq!(pair.b.agreed(), (0, balances(10, 10)), "the chain decides, or whoever closes next");
}

/// A node that was down while its channel's opening became deep enough waited, once it was up again, for
/// a block that had long been there: the channel could be neither used, nor closed, nor cancelled.
#[test]
fn an_opening_that_became_deep_enough_while_the_node_was_down_is_used_after_the_start() {
    let mut pair = Pair::opening(balances(10, 0), 10);
    pair.a.confirmations = 6;
    pair.a.chain(OnChain::Active { paid_in: balances(10, 0) });
    assert_eq!(pair.a.channel().name(), "opening");
    pair.a.head += 20;
    pair.a.restart();
    assert_eq!(pair.a.channel().name(), "active");
    pair.a.command(Command::Close(CloseMode::Alone));
    assert!(matches!(pair.a.submitted.last(), Some(Call::Close(ClosePlan::Receipt(_)))));
}
