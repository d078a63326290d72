//! Opening, closing, challenging, finishing and losing data.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use common::*;
use thunder_protocol::channel::{
    ChainInput, CloseMode, ClosedBy, Command, CommandError, CommandId, CommandOutcome, Direction, Notice,
    PaymentStatus,
};
use thunder_protocol::onchain::{Call, CallKind, ClosePlan, EndKind, OnChain};
use thunder_protocol::wire::{Answer, Final, Message, RefuseReason};
use thunder_protocol::{AgreedReceipt, Balances, Channel, Input, Nonce, Receipt, Role, Signatures};

fn pair() -> Pair {
    Pair::active(balances(10, 10))
}

fn plan_of(party: &Party) -> ClosePlan {
    match party.submitted.last() {
        Some(Call::Close(plan)) => *plan,
        other => panic!("no closing submitted: {other:?}"),
    }
}

// ---- opening ----------------------------------------------------------------------------------

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
    let too_much = pair.b.command(Command::Fund { value: Some(thd(5)) });
    assert_eq!(pair.b.reply(too_much), &Err(CommandError::TooMuch { missing: thd(4) }));
    let fund = pair.b.command(Command::Fund { value: None });
    assert!(matches!(pair.b.submitted.last(), Some(Call::Fund { value }) if *value == thd(4)));
    let twice = pair.b.command(Command::Fund { value: None });
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
    let cancel = pair.a.command(Command::Cancel);
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

// ---- closing alone ----------------------------------------------------------------------------

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
        mode: ClosedBy::Receipt,
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

// ---- challenge --------------------------------------------------------------------------------

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
    let caller = pair.b.command(Command::Challenge);
    assert!(matches!(pair.b.reply(caller), Err(CommandError::NothingToChallenge(_))));
    // Neither is one on the own proposal, which the other side has countersigned.
    let mut pair = self::pair();
    pair.a.pay("x", 3);
    pair.a.chain(closing(Role::B, 1, balances(7, 13), 1, false, 12));
    assert!(pair.a.submitted.iter().all(|call| call.kind() != CallKind::Challenge));
    assert!(!pair.a.notices.iter().any(|notice| matches!(notice, Notice::AtRisk(_))));
}

#[test]
fn without_auto_challenge_the_command_does_it_inside_the_period_only() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    pair.b.auto_challenge = false;
    pair.b.chain(closing(Role::A, 0, balances(10, 10), 0, false, 12));
    assert!(pair.b.submitted.is_empty());
    assert!(pair.b.notices.iter().any(|notice| matches!(notice, Notice::AtRisk(_))));
    pair.b.head = 12 + 22; // the next block is 35 = 12 + 23
    let caller = pair.b.command(Command::Challenge);
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
    let caller = pair.b.command(Command::Challenge);
    assert!(matches!(pair.b.reply(caller), Err(CommandError::NothingToChallenge(_))));
}

#[test]
fn withdraw_waits_for_the_period_and_takes_the_other_sides_for_its_own() {
    let mut pair = pair();
    let seen = closing(Role::A, 0, balances(10, 10), 0, false, 12);
    pair.a.close();
    pair.a.chain(seen);
    pair.a.head = 12 + 22;
    let early = pair.a.command(Command::Withdraw);
    assert_eq!(pair.a.reply(early), &Err(CommandError::TooEarly { withdrawable_at: 36, head: 34 }));
    pair.a.head = 12 + 23;
    let caller = pair.a.command(Command::Withdraw);
    assert_eq!(pair.a.submitted.last(), Some(&Call::Withdraw));
    let OnChain::Closing(seen) = seen else { unreachable!() };
    pair.a.chain(closed(EndKind::Withdrawn, balances(10, 10), Some(seen)));
    assert!(
        matches!(pair.a.reply(caller), Ok(CommandOutcome::PaidOut { received, .. }) if *received == thd(10))
    );
    let again = pair.a.command(Command::Withdraw);
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
    let refused = pair.a.command(Command::Close(CloseMode::On(forged)));
    assert_eq!(pair.a.reply(refused), &Err(CommandError::BadReceipt));
    pair.a.command(Command::Close(CloseMode::On(old)));
    assert_eq!(plan_of(&pair.a), ClosePlan::Receipt(old));
}

// ---- FINAL ------------------------------------------------------------------------------------

#[test]
fn rule_11_a_cooperative_close() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    let caller = pair.a.command(Command::Close(CloseMode::Cooperative));
    let late = pair.a.pay("late", 1);
    assert_eq!(pair.a.reply(late), &Err(CommandError::Closing));
    pair.run();
    assert!(
        matches!(plan_of(&pair.a), ClosePlan::Final { balances: shares, .. } if shares == balances(9, 11))
    );
    assert!(pair.b.submitted.is_empty(), "whoever asked has the first go at posting");
    let end = closed(EndKind::Final, balances(9, 11), None);
    pair.a.chain(end);
    pair.b.chain(end);
    assert!(matches!(
        pair.a.reply(caller),
        Ok(CommandOutcome::Closing { mode: ClosedBy::Final, withdrawable_at: None, .. })
    ));
    assert_eq!(pair.a.applied(Direction::Out), pair.b.applied(Direction::In));
}

