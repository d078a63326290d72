//! What must hold when data was lost, the chain takes blocks back, a transaction fails, or a message
//! is lost for good.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use common::chain::Chain;
use common::*;
use thunder_protocol::channel::{
    ChainInput, ChannelCommand, ChannelNotice, CloseMode, CommandError, CommandOutcome, Direction,
};
use thunder_protocol::onchain::{CHALLENGE_PERIOD, Call, CallFailure, CallKind, EndKind, OnChain};
use thunder_protocol::wire::{Answer, Message, Refuse, RefuseReason};
use thunder_protocol::{AgreedReceipt, Channel, Input, Nonce, Role};

fn pair() -> Pair {
    Pair::active(balances(10, 10))
}

#[test]
fn rule_9_a_backup_taken_while_opening_comes_back_lost_and_is_not_punished() {
    let mut pair = Pair::opening(balances(10, 10), 0);
    let backup = pair.b.disk.clone();
    let status = OnChain::Active { paid_in: balances(10, 10) };
    pair.a.chain(status);
    pair.b.chain(status);
    pair.run();
    let mut chain = Chain::active(balances(10, 10), 11);
    pair.b.pay("x", 1);
    pair.run();
    pair.disconnect();
    pair.b.restore(backup);
    chain.show(&mut pair);
    pair.b.close();
    chain.run(&mut pair);
    chain.show(&mut pair);
    chain.run(&mut pair); // A, honest, challenges by itself
    chain.show(&mut pair);
    assert_ne!(chain.paid_out().map(|paid| paid.b), Some(thd(0)), "B was punished after a restore");
}

#[test]
fn rule_9_a_backup_taken_while_opening_signs_nothing() {
    let mut pair = Pair::opening(balances(10, 10), 0);
    let backup = pair.b.disk.clone();
    let status = OnChain::Active { paid_in: balances(10, 10) };
    pair.a.chain(status);
    pair.b.chain(status);
    pair.run();
    pair.b.pay("x", 1);
    pair.run();
    pair.disconnect();
    pair.b.restore(backup);
    pair.b.chain(status);
    assert_eq!(pair.b.channel().name(), "lost", "a restored channel is lost");
}

#[test]
fn rule_9_a_lost_channel_stays_lost_when_its_end_is_taken_back() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    let backup = pair.a.disk.clone();
    pair.a.pay("y", 1);
    pair.run();
    pair.disconnect();
    pair.a.restore(backup);
    assert_eq!(pair.a.channel().name(), "lost");
    let seen = closing(Role::B, 3, balances(8, 12), 3, false, 12);
    let OnChain::Closing(inner) = seen else { unreachable!() };
    pair.a.chain(closed(EndKind::Withdrawn, balances(8, 12), Some(inner)));
    pair.a.chain(OnChain::Active { paid_in: balances(10, 10) }); // reorganisation
    pair.a.submitted.clear();
    let close = pair.a.close();
    assert!(pair.a.submitted.is_empty(), "receipt 3 exists");
    assert_eq!(pair.a.reply(close), &Err(CommandError::DataLost));
}

#[test]
fn rule_9_with_proof_of_lost_data_a_closing_that_was_begun_is_dropped() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    let copy = pair.a.disk.clone();
    pair.a.pay("y", 1);
    pair.run();
    pair.disconnect();
    pair.a.disk = copy; // a data directory copied by hand
    pair.a.restart();
    pair.a.close(); // not mined: no ETH, or the RPC endpoint is out
    pair.a.fail(CallKind::Close, "unreachable");
    pair.connect();
    pair.run(); // B shows receipt 3 with A's own signature
    assert!(matches!(pair.a.channel(), Channel::Closing(state) if state.common.may_be_stale));
    pair.a.submitted.clear();
    pair.a.restart();
    let on_restart = pair.a.submitted.len();
    pair.a.submitted.clear();
    pair.a.close();
    let on_close = pair.a.submitted.len();
    pair.a.submitted.clear();
    pair.a.chain(OnChain::Active { paid_in: balances(10, 10) });
    let on_view = pair.a.submitted.len();
    assert_eq!(
        (on_restart, on_close, on_view),
        (0, 0, 0),
        "a lost channel must not close alone on receipt 1 of 3"
    );
}

