//! Closing alone (rules 10 and 12), the challenge, and the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use common::*;
use thunder_protocol::channel::{
    ChannelCommand, ChannelNotice, CloseMode, ClosedBy, CommandError, CommandOutcome, Direction,
    PaymentStatus,
};
use thunder_protocol::onchain::{Call, CallKind, ClosePlan, EndKind, OnChain};
use thunder_protocol::wire::{Message, Sync};
use thunder_protocol::{AgreedReceipt, Channel, Nonce, Receipt, Role, Signatures};

fn pair() -> Pair {
    Pair::active(balances(10, 10))
}

#[test]
fn rule_10_the_flag_is_on_disk_before_the_closing_goes_out_and_stays() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    pair.a.writes_left = Some(0);
    pair.a.close();
    assert!(pair.a.is_dead() && pair.a.submitted.iter().all(|call| call.kind() != CallKind::Close));
    pair.a.restart();
    pair.a.close();
    assert_eq!(plan_of(&pair.a), ClosePlan::Receipt(evidence(&pair.b, 1, balances(9, 11))));
    pair.a.submitted.clear();
    pair.a.restart();
    assert_eq!(pair.a.channel().name(), "closing");
    assert!(matches!(pair.a.submitted[..], [Call::Close(_)]), "asked for again after a crash");
    pair.reconnect();
    let refused = pair.a.pay("y", 1);
    assert_eq!(pair.a.reply(refused), &Err(CommandError::Closing));
    let theirs = pair.b.pay("z", 1);
    assert_eq!(pair.b.reply(theirs), &Err(CommandError::PeerStopped));
    let propose = pair.b.forge(1, 2, balances(10, 10), vec![payment("w", 1)]);
    pair.a.receive(Message::Propose(propose));
    assert_eq!(pair.a.agreed().0, 1, "nothing is signed any more");
}

#[test]
fn closing_on_receipt_0_needs_no_signature() {
    let mut pair = pair();
    let caller = pair.b.close();
    let ClosePlan::Receipt(evidence) = plan_of(&pair.b) else { panic!() };
    assert_eq!((evidence.receipt.nonce, evidence.signature), (Nonce::ZERO, None));
    pair.b.chain(closing(Role::B, 0, balances(10, 10), 0, false, 12));
    let done = CommandOutcome::Closing {
        tx: pair.b.channel().view().newest.unwrap().tx,
        mode: ClosedBy::Unilateral,
        nonce: Nonce::ZERO,
        withdrawable_at: Some(36),
    };
    assert_eq!(pair.b.reply(caller), &Ok(done));
}

#[test]
fn a_proposal_that_is_out_is_closed_on_never_its_base_alone() {
    let mut pair = pair();
    pair.b.pay("first", 2);
    pair.run();
    pair.a.pay("unanswered", 3);
    pair.disconnect();
    pair.a.close();
    let expected = ClosePlan::Proposal {
        base: evidence(&pair.b, 2, balances(12, 8)),
        nonce: nonce(3),
        proposed: balances(9, 11),
    };
    assert_eq!(plan_of(&pair.a), expected);
}

#[test]
fn the_bait_is_never_closed_on() {
    // B proposes 9/11 as 2, gets it countersigned, then shows 8/12 with the same nonce.
    let mut pair = pair();
    pair.b.pay("honest", 1);
    pair.run();
    let bait = pair.b.forge(0, 2, balances(12, 8), vec![payment("bait", 2)]);
    pair.a.receive(Message::Propose(bait));
    pair.a.close();
    assert_eq!(plan_of(&pair.a), ClosePlan::Receipt(evidence(&pair.b, 2, balances(11, 9))));
    // What was refused is not kept either.
    let mut pair = self::pair();
    pair.a.fresh = false;
    let propose = pair.b.forge(0, 2, balances(12, 8), vec![payment("x", 2)]);
    pair.a.receive(Message::Propose(propose));
    pair.a.close();
    assert!(
        matches!(plan_of(&pair.a), ClosePlan::Receipt(evidence) if evidence.receipt.nonce == Nonce::ZERO)
    );
}

#[test]
fn callers_of_payments_in_flight_are_told() {
    let mut pair = pair();
    let proposed = pair.a.pay("proposed", 1);
    let waiting = pair.a.pay("waiting", 1);
    pair.a.close();
    assert_eq!(pair.a.reply(proposed), &Err(CommandError::Undecided));
    assert_eq!(pair.a.reply(waiting), &Err(CommandError::Closing));
    let again = pair.a.pay("proposed", 1);
    assert_eq!(pair.a.reply(again), &Err(CommandError::Undecided));
}