#[test]
fn rule_11_final_waits_for_the_own_proposal_and_is_on_disk_before_it_is_sent() {
    let mut pair = pair();
    let paid = pair.a.pay("x", 1);
    pair.a.command(Command::Close(CloseMode::Cooperative));
    assert!(!pair.a.outbox.iter().any(|message| matches!(message, Message::Final(_))));
    pair.run();
    assert!(pair.a.reply(paid).is_ok());
    assert_eq!(pair.b.channel().name(), "finishing");

    let mut pair = self::pair();
    pair.a.writes_left = Some(0);
    pair.a.command(Command::Close(CloseMode::Cooperative));
    assert!(pair.a.outbox.is_empty() && pair.a.is_dead());
}

#[test]
fn rule_11_the_side_that_was_asked_posts_if_the_other_does_not() {
    let mut pair = pair();
    pair.a.command(Command::Close(CloseMode::Cooperative));
    pair.run();
    let at = pair.b.channel().next_block(&pair.b.context()).unwrap();
    pair.b.head = at;
    pair.b.apply(Input::Chain(ChainInput::Block));
    assert!(matches!(plan_of(&pair.b), ClosePlan::Final { .. }));
}

/// A pair that has ordered nothing of the chain since the opening.
fn active_without_orders(shares: Balances) -> Pair {
    let mut pair = Pair::active(shares);
    pair.a.submitted.clear();
    pair.b.submitted.clear();
    pair
}

/// Lets it be so late that the side which does not post first may.
fn pass_post_within(party: &mut Party) {
    if let Some(at) = party.channel().next_block(&party.context()) {
        party.head = party.head.max(at);
    }
    party.head += 100;
    party.apply(Input::Chain(ChainInput::Block));
}

#[test]
fn rule_11_a_side_that_was_asked_and_has_no_share_never_pays_for_the_posting() {
    for (shares, asks) in [(balances(20, 0), Role::A), (balances(0, 20), Role::B)] {
        let mut pair = active_without_orders(shares);
        let caller = pair.party(asks).command(Command::Close(CloseMode::Cooperative));
        pair.run();
        assert!(matches!(plan_of(pair.party(asks)), ClosePlan::Final { .. }), "the asking side has all");
        let asked = pair.party(asks.other());
        pass_post_within(asked);
        asked.restart();
        pass_post_within(asked);
        assert!(asked.submitted.is_empty(), "{:?}", asked.submitted);
        // Its user may want it all the same.
        asked.command(Command::Close(CloseMode::Cooperative));
        assert!(matches!(plan_of(asked), ClosePlan::Final { .. }));
        pair.party(asks).chain(closed(EndKind::Final, shares, None));
        assert!(pair.party(asks).reply(caller).is_ok());
    }
}

#[test]
fn rule_11_if_the_asking_side_has_no_share_the_other_posts_first() {
    for (shares, asks) in [(balances(0, 20), Role::A), (balances(20, 0), Role::B)] {
        let mut pair = active_without_orders(shares);
        let caller = pair.party(asks).command(Command::Close(CloseMode::Cooperative));
        pair.run();
        assert!(matches!(plan_of(pair.party(asks.other())), ClosePlan::Final { .. }));
        let asking = pair.party(asks);
        assert!(asking.submitted.is_empty(), "{:?}", asking.submitted);
        asking.chain(closed(EndKind::Final, shares, None));
        assert!(matches!(asking.reply(caller), Ok(CommandOutcome::Closing { mode: ClosedBy::Final, .. })));

        // If it does not, the asking side does, a restart in between or not.
        let mut pair = active_without_orders(shares);
        pair.party(asks).command(Command::Close(CloseMode::Cooperative));
        pair.run();
        let asking = pair.party(asks);
        asking.restart();
        assert!(asking.submitted.is_empty(), "{:?}", asking.submitted);
        pass_post_within(asking);
        assert!(matches!(plan_of(asking), ClosePlan::Final { .. }));
    }
}

#[test]
fn rule_11_after_final_nothing_is_signed_and_closing_alone_still_works() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    pair.a.command(Command::Close(CloseMode::Cooperative));
    pair.a.outbox.clear();
    let propose = pair.b.forge(1, 2, balances(10, 10), vec![payment("y", 1)]);
    pair.a.receive(Message::Propose(propose));
    assert!(
        matches!(pair.a.outbox.pop_front(), Some(Message::Refuse(refuse)) if refuse.reason == RefuseReason::Stopped)
    );
    pair.a.close();
    assert_eq!(plan_of(&pair.a), ClosePlan::Receipt(evidence(&pair.b, 1, balances(9, 11))));
}