#[test]
fn a_block_is_asked_for_only_if_it_is_still_to_come() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    pair.a.chain(OnChain::Empty { paid_in: balances(10, 0) }); // a reorganisation took B's `fund`
    let mut rounds = 0;
    // What node/src/daemon/chain.rs does.
    while let Some(due) = pair.a.channel().next_block(&pair.a.context()).filter(|due| *due <= pair.a.head) {
        let _ = due;
        pair.a.apply(Input::Chain(ChainInput::Block));
        rounds += 1;
        assert!(rounds < 1_000, "the daemon's loop never ends");
    }
}

/// A reorganisation takes back what B had paid in.
fn a_gets_its_money_out_of_empty(mut pair: Pair) {
    pair.a.chain(OnChain::Empty { paid_in: balances(10, 0) });
    pair.a.command(ChannelCommand::Cancel);
    let cancels = pair.a.submitted.iter().any(|call| call.kind() == CallKind::Cancel);
    assert!(cancels, "10 THD would be stuck in EMPTY");
}

#[test]
fn progress_cancel_after_a_reorganisation_to_empty_active() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    a_gets_its_money_out_of_empty(pair);
}

#[test]
fn progress_cancel_after_a_reorganisation_to_empty_closing() {
    let mut pair = pair();
    pair.a.close(); // on receipt 0
    a_gets_its_money_out_of_empty(pair);
}

#[test]
fn progress_cancel_after_a_reorganisation_to_empty_finishing() {
    let mut pair = pair();
    pair.a.command(ChannelCommand::Close(CloseMode::Cooperative));
    assert_eq!(pair.a.channel().name(), "finishing");
    a_gets_its_money_out_of_empty(pair);
}

#[test]
fn progress_receipt_0_is_read_anew_while_closing() {
    let mut pair = pair();
    pair.a.close();
    let paid_in = balances(15, 5); // B's `fund` was taken back, A paid in the rest
    pair.a.chain(OnChain::Empty { paid_in: balances(10, 0) });
    pair.a.submitted.clear();
    pair.a.chain(OnChain::Active { paid_in });
    pair.a.close();
    let mut chain = Chain::active(paid_in, 20);
    chain.execute(Role::A, &pair.a.submitted[0]).unwrap();
    assert!(chain.closing().is_some(), "A could never close alone");
}

#[test]
fn rule_12_a_closing_by_proposal_seen_while_opening_is_recorded_and_can_be_closed_again() {
    let mut pair = Pair::opening(balances(10, 10), 0);
    let status = OnChain::Active { paid_in: balances(10, 10) };
    pair.b.confirmations = 5; // B is more careful than A
    pair.a.chain(status);
    pair.b.chain(status);
    // A (hostile or not) closes on its own proposal.
    pair.b.chain(closing(Role::A, 1, balances(9, 11), 0, true, 13));
    // The history:
    let propose = pair.a.forge(0, 1, balances(9, 11), vec![payment("x", 1)]);
    pair.b.receive(Message::Propose(propose));
    let recorded = pair.b.disk.find(Direction::In, &payment("x", 1).id).is_some();
    // The way out after a reorganisation:
    pair.b.chain(status);
    pair.b.close();
    let mut chain = Chain::active(balances(10, 10), 20);
    for call in pair.b.submitted.clone() {
        chain.execute(Role::B, &call).unwrap();
    }
    assert!(
        recorded && chain.closing().is_some(),
        "recorded: {recorded}, closed: {}",
        chain.closing().is_some()
    );
}

#[test]
fn no_loss_a_challenge_that_failed_is_tried_again_with_every_block() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    pair.b.chain(closing(Role::A, 0, balances(10, 10), 0, false, 12));
    assert!(matches!(pair.b.submitted.pop(), Some(Call::Challenge(_))));
    pair.b.notices.clear();
    pair.b.apply(Input::Chain(ChainInput::CallFailed {
        kind: CallKind::Challenge,
        reason: CallFailure::NoEther("0.01 ETH are needed".into()),
    }));
    let mut challenged = false;
    for _ in 0..22 {
        let due = pair.b.channel().next_block(&pair.b.context());
        pair.b.head += 1;
        if due.is_some_and(|due| due <= pair.b.head) {
            pair.b.apply(Input::Chain(ChainInput::Block));
        }
        challenged |= pair.b.submitted.iter().any(|call| call.kind() == CallKind::Challenge);
    }
    assert!(challenged && pair.b.notices.iter().any(|notice| matches!(notice, ChannelNotice::AtRisk(_))));
}