#[test]
fn rule_12_in_is_what_is_in_the_receipt_closed_on_or_its_base() {
    let mut pair = pair();
    pair.a.pay("agreed", 1);
    pair.run();
    pair.a.pay("in-flight", 2);
    pair.disconnect();
    pair.a.close();
    pair.a.pay("late", 1);
    let on_proposal = closing(Role::A, 3, balances(7, 13), 1, true, 12);
    pair.a.chain(on_proposal);
    assert_eq!(pair.a.channel().status_of(nonce(3)), PaymentStatus::Pending, "final only at CLOSED");
    let OnChain::Closing(seen) = on_proposal else { unreachable!() };
    pair.a.chain(closed(EndKind::Withdrawn, balances(7, 13), Some(seen)));
    assert_eq!(pair.a.applied(Direction::Out).len(), 2);

    // B has never seen the proposal; it accepts it for the record once the chain closed on it.
    pair.b.chain(on_proposal);
    let propose = pair.a.forge(1, 3, balances(7, 13), vec![payment("in-flight", 2)]);
    pair.b.receive(Message::Propose(propose.clone()));
    pair.b.receive(Message::Propose(propose));
    assert_eq!(pair.b.agreed().0, 1, "for the record, not signed");
    pair.b.chain(closed(EndKind::Withdrawn, balances(7, 13), Some(seen)));
    assert_eq!(pair.b.applied(Direction::In), pair.a.applied(Direction::Out));
}

#[test]
fn rule_12_out_is_everything_else() {
    let mut pair = pair();
    pair.a.pay("agreed", 1);
    pair.run();
    pair.a.pay("in-flight", 2);
    let seen = closing(Role::B, 1, balances(9, 11), 1, false, 12);
    pair.a.chain(seen);
    let OnChain::Closing(seen) = seen else { unreachable!() };
    pair.a.chain(closed(EndKind::Withdrawn, balances(9, 11), Some(seen)));
    assert_eq!(pair.a.channel().status_of(nonce(1)), PaymentStatus::Done);
    assert_eq!(pair.a.channel().status_of(nonce(3)), PaymentStatus::Failed);
    let again = pair.a.pay("in-flight", 2);
    assert_eq!(pair.a.reply(again), &Err(CommandError::PaymentFailed));
}

#[test]
fn an_answer_that_comes_after_closing_began_is_taken() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.deliver(Role::B);
    pair.a.close();
    pair.run();
    assert_eq!(pair.a.agreed().0, 1);
    assert!(matches!(pair.a.channel(), Channel::Closing(_)));
}

#[test]
fn an_old_closing_is_challenged_at_once_with_the_newest_receipt() {
    let mut pair = pair();
    for i in 0..3 {
        pair.a.pay(&format!("{i}"), 1);
        pair.run();
    }
    pair.b.chain(closing(Role::A, 1, balances(9, 11), 1, false, 12));
    assert_eq!(pair.b.submitted.last(), Some(&Call::Challenge(evidence(&pair.a, 5, balances(7, 13)))));
    pair.b.submitted.clear();
    pair.b.restart();
    assert!(matches!(pair.b.submitted[..], [Call::Challenge(_)]), "also first thing after a crash");
}

#[test]
fn the_same_nonce_with_other_balances_is_challenged_too() {
    let mut pair = pair();
    pair.a.pay("x", 3);
    pair.run();
    // A closes on receipt 0 with an invented proposal, although it signed 7/13 as receipt 1.
    pair.b.chain(closing(Role::A, 1, balances(10, 10), 0, true, 12));
    assert_eq!(pair.b.submitted.last(), Some(&Call::Challenge(evidence(&pair.a, 1, balances(7, 13)))));
}

#[test]
fn an_honest_closing_is_not_challenged() {
    let mut pair = pair();
    pair.a.pay("x", 3);
    pair.run();
    pair.b.chain(closing(Role::A, 1, balances(7, 13), 1, false, 12));
    assert!(pair.b.submitted.is_empty());
    let caller = pair.b.command(ChannelCommand::Challenge);
    assert!(matches!(pair.b.reply(caller), Err(CommandError::NothingToChallenge(_))));
    // Neither is one on the own proposal, which the other side has countersigned.
    let mut pair = self::pair();
    pair.a.pay("x", 3);
    pair.a.chain(closing(Role::B, 1, balances(7, 13), 1, false, 12));
    assert!(pair.a.submitted.iter().all(|call| call.kind() != CallKind::Challenge));
    assert!(!pair.a.notices.iter().any(|notice| matches!(notice, ChannelNotice::AtRisk(_))));
}

