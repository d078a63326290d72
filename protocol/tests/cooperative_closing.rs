//! Closing together, with a FINAL receipt (rule 11).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use common::*;
use thunder_protocol::channel::{
    ChainInput, ChannelCommand, CloseMode, ClosedBy, CommandError, CommandOutcome, Direction, PaymentStatus,
};
use thunder_protocol::onchain::{ClosePlan, EndKind, OnChain};
use thunder_protocol::wire::{Answer, Final, Message, RefuseReason};
use thunder_protocol::{AgreedReceipt, Balances, Input, Nonce, Receipt, Role, Signatures};

fn pair() -> Pair {
    Pair::active(balances(10, 10))
}

#[test]
fn rule_11_a_cooperative_close() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    let caller = pair.a.command(ChannelCommand::Close(CloseMode::Cooperative));
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
        Ok(CommandOutcome::Closing { mode: ClosedBy::Cooperative, withdrawable_at: None, .. })
    ));
    assert_eq!(pair.a.applied(Direction::Out), pair.b.applied(Direction::In));
}

#[test]
fn rule_11_final_waits_for_the_own_proposal_and_is_on_disk_before_it_is_sent() {
    let mut pair = pair();
    let paid = pair.a.pay("x", 1);
    pair.a.command(ChannelCommand::Close(CloseMode::Cooperative));
    assert!(!pair.a.outbox.iter().any(|message| matches!(message, Message::Final(_))));
    pair.run();
    assert!(pair.a.reply(paid).is_ok());
    assert_eq!(pair.b.channel().name(), "finishing");

    let mut pair = self::pair();
    pair.a.writes_left = Some(0);
    pair.a.command(ChannelCommand::Close(CloseMode::Cooperative));
    assert!(pair.a.outbox.is_empty() && pair.a.is_dead());
}

#[test]
fn rule_11_the_side_that_was_asked_posts_if_the_other_does_not() {
    let mut pair = pair();
    pair.a.command(ChannelCommand::Close(CloseMode::Cooperative));
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
        let caller = pair.party(asks).command(ChannelCommand::Close(CloseMode::Cooperative));
        pair.run();
        assert!(matches!(plan_of(pair.party(asks)), ClosePlan::Final { .. }), "the asking side has all");
        let asked = pair.party(asks.other());
        pass_post_within(asked);
        asked.restart();
        pass_post_within(asked);
        assert!(asked.submitted.is_empty(), "{:?}", asked.submitted);
        // Its user may want it all the same.
        asked.command(ChannelCommand::Close(CloseMode::Cooperative));
        assert!(matches!(plan_of(asked), ClosePlan::Final { .. }));
        pair.party(asks).chain(closed(EndKind::Final, shares, None));
        assert!(pair.party(asks).reply(caller).is_ok());
    }
}

#[test]
fn rule_11_if_the_asking_side_has_no_share_the_other_posts_first() {
    for (shares, asks) in [(balances(0, 20), Role::A), (balances(20, 0), Role::B)] {
        let mut pair = active_without_orders(shares);
        let caller = pair.party(asks).command(ChannelCommand::Close(CloseMode::Cooperative));
        pair.run();
        assert!(matches!(plan_of(pair.party(asks.other())), ClosePlan::Final { .. }));
        let asking = pair.party(asks);
        assert!(asking.submitted.is_empty(), "{:?}", asking.submitted);
        asking.chain(closed(EndKind::Final, shares, None));
        assert!(matches!(
            asking.reply(caller),
            Ok(CommandOutcome::Closing { mode: ClosedBy::Cooperative, .. })
        ));

        // If it does not, the asking side does, a restart in between or not.
        let mut pair = active_without_orders(shares);
        pair.party(asks).command(ChannelCommand::Close(CloseMode::Cooperative));
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
    pair.a.command(ChannelCommand::Close(CloseMode::Cooperative));
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
    let caller = pair.a.command(ChannelCommand::Close(CloseMode::Cooperative));
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

#[test]
fn rule_11_a_final_that_comes_before_the_other_side_is_ready_waits_for_its_sync() {
    let shares = balances(10, 10);
    let mut pair = Pair::active(shares);
    pair.b.chain(OnChain::Empty { paid_in: balances(10, 0) });
    pair.a.command(ChannelCommand::Close(CloseMode::Cooperative));
    pair.deliver(Role::B);
    pair.deliver(Role::A);
    assert!(pair.a.outbox.is_empty(), "FINAL and its refusal must not go round and round");
    pair.b.chain(OnChain::Active { paid_in: shares });
    pair.run();
    assert!(matches!(plan_of(&pair.a), ClosePlan::Final { .. }), "both FINALs are there after the sync");
}