#[test]
fn rule_12_the_closers_proposal_is_recorded_after_closed_too() {
    let mut pair = pair();
    let mut chain = Chain::active(balances(10, 10), 11);
    pair.b.pay("x", 1);
    pair.disconnect(); // the proposal never arrives
    pair.b.close();
    chain.run(&mut pair);
    chain.0.block += CHALLENGE_PERIOD;
    // A was off for five minutes; B withdraws.
    pair.b.head = chain.0.block;
    pair.b.apply(Input::Chain(ChainInput::View(chain.view())));
    pair.b.command(ChannelCommand::Withdraw);
    chain.run(&mut pair);
    chain.show(&mut pair);
    assert_eq!(chain.paid_out(), Some(balances(11, 9)));
    pair.reconnect();
    pair.reconnect();
    assert_eq!(pair.b.applied(Direction::Out), pair.a.applied(Direction::In), "the histories are the same");
}

#[test]
fn rule_12_the_closers_proposal_is_recorded_when_both_close_at_once() {
    let mut pair = pair();
    let mut chain = Chain::active(balances(10, 10), 11);
    pair.b.pay("x", 1);
    pair.b.outbox.clear(); // the message is lost; it would be repeated
    pair.a.close();
    pair.b.close();
    pair.run();
    pair.a.submitted.clear(); // B's transaction is mined first
    chain.run(&mut pair);
    chain.show(&mut pair);
    pair.run();
    for _ in 0..5 {
        pair.tick();
    }
    chain.0.block += CHALLENGE_PERIOD;
    chain.show(&mut pair);
    pair.b.command(ChannelCommand::Withdraw);
    chain.run(&mut pair);
    chain.show(&mut pair);
    pair.run();
    assert_eq!(chain.paid_out(), Some(balances(11, 9)));
    assert_eq!(pair.b.applied(Direction::Out), pair.a.applied(Direction::In), "the histories are the same");
}

#[test]
fn rule_6_a_lost_channel_does_not_confirm_what_is_only_proposed() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.disconnect();
    let backup = pair.a.disk.clone();
    pair.a.restore(backup);
    assert_eq!(pair.a.channel().name(), "lost");
    let again = pair.a.pay("x", 1);
    assert!(!matches!(pair.a.reply(again), Ok(CommandOutcome::Paid { .. })), "{:?}", pair.a.reply(again));
}

#[test]
fn rule_8_pay_with_an_id_in_flight_is_answered_at_once_when_offline() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.disconnect();
    let again = pair.a.pay("x", 1);
    assert!(pair.a.is_answered(again), "rule 8: at once");
}

#[test]
fn rule_8_pay_with_an_id_in_flight_is_answered_at_once_when_the_peer_has_stopped() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    let refuse = Refuse { nonce: nonce(1), reason: RefuseReason::Stopped, agreed_nonce: nonce(0) };
    pair.a.receive(Message::Refuse(refuse));
    let again = pair.a.pay("x", 1);
    assert!(pair.a.is_answered(again), "nothing will ever answer it in this session");
}

#[test]
fn rule_11_a_final_that_got_lost_is_repeated() {
    let mut pair = pair();
    let close = pair.a.command(ChannelCommand::Close(CloseMode::Cooperative));
    pair.a.outbox.clear(); // lost
    for _ in 0..100 {
        pair.tick();
    }
    assert!(
        pair.b.channel().name() != "active" || pair.a.is_answered(close),
        "closechannel would hang for ever"
    );
}