#[test]
fn without_auto_challenge_the_command_does_it_inside_the_period_only() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    pair.b.auto_challenge = false;
    pair.b.chain(closing(Role::A, 0, balances(10, 10), 0, false, 12));
    assert!(pair.b.submitted.is_empty());
    assert!(pair.b.notices.iter().any(|notice| matches!(notice, ChannelNotice::AtRisk(_))));
    pair.b.head = 12 + 22; // the next block is 35 = 12 + 23
    let caller = pair.b.command(ChannelCommand::Challenge);
    assert!(matches!(pair.b.submitted.last(), Some(Call::Challenge(_))));
    pair.b.chain(closed(EndKind::Challenged, balances(0, 20), None));
    assert!(
        matches!(pair.b.reply(caller), Err(CommandError::NothingToChallenge(_))),
        "the view lacks the closing"
    );

    let mut pair = self::pair();
    pair.a.pay("x", 1);
    pair.run();
    pair.b.chain(closing(Role::A, 0, balances(10, 10), 0, false, 12));
    pair.b.head = 12 + 23;
    let caller = pair.b.command(ChannelCommand::Challenge);
    assert!(matches!(pair.b.reply(caller), Err(CommandError::NothingToChallenge(_))));
}

#[test]
fn withdraw_waits_for_the_period_and_takes_the_other_sides_for_its_own() {
    let mut pair = pair();
    let seen = closing(Role::A, 0, balances(10, 10), 0, false, 12);
    pair.a.close();
    pair.a.chain(seen);
    pair.a.head = 12 + 22;
    let early = pair.a.command(ChannelCommand::Withdraw);
    assert_eq!(pair.a.reply(early), &Err(CommandError::TooEarly { withdrawable_at: 36, head: 34 }));
    pair.a.head = 12 + 23;
    let caller = pair.a.command(ChannelCommand::Withdraw);
    assert_eq!(pair.a.submitted.last(), Some(&Call::Withdraw));
    let OnChain::Closing(seen) = seen else { unreachable!() };
    pair.a.chain(closed(EndKind::Withdrawn, balances(10, 10), Some(seen)));
    assert!(
        matches!(pair.a.reply(caller), Ok(CommandOutcome::PaidOut { received, .. }) if *received == thd(10))
    );
    let again = pair.a.command(ChannelCommand::Withdraw);
    assert!(matches!(pair.a.reply(again), Ok(CommandOutcome::PaidOut { .. })));
}

#[test]
fn a_reorganisation_takes_a_closing_or_an_end_back() {
    let mut pair = pair();
    pair.a.close();
    let seen = closing(Role::A, 0, balances(10, 10), 0, false, 12);
    pair.a.chain(seen);
    pair.a.submitted.clear();
    pair.a.chain(OnChain::Active { paid_in: balances(10, 10) });
    assert!(matches!(pair.a.submitted[..], [Call::Close(_)]), "sent again");
    pair.a.chain(seen);
    let OnChain::Closing(inner) = seen else { unreachable!() };
    pair.a.chain(closed(EndKind::Withdrawn, balances(10, 10), Some(inner)));
    assert_eq!(pair.a.channel().name(), "closed");
    pair.a.chain(seen);
    assert_eq!(pair.a.channel().name(), "closing");
}

#[test]
fn closing_on_a_chosen_receipt_checks_it() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    pair.a.pay("y", 1);
    pair.run();
    let old = evidence(&pair.b, 1, balances(9, 11));
    let mut forged = old;
    forged.signature = Some(pair.a.sign(nonce(1), balances(9, 11)));
    let refused = pair.a.command(ChannelCommand::Close(CloseMode::Receipt(forged)));
    assert_eq!(pair.a.reply(refused), &Err(CommandError::BadReceipt));
    pair.a.command(ChannelCommand::Close(CloseMode::Receipt(old)));
    assert_eq!(plan_of(&pair.a), ClosePlan::Receipt(old));
}

#[test]
fn a_closed_channel_says_how_many_blocks_its_end_is_from_being_deep() {
    let mut pair = pair();
    pair.a.chain(closed(EndKind::Final, balances(10, 10), None));
    let Channel::Closed(closed) = pair.a.channel() else { panic!("not closed") };
    let (head, block) = (closed.common.view.head, closed.common.view.newest.unwrap().block);
    for confirmations in [1, 6, 1000] {
        let deep = block + confirmations - 1;
        assert_eq!(closed.blocks_until_deep(None, confirmations), deep.saturating_sub(head));
        assert_eq!(closed.blocks_until_deep(Some(0), confirmations), deep, "the chain has fewer blocks now");
        assert_eq!(closed.blocks_until_deep(Some(deep.max(head)), confirmations), 0);
    }
    assert_eq!(closed.blocks_until_deep(Some(block + 3), 6), 2);
    let mut failed = Pair::opening(balances(10, 0), 10);
    failed.a.fail(CallKind::Open, "no ETH");
    let Channel::Closed(closed) = failed.a.channel() else { panic!("not closed") };
    assert_eq!(closed.blocks_until_deep(None, 6), 0, "it never began");
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
        own_final: None,
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
