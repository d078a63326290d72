//! What fuzzing and review have found, one test for each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use common::*;
use thunder_protocol::channel::CommandError;
use thunder_protocol::onchain::{Call, ClosePlan, EndKind, Evidence, OnChain};
use thunder_protocol::{Nonce, Receipt, Role};

fn pair() -> Pair {
    Pair::active(balances(10, 10))
}

#[test]
fn rule_12_a_repeated_pay_of_what_the_closing_leaves_out_is_undecided() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    // B waives the payment that both have signed: it closes with a proposal on receipt 0.
    pair.a.chain(closing(Role::B, 2, balances(11, 9), 0, true, 12));
    let again = pair.a.pay("x", 1);
    assert_eq!(pair.a.reply(again), &Err(CommandError::Undecided));
}

#[test]
fn rule_9_a_lost_channel_does_not_call_a_proposed_payment_paid() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.a.disk.mark_stale();
    pair.a.restart();
    let again = pair.a.pay("x", 1);
    assert_eq!(pair.a.reply(again), &Err(CommandError::Undecided));
}

#[test]
fn rule_9_a_backup_of_a_channel_that_was_still_opening_is_lost_too() {
    let shares = balances(10, 10);
    let mut pair = Pair::opening(shares, 0);
    let backup = pair.a.disk.clone();
    pair.a.chain(OnChain::Active { paid_in: shares });
    pair.b.chain(OnChain::Active { paid_in: shares });
    pair.run();
    pair.a.pay("x", 1);
    pair.run();
    pair.disconnect();
    pair.a.disk = backup;
    pair.a.disk.mark_stale();
    pair.a.restart();
    pair.a.chain(OnChain::Active { paid_in: shares });
    assert_eq!(pair.a.channel().name(), "lost", "receipt 0 may be old, and nonce 1 was signed");
    let close = pair.a.close();
    assert_eq!(pair.a.reply(close), &Err(CommandError::Lost));
    pair.connect();
    pair.run();
    assert_eq!(pair.a.agreed(), (1, balances(9, 11)));
}

#[test]
fn rule_9_a_lost_channel_stays_lost_when_the_chain_takes_its_end_back() {
    let mut pair = pair();
    pair.a.disk.mark_stale();
    pair.a.restart();
    pair.a.chain(closed(EndKind::Final, balances(10, 10), None));
    pair.a.restart();
    pair.a.chain(OnChain::Active { paid_in: balances(10, 10) });
    let close = pair.a.close();
    assert_eq!(pair.a.reply(close), &Err(CommandError::Lost));
}

#[test]
fn a_closing_that_is_taken_back_before_the_opening_was_deep_leaves_a_way_out() {
    let shares = balances(10, 10);
    let mut pair = Pair::opening(shares, 0);
    pair.b.chain(closing(Role::A, 1, balances(9, 11), 0, true, 12));
    pair.b.chain(OnChain::Active { paid_in: shares });
    pair.b.close();
    let zero = Receipt { nonce: Nonce::ZERO, balances: shares };
    let plan = ClosePlan::Receipt(Evidence { receipt: zero, signature: None });
    assert_eq!(pair.b.submitted.last(), Some(&Call::Close(plan)), "receipt 0 is what was paid in");
}
