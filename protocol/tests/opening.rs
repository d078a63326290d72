//! Opening: on disk before the transaction, funded by both, cancelled, taken back by the chain.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use common::*;
use thunder_protocol::channel::{
    ChainInput, ChannelCommand, CloseMode, CommandError, CommandId, CommandOutcome,
};
use thunder_protocol::onchain::{Call, CallKind, ClosePlan, EndKind, Evidence, OnChain};
use thunder_protocol::wire::{Message, RefuseReason};
use thunder_protocol::{Input, Nonce, Receipt, Role};

fn pair() -> Pair {
    Pair::active(balances(10, 10))
}

#[test]
fn opening_is_on_disk_before_the_transaction_and_is_picked_up_after_a_crash() {
    let mut pair = Pair::opening(balances(10, 0), 10);
    assert!(matches!(&pair.a.submitted[..], [Call::Open { deposit, .. }] if *deposit == thd(10)));
    assert_eq!(pair.a.writes, 1);
    pair.a.submitted.clear();
    pair.a.restart();
    assert!(matches!(&pair.a.submitted[..], [Call::Open { .. }]), "asked for again");
    pair.a.chain(OnChain::Active { paid_in: balances(10, 0) });
    assert_eq!(pair.a.channel().name(), "active");
}

#[test]
fn opening_that_fails_is_abandoned_and_the_caller_told() {
    let mut pair = Pair::opening(balances(10, 0), 10);
    pair.a.fail(CallKind::Open, "no ETH");
    assert!(matches!(pair.a.reply(CommandId(0)), Err(CommandError::CallFailed { .. })));
    assert_eq!(pair.a.channel().name(), "closed");
    // Should it be mined after all, it is there again.
    pair.a.chain(OnChain::Active { paid_in: balances(10, 0) });
    assert_eq!(pair.a.channel().name(), "active");
}

#[test]
fn dual_funding_and_cancel() {
    let mut pair = Pair::opening(balances(6, 4), 6);
    let paid = OnChain::Empty { paid_in: balances(6, 0) };
    pair.a.chain(paid);
    pair.b.chain(paid);
    assert!(matches!(pair.a.reply(CommandId(0)), Ok(CommandOutcome::PaidIn { .. })));
    let too_much = pair.b.command(ChannelCommand::Fund { value: Some(thd(5)) });
    assert_eq!(pair.b.reply(too_much), &Err(CommandError::TooMuch { missing: thd(4) }));
    let fund = pair.b.command(ChannelCommand::Fund { value: None });
    assert!(matches!(pair.b.submitted.last(), Some(Call::Fund { value }) if *value == thd(4)));
    let twice = pair.b.command(ChannelCommand::Fund { value: None });
    assert_eq!(pair.b.reply(twice), &Err(CommandError::UnderWay));
    let early = pair.a.pay("x", 1);
    assert!(matches!(pair.a.reply(early), Err(CommandError::WrongState(_))));
    for party in [&mut pair.a, &mut pair.b] {
        party.chain(OnChain::Active { paid_in: balances(6, 4) });
    }
    assert!(matches!(pair.b.reply(fund), Ok(CommandOutcome::PaidIn { .. })));
    pair.run();
    assert_eq!(pair.a.agreed(), (0, balances(6, 4)));

    let mut pair = Pair::opening(balances(6, 4), 6);
    pair.a.chain(paid);
    let cancel = pair.a.command(ChannelCommand::Cancel);
    assert_eq!(pair.a.submitted.last(), Some(&Call::Cancel));
    pair.a.chain(closed(EndKind::Cancelled, balances(6, 0), None));
    assert!(
        matches!(pair.a.reply(cancel), Ok(CommandOutcome::PaidOut { received, .. }) if *received == thd(6))
    );
}

#[test]
fn a_contract_that_is_not_what_was_agreed_on_is_never_used() {
    let mut pair = Pair::opening(balances(10, 0), 10);
    pair.b.apply(Input::Chain(ChainInput::Invalid("its code is not the template's clone".into())));
    assert_eq!(pair.b.channel().name(), "closed");
    let propose = pair.a.forge(0, 1, balances(9, 1), vec![payment("x", 1)]);
    pair.b.receive(Message::Propose(propose));
    assert!(matches!(&pair.b.outbox[0], Message::Refuse(refuse) if refuse.reason == RefuseReason::Stopped));
}

#[test]
fn a_reorganisation_that_changes_the_shares_changes_receipt_0() {
    let mut pair = pair();
    pair.a.chain(OnChain::Missing);
    assert_eq!(pair.a.channel().name(), "opening");
    pair.a.chain(OnChain::Active { paid_in: balances(12, 8) });
    assert_eq!(pair.a.agreed(), (0, balances(12, 8)));
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

/// A side that follows the chain only when the channel is CLOSING already, because the other closed on
/// a proposal at once, took the proposal's shares for receipt 0. When the chain took the closing back it
/// could not close alone: the contract refused its receipt 0.
#[test]
fn a_closing_that_was_seen_first_and_taken_back_leaves_the_true_receipt_0() {
    let mut pair = Pair::opening(balances(10, 10), 10);
    pair.a.chain(closing(Role::B, 2, balances(11, 9), 0, true, 12));
    pair.a.chain(OnChain::Active { paid_in: balances(10, 10) });
    assert_eq!(pair.a.agreed(), (0, balances(10, 10)));
    pair.a.command(ChannelCommand::Close(CloseMode::Alone));
    let Some(Call::Close(ClosePlan::Receipt(base))) = pair.a.submitted.last() else { panic!("closes") };
    assert_eq!(base.receipt.balances, balances(10, 10));
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
    pair.a.command(ChannelCommand::Close(CloseMode::Alone));
    assert!(matches!(pair.a.submitted.last(), Some(Call::Close(ClosePlan::Receipt(_)))));
}