#[test]
fn rule_7_final_is_not_signed_while_the_chain_view_is_not_deep_enough() {
    let mut pair = pair();
    pair.a.confirmations = 10;
    pair.a.chain(OnChain::Active { paid_in: balances(10, 10) }); // mined again in the newest block
    pair.a.fresh = false;
    pair.a.command(ChannelCommand::Close(CloseMode::Cooperative));
    let signed = pair.a.outbox.iter().any(|message| matches!(message, Message::Final(_)));
    assert!(!signed, "rule 7");
}

#[test]
fn many_small_refusals_draw_one_sync() {
    let mut pair = Pair::active(balances(10_000, 10_000));
    pair.a.pay("first", 1);
    pair.b.outbox.clear();
    for number in 0..4096 {
        pair.a.pay(&format!("{number:0>60}"), 1);
    }
    pair.a.outbox.clear();
    // B answers the first; now 4096 payments are out.
    let answer = pair.b.sign(nonce(1), balances(9_999, 10_001));
    pair.a.receive(Message::Answer(Answer { nonce: nonce(1), signature: answer }));
    pair.a.outbox.clear();
    let refuse =
        Refuse { nonce: nonce(3), reason: RefuseReason::Stale, agreed_nonce: Nonce::new(1 << 30).unwrap() };
    for _ in 0..64 {
        pair.a.receive(Message::Refuse(refuse.clone()));
    }
    assert_eq!(pair.a.outbox.len(), 1, "a partner that says it is ahead is asked once where it stands");
}

/// A backup that nobody has signed can tell of a closing on any receipt that the partner has signed.
#[test]
fn rule_9_a_closing_that_only_an_untrusted_backup_tells_of_is_not_gone_on_with() {
    for is_trusted in [true, false] {
        let mut pair = pair();
        pair.a.pay("x", 1);
        pair.run();
        pair.a.close();
        let channel = pair.a.disk.load();
        assert!(channel.has_valid_receipts());
        let restored = if is_trusted { channel.mark_stale() } else { channel.mark_stale_untrusted() };
        pair.a.disk.record = restored.encode().unwrap();
        pair.a.submitted.clear();
        pair.a.restart();
        assert_eq!(pair.a.channel().name(), if is_trusted { "closing" } else { "lost" });
        assert_eq!(pair.a.submitted.is_empty(), !is_trusted);
        // What the chain shows counts, and what the other side closes on is challenged as ever.
        pair.a.chain(closing(Role::B, 0, balances(10, 10), 0, false, pair.a.head + 1));
        assert!(matches!(pair.a.submitted.last(), Some(Call::Challenge(_))), "{is_trusted}");
    }
}

#[test]
fn rule_9_a_record_with_a_receipt_that_one_side_has_not_signed_is_not_valid() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    pair.disconnect();
    let original = pair.a.disk.load();
    let forged = |change: &dyn Fn(&mut AgreedReceipt)| {
        let mut channel = original.clone();
        let Channel::Active(active) = &mut channel else { panic!("not active") };
        change(&mut active.common.receipts.agreed);
        channel
    };
    assert!(forged(&|_| {}).has_valid_receipts());
    let changes: [fn(&mut AgreedReceipt); 6] = [
        |agreed| agreed.receipt.balances = balances(0, 20),
        |agreed| agreed.receipt.balances = balances(0, 0),
        |agreed| agreed.receipt.nonce = nonce(3),
        |agreed| agreed.signatures = None,
        |agreed| agreed.signatures.as_mut().unwrap().a = agreed.signatures.unwrap().b,
        |agreed| agreed.signatures.as_mut().unwrap().b = agreed.signatures.unwrap().a,
    ];
    for change in changes {
        assert!(!forged(&change).has_valid_receipts());
    }
}

#[test]
fn rule_9_what_is_kept_for_the_history_alone_does_nothing_when_the_end_is_taken_back() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    pair.a.close();
    pair.a.chain(closed(EndKind::Final, balances(9, 11), None));
    pair.a.disk.record = pair.a.disk.load().for_history_only().encode().unwrap();
    pair.a.submitted.clear();
    pair.a.restart();
    assert_eq!((pair.a.channel().name(), pair.a.channel().balances()), ("closed", balances(9, 11)));
    pair.a.chain(OnChain::Active { paid_in: balances(10, 10) });
    assert_eq!(pair.a.channel().name(), "lost");
    assert!(pair.a.submitted.is_empty());
}
