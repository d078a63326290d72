//! What the core says can be done with a channel next, in each state.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use common::*;
use thunder_protocol::channel::{ChannelCommand, CloseMode, DataLossStep, NextStep, PeerInput};
use thunder_protocol::onchain::{CallKind, ChainClosing, EndKind, OnChain};
use thunder_protocol::wire::{Message, Refuse, RefuseReason};
use thunder_protocol::{Input, Nonce, Receipt, Role};

fn next(party: &Party) -> NextStep {
    party.channel().next_step(&party.context())
}

fn pair() -> Pair {
    Pair::active(balances(10, 10))
}

/// A's closing on receipt 0, in block 12.
fn on_zero(closer: Role) -> OnChain {
    closing(closer, 0, balances(10, 10), 0, false, 12)
}

#[test]
fn an_opening_waits_for_its_transaction_its_money_and_its_depth() {
    let mut pair = Pair::opening(balances(6, 4), 6);
    assert_eq!(next(&pair.a), NextStep::AwaitOpening);
    pair.b.chain(OnChain::Empty { paid_in: balances(6, 0) });
    assert_eq!(next(&pair.b), NextStep::Fund { missing: thd(4) });
    pair.b.confirmations = 6;
    pair.b.chain(OnChain::Active { paid_in: balances(6, 4) });
    let deep = Some(pair.b.head + 5);
    assert_eq!(next(&pair.b), NextStep::AwaitConfirmations { confirmations: 6, deep });
    pair.a.fail(CallKind::Open, "no ether");
    assert_eq!(next(&pair.a), NextStep::Nothing(None));
}

#[test]
fn an_active_channel_waits_for_the_partner_and_the_chain() {
    let mut pair = pair();
    assert_eq!(next(&pair.a), NextStep::Pay);
    pair.a.fresh = false;
    assert_eq!(next(&pair.a), NextStep::AwaitChain);
    pair.a.fresh = true;
    pair.disconnect();
    assert_eq!(next(&pair.a), NextStep::AwaitPartner);
    pair.connect();
    assert_eq!(next(&pair.a), NextStep::AwaitSync);
    pair.run();
    pair.a.pay("x", 1);
    let reason = RefuseReason::Stopped;
    pair.a.receive(Message::Refuse(Refuse { nonce: nonce(1), reason, agreed_nonce: Nonce::ZERO }));
    assert_eq!(next(&pair.a), NextStep::CloseWithoutPartner);
}

#[test]
fn a_partner_with_lost_data_may_ask_to_close() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    pair.disconnect();
    let backup = pair.b.disk.clone();
    pair.b.restore(backup);
    pair.connect();
    pair.run();
    assert_eq!(next(&pair.a), NextStep::AwaitPartnerWithLoss);
    let receipt = Receipt { nonce: nonce(1), balances: balances(9, 11) };
    assert_eq!(next(&pair.b), NextStep::Recover { step: DataLossStep::User, is_synced: true, receipt });
}

#[test]
fn what_the_chain_takes_back_is_waited_for_or_cancelled() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    pair.a.chain(OnChain::Missing);
    assert_eq!(next(&pair.a), NextStep::AwaitOpeningAgain);
    pair.a.chain(OnChain::Empty { paid_in: balances(10, 0) });
    assert_eq!(next(&pair.a), NextStep::Cancel);
    pair.a.command(ChannelCommand::Cancel);
    assert_eq!((pair.a.channel().name(), next(&pair.a)), ("closing", NextStep::Cancel));
}

#[test]
fn a_close_waits_for_the_partner_the_chain_and_the_challenge_period() {
    let mut pair = pair();
    pair.a.command(ChannelCommand::Close(CloseMode::Cooperative));
    assert_eq!(next(&pair.a), NextStep::AwaitFinal);
    pair.a.close();
    assert_eq!(next(&pair.a), NextStep::AwaitClosing);
    pair.a.chain(on_zero(Role::A));
    let (at, import_above) = (36, None);
    assert_eq!(next(&pair.a), NextStep::Withdraw { at, blocks: 36 - pair.a.head, import_above });
    pair.a.head = 40;
    assert_eq!(next(&pair.a), NextStep::Withdraw { at, blocks: 0, import_above });
    pair.a.chain(closed(EndKind::Withdrawn, balances(10, 10), None));
    let NextStep::Nothing(Some(end)) = next(&pair.a) else { panic!("{:?}", next(&pair.a)) };
    assert_eq!(end.kind, EndKind::Withdrawn);
}

#[test]
fn an_old_receipt_is_challenged_as_long_as_there_is_time() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    pair.b.chain(on_zero(Role::A));
    assert_eq!(next(&pair.b), NextStep::Challenge { blocks: 36 - pair.b.head - 1 });
    pair.b.head = 34;
    assert_eq!(next(&pair.b), NextStep::Challenge { blocks: 1 });
    pair.b.head = 35;
    assert_eq!(next(&pair.b), NextStep::Withdraw { at: 36, blocks: 1, import_above: None });
}

#[test]
fn with_lost_data_only_the_partner_closes_and_a_newer_receipt_can_be_given() {
    let mut pair = pair();
    let backup = pair.a.disk.clone();
    pair.disconnect();
    pair.a.restore(backup);
    let receipt = Receipt { nonce: Nonce::ZERO, balances: balances(10, 10) };
    assert_eq!(next(&pair.a), NextStep::Recover { step: DataLossStep::User, is_synced: false, receipt });
    pair.a.chain(on_zero(Role::B));
    let blocks = 36 - pair.a.head;
    let import_above = Some(Nonce::ZERO);
    assert_eq!(next(&pair.a), NextStep::Withdraw { at: 36, blocks, import_above });
    pair.a.chain(OnChain::Missing);
    assert_eq!(next(&pair.a), NextStep::AwaitPartnersClosing);
    // Without the event the same is shown.
    let OnChain::Closing(seen) = on_zero(Role::B) else { unreachable!() };
    pair.a.chain(OnChain::Closing(ChainClosing { event: None, ..seen }));
    assert!(matches!(next(&pair.a), NextStep::Withdraw { import_above: Some(_), .. }));
    pair.a.apply(Input::Peer(PeerInput::Disconnected));
}