#[test]
fn rule_11_a_final_is_posted_only_on_the_agreed_balance_or_the_own_proposal() {
    let final_of = |party: &Party, base: u64, shares| {
        Message::Final(Final {
            base_nonce: nonce(base),
            balances: shares,
            signature: party.sign(Nonce::FINAL, shares),
        })
    };
    // A proposal of B's crosses with A's FINAL on the agreed receipt: B posts it, its payment is out.
    let mut pair = pair();
    let caller = pair.b.pay("crossing", 1);
    pair.b.receive(final_of(&pair.a, 0, balances(10, 10)));
    assert!(matches!(plan_of(&pair.b), ClosePlan::Final { .. }));
    assert_eq!(pair.b.reply(caller), &Err(CommandError::Undecided));
    pair.b.chain(closed(EndKind::Final, balances(10, 10), None));
    assert_eq!(pair.b.channel().status_of(nonce(2)), PaymentStatus::Failed);
    // A's FINAL on B's unanswered proposal is as good as an answer.
    let mut pair = self::pair();
    pair.b.pay("answered", 1);
    pair.b.receive(final_of(&pair.a, 2, balances(11, 9)));
    pair.b.chain(closed(EndKind::Final, balances(11, 9), None));
    assert_eq!(pair.b.channel().status_of(nonce(2)), PaymentStatus::Done);
    // Anything else is not posted.
    let mut pair = self::pair();
    pair.b.pay("x", 1);
    pair.run();
    pair.b.receive(final_of(&pair.a, 0, balances(10, 10)));
    assert_eq!(pair.b.channel().name(), "active");
    assert!(pair.b.submitted.is_empty());
    assert!(
        matches!(pair.b.outbox.pop_front(), Some(Message::Refuse(refuse)) if refuse.reason == RefuseReason::Stale)
    );
}

#[test]
fn cooperative_close_with_nobody_there_fails_at_once() {
    let mut pair = pair();
    pair.disconnect();
    let caller = pair.a.command(Command::Close(CloseMode::Cooperative));
    assert_eq!(pair.a.reply(caller), &Err(CommandError::PeerOffline));
    assert_eq!(pair.a.channel().name(), "active", "nothing was signed");
}

#[test]
fn an_answer_with_a_false_copy_of_the_own_signature_is_kept_with_the_true_one() {
    for by_message in [false, true] {
        let mut pair = pair();
        pair.a.pay("x", 1);
        pair.deliver(Role::B);
        pair.b.outbox.clear(); // the answer is lost
        pair.a.close();
        let (receipt, shares) = (nonce(1), balances(9, 11));
        let (own, theirs) = (pair.a.sign(receipt, shares), pair.b.sign(receipt, shares));
        let answer = if by_message {
            Message::Answer(Answer { nonce: receipt, signature: theirs })
        } else {
            let signed = Receipt { nonce: receipt, balances: shares };
            sync_of(AgreedReceipt::signed(signed, Signatures { a: theirs, b: theirs }))
        };
        pair.a.receive(answer);
        let agreed = pair.a.channel().receipts().unwrap().agreed;
        assert_eq!(agreed.signatures, Some(Signatures { a: own, b: theirs }), "by message: {by_message}");
    }
}

// ---- wire -------------------------------------------------------------------------------------

#[test]
fn every_message_survives_the_codec_and_is_small() {
    use thunder_protocol::{codec, wire};
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    pair.a.pay("y", 1);
    let messages: Vec<_> = pair.a.outbox.iter().cloned().collect();
    pair.reconnect();
    for message in messages {
        let bytes = codec::encode(&message).unwrap();
        assert!(bytes.len() < 160, "{} bytes", bytes.len());
        assert_eq!(codec::decode::<Message>(&bytes).unwrap(), message);
        assert!(codec::decode::<Message>(&[bytes, vec![0]].concat()).is_err(), "trailing bytes");
    }
    let payments = (0..wire::MAX_PAYMENTS).map(|i| payment(&format!("{i:064}"), 1)).collect::<Vec<_>>();
    let largest = Message::Propose(pair.a.forge(1, 3, balances(0, 20), payments));
    assert!(codec::encode(&largest).unwrap().len() < codec::MAX_LEN);
}

#[test]
fn rule_11_a_final_that_comes_before_the_other_side_is_ready_waits_for_its_sync() {
    let shares = balances(10, 10);
    let mut pair = Pair::active(shares);
    pair.b.chain(OnChain::Empty { paid_in: balances(10, 0) });
    pair.a.command(Command::Close(CloseMode::Cooperative));
    pair.deliver(Role::B);
    pair.deliver(Role::A);
    assert!(pair.a.outbox.is_empty(), "FINAL and its refusal must not go round and round");
    pair.b.chain(OnChain::Active { paid_in: shares });
    pair.run();
    assert!(matches!(plan_of(&pair.a), ClosePlan::Final { .. }), "both FINALs are there after the sync");
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
