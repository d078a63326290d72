//! The rules of an update, one test or more for each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use common::*;
use thunder_protocol::channel::{Command, CommandError, CommandOutcome, Direction, Misbehaviour, PeerInput};
use thunder_protocol::onchain::OnChain;
use thunder_protocol::wire::{MAX_PAYMENTS, Message, RefuseReason};
use thunder_protocol::{AgreedReceipt, Amount, Input, Memo, Nonce, Payment, Role, Signatures};

const PAID_IN: u64 = 10;

fn pair() -> Pair {
    Pair::active(balances(PAID_IN, PAID_IN))
}

#[test]
fn a_payment_is_proposed_answered_and_agreed() {
    let mut pair = pair();
    let caller = pair.a.pay("one", 3);
    assert!(matches!(pair.a.outbox.front(), Some(Message::Propose(propose)) if propose.nonce == nonce(1)));
    assert!(
        !pair.a.is_answered(caller),
        "rule 4: pay returns only when the countersigned receipt is on disk"
    );
    pair.run();
    let done = CommandOutcome::Paid { id: payment("one", 3).id, amount: thd(3), nonce: nonce(1) };
    assert_eq!(pair.a.reply(caller), &Ok(done));
    assert_eq!(pair.a.agreed(), (1, balances(7, 13)));
    pair.assert_agreement(balances(PAID_IN, PAID_IN));
}

#[test]
fn rule_1_parity_a_proposes_odd_b_even_each_the_smallest_above_the_base() {
    let mut pair = pair();
    for (payer, expected) in [(Role::A, 1), (Role::A, 3), (Role::B, 4), (Role::B, 6), (Role::A, 7)] {
        pair.party(payer).pay(&format!("p{expected}"), 1);
        pair.run();
        assert_eq!(pair.a.agreed().0, expected);
    }
    pair.assert_agreement(balances(PAID_IN, PAID_IN));
}

#[test]
fn rules_1_2_3_7_invalid_proposals_are_misbehaviour_and_change_nothing() {
    let forged = |base, number, shares, payments: Vec<_>| {
        let mut pair = pair();
        let propose = pair.a.forge(base, number, shares, payments);
        pair.b.receive(Message::Propose(propose));
        assert_eq!(pair.b.agreed(), (0, balances(10, 10)));
        assert!(pair.b.outbox.is_empty(), "nothing is signed");
        pair.b.misbehaviour
    };
    let one = || vec![payment("x", 1)];
    assert_eq!(forged(0, 2, balances(9, 11), one()), Some(Misbehaviour::WrongParity));
    assert_eq!(forged(0, 3, balances(9, 11), one()), Some(Misbehaviour::WrongParity));
    assert_eq!(forged(5, 7, balances(9, 11), one()), Some(Misbehaviour::UnknownBase));
    assert_eq!(forged(0, 1, balances(11, 9), one()), Some(Misbehaviour::NoConcession));
    assert_eq!(forged(0, 1, balances(8, 12), one()), Some(Misbehaviour::NoConcession));
    assert_eq!(forged(0, 1, balances(9, 12), one()), Some(Misbehaviour::BadSum));
    assert_eq!(forged(0, 1, balances(10, 10), vec![]), Some(Misbehaviour::BadPayments));
    assert_eq!(forged(0, 1, balances(10, 10), vec![payment("x", 0)]), Some(Misbehaviour::BadPayments));
    assert_eq!(
        forged(0, 1, balances(8, 12), vec![payment("x", 1), payment("x", 1)]),
        Some(Misbehaviour::RepeatedId)
    );
    let many = (0..=MAX_PAYMENTS).map(|i| payment(&format!("{i}"), 0)).collect();
    assert_eq!(forged(0, 1, balances(9, 11), many), Some(Misbehaviour::BadPayments));
}

#[test]
fn rule_7_a_wrong_signature_is_misbehaviour() {
    let mut pair = pair();
    let mut propose = pair.a.forge(0, 1, balances(9, 11), vec![payment("x", 1)]);
    propose.signature = pair.b.sign(nonce(1), balances(9, 11));
    pair.b.receive(Message::Propose(propose));
    assert_eq!(pair.b.misbehaviour, Some(Misbehaviour::BadSignature));

    pair.a.pay("y", 1);
    pair.a.receive(Message::Answer(thunder_protocol::wire::Answer {
        nonce: nonce(1),
        signature: pair.a.sign(nonce(1), balances(9, 11)),
    }));
    assert_eq!(pair.a.misbehaviour, Some(Misbehaviour::BadSignature));
    assert_eq!(pair.a.agreed().0, 0);
}

#[test]
fn rule_3_one_proposal_is_out_and_the_next_carries_all_that_waits() {
    let mut pair = pair();
    let callers: Vec<_> = (0..5).map(|i| pair.a.pay(&format!("p{i}"), 1)).collect();
    assert_eq!(pair.a.outbox.len(), 1, "one proposal out");
    assert_eq!(pair.a.channel().pending(), thd(5));
    pair.run();
    assert!(callers.iter().all(|caller| pair.a.reply(*caller).is_ok()));
    assert_eq!(pair.a.agreed(), (3, balances(5, 15)), "the second proposal carries the other four");
    pair.assert_agreement(balances(PAID_IN, PAID_IN));
}

#[test]
fn rule_3_what_waits_counts_against_the_balance() {
    let mut pair = pair();
    pair.a.pay("a", 6);
    pair.a.pay("b", 3);
    let refused = pair.a.pay("c", 2);
    assert_eq!(pair.a.reply(refused), &Err(CommandError::InsufficientBalance { available: thd(1) }));
    let zero = pair.a.command(Command::Pay {
        payment: thunder_protocol::Payment { amount: Amount::ZERO, ..payment("z", 1) },
        known: None,
    });
    assert_eq!(pair.a.reply(zero), &Err(CommandError::ZeroAmount));
    pair.run();
    assert_eq!(pair.a.agreed().1, balances(1, 19));
}

#[test]
fn rule_4_disk_before_wire_on_both_sides() {
    // Dead before the write of the proposal: nothing was sent.
    let mut pair = pair();
    pair.a.writes_left = Some(0);
    pair.a.pay("x", 1);
    assert!(pair.a.is_dead() && pair.a.outbox.is_empty());
    // Dead right after it: nothing was sent, but it counts as sent and is repeated.
    let mut pair = self::pair();
    pair.a.writes_left = Some(1);
    pair.a.pay("x", 1);
    assert!(pair.a.is_dead() && pair.a.outbox.is_empty());
    pair.a.restart();
    pair.reconnect();
    pair.assert_agreement(balances(PAID_IN, PAID_IN));
    assert_eq!(pair.b.agreed(), (1, balances(9, 11)));
    // The answerer dies before and after its write.
    for writes in [0, 1] {
        let mut pair = self::pair();
        let caller = pair.a.pay("x", 1);
        pair.b.writes_left = Some(writes);
        pair.run();
        assert!(pair.b.is_dead() && pair.b.outbox.is_empty());
        pair.b.restart();
        pair.reconnect();
        assert!(pair.a.reply(caller).is_ok());
        pair.assert_agreement(balances(PAID_IN, PAID_IN));
    }
}

#[test]
fn rule_4_an_answer_with_an_own_proposal_on_it_is_one_write() {
    let mut pair = pair();
    pair.a.pay("a1", 1);
    pair.b.pay("b1", 2);
    pair.b.pay("b2", 3);
    pair.b.outbox.clear(); // B's crossing proposal (2) is lost on the way
    let before = pair.a.writes;
    let propose = pair.b.channel().receipts().unwrap().proposal.as_ref().unwrap().message();
    pair.a.receive(Message::Propose(propose));
    assert_eq!(pair.a.writes, before + 1, "receipt, payments put back, own new proposal: one write");
    pair.run();
    pair.tick();
    pair.assert_agreement(balances(PAID_IN, PAID_IN));
}

#[test]
fn rule_5_of_two_crossing_proposals_the_higher_stands_and_the_lower_goes_into_the_next() {
    let mut pair = pair();
    let a = pair.a.pay("from-a", 4);
    let b = pair.b.pay("from-b", 1);
    assert!(pair.deliver(Role::B), "A's 1 reaches B, which has 2 out");
    assert!(
        matches!(pair.b.outbox.back(), Some(Message::Refuse(refuse)) if refuse.reason == RefuseReason::Crossed),
        "the side with the higher one does not answer the lower"
    );
    assert_eq!(pair.b.misbehaviour, None, "never misbehaviour");
    pair.run();
    assert!(pair.a.reply(a).is_ok() && pair.b.reply(b).is_ok());
    assert_eq!(pair.a.agreed(), (3, balances(7, 13)), "B's 2, and A's payment again, on it, as 3");
    assert!(
        matches!(pair.a.reply(a), Ok(CommandOutcome::Paid { nonce: paid_in, .. }) if *paid_in == nonce(3))
    );
    pair.assert_agreement(balances(PAID_IN, PAID_IN));
}

#[test]
fn rule_5_a_proposal_on_the_unanswered_one_is_its_answer_also_after_a_crash() {
    let mut pair = pair();
    let a = pair.a.pay("a", 1);
    assert!(pair.deliver(Role::B));
    // B answered; before the answer arrives it also pays, building on A's 1.
    pair.b.outbox.clear();
    pair.b.pay("b", 2);
    assert!(
        matches!(pair.b.outbox.front(), Some(Message::Propose(p)) if p.base_nonce == nonce(1) && p.nonce == nonce(2))
    );
    pair.b.restart();
    pair.deliver(Role::A);
    pair.reconnect();
    assert!(pair.a.reply(a).is_ok());
    assert_eq!(pair.a.agreed(), (2, balances(11, 9)));
    pair.assert_agreement(balances(PAID_IN, PAID_IN));
}

#[test]
fn rule_5_both_sides_of_a_busy_channel_get_their_share() {
    let mut pair = Pair::active(balances(1000, 1000));
    let (mut sent, mut agreed) = ([0u32; 2], [0usize; 2]);
    for step in 0..400 {
        for (i, role) in [Role::A, Role::B].into_iter().enumerate() {
            let party = pair.party(role);
            while party.channel().pending() < thd(3) {
                sent[i] += 1;
                party.pay(&format!("{role}{}", sent[i]), 1);
            }
        }
        pair.deliver(if step % 2 == 0 { Role::A } else { Role::B });
        agreed = [pair.a.applied(Direction::Out).len(), pair.b.applied(Direction::Out).len()];
    }
    assert!(agreed.iter().all(|count| *count > 100), "{agreed:?}");
    pair.run();
    pair.assert_agreement(balances(1000, 1000));
}

#[test]
fn rule_5_a_proposal_on_disk_is_never_replaced() {
    let mut pair = pair();
    pair.a.pay("a", 1);
    let first = pair.a.outbox.pop_front();
    pair.a.pay("b", 1);
    pair.a.restart();
    pair.connect();
    let Some(Message::Sync(sync)) = pair.a.outbox.pop_front() else { panic!("syncs first") };
    assert_eq!(sync.proposal.map(Message::Propose), first);
}

#[test]
fn rule_5_not_now_means_repeat_it() {
    let mut pair = pair();
    pair.b.fresh = false; // B has not heard of the chain for a while
    let caller = pair.a.pay("a", 1);
    pair.run();
    assert_eq!(pair.b.misbehaviour, None);
    assert!(!pair.a.is_answered(caller));
    pair.b.fresh = true;
    pair.tick();
    assert!(pair.a.reply(caller).is_ok());
}

#[test]
fn rule_6_a_repeated_proposal_gets_the_same_answer_byte_for_byte() {
    let mut pair = pair();
    pair.a.pay("a", 1);
    let propose = pair.a.outbox[0].clone();
    pair.deliver(Role::B);
    let first = pair.b.outbox.pop_front();
    let writes = pair.b.writes;
    pair.b.receive(propose.clone());
    assert_eq!(pair.b.outbox.pop_front(), first);
    pair.b.restart();
    pair.connect();
    pair.run();
    pair.b.receive(propose);
    assert_eq!(pair.b.outbox.pop_front(), first, "also after a restart");
    assert_eq!(pair.b.writes, writes, "and nothing is applied again");
    pair.assert_agreement(balances(PAID_IN, PAID_IN));
}

#[test]
fn rule_6_a_repeated_pay_learns_the_outcome_of_the_first() {
    let mut pair = pair();
    let first = pair.a.pay("once", 1);
    let second = pair.a.pay("once", 1);
    pair.run();
    let third = pair.a.pay("once", 1);
    assert_eq!(pair.a.reply(first), pair.a.reply(second));
    assert_eq!(pair.a.reply(first), pair.a.reply(third));
    assert_eq!(pair.a.agreed().1, balances(9, 11), "paid once");
    let other = pair.a.pay("once", 2);
    assert_eq!(pair.a.reply(other), &Err(CommandError::IdInUse { amount: thd(1), memo: Memo::default() }));
    // The same id of the other side is another payment.
    let theirs = pair.b.pay("once", 5);
    pair.run();
    assert!(pair.b.reply(theirs).is_ok(), "a peer can't use up my ids");
    pair.assert_agreement(balances(PAID_IN, PAID_IN));
}

#[test]
fn rule_6_an_id_with_another_memo_is_refused_wherever_the_payment_is() {
    let memo = |text: &str| Memo::new(text).unwrap();
    let with = |text: &str| Payment { memo: memo(text), ..payment("rent", 1) };
    let refused = Err(CommandError::IdInUse { amount: thd(1), memo: memo("june") });
    let mut pair = pair();
    let repeats = |pair: &mut Pair, place: &str| {
        let other = pair.a.make(with("july"));
        assert_eq!(pair.a.reply(other), &refused, "{place}");
        let same = pair.a.make(with("june"));
        pair.a.replies.get(&same).cloned()
    };
    pair.a.pay("first", 1);
    let waiting = pair.a.make(with("june"));
    assert_eq!(repeats(&mut pair, "in the queue"), None);
    pair.deliver(Role::B);
    pair.deliver(Role::A);
    assert_eq!(repeats(&mut pair, "proposed"), None);
    pair.run();
    let paid = pair.a.reply(waiting).clone();
    assert_eq!(repeats(&mut pair, "agreed"), Some(paid.clone()));
    pair.a.close();
    assert_eq!(repeats(&mut pair, "closing"), Some(paid));
}

#[test]
fn rule_6_an_applied_id_of_the_same_payer_is_refused() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    let again = pair.a.forge(1, 3, balances(8, 12), vec![payment("x", 1)]);
    pair.b.receive(Message::Propose(again));
    assert_eq!(pair.b.misbehaviour, Some(Misbehaviour::RepeatedId));
}

#[test]
fn rule_7_two_receipts_with_one_nonce_are_misbehaviour() {
    let mut pair = pair();
    pair.a.pay("x", 1);
    pair.run();
    let other = pair.a.forge(0, 1, balances(8, 12), vec![payment("y", 2)]);
    pair.b.receive(Message::Propose(other));
    assert_eq!(pair.b.misbehaviour, Some(Misbehaviour::TwoReceiptsOneNonce));
    assert_eq!(pair.b.agreed(), (1, balances(9, 11)));
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
        "lost, takes the newer receipt over, and both finish on it"
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
        finish: None,
        closing: false,
        lost: false,
        wants_reply: false,
    };
    pair.a.receive(Message::Sync(sync.into()));
    assert_eq!(pair.a.channel().name(), "lost");
    assert_eq!(pair.a.agreed(), (1, balances(5, 15)));
}

#[test]
fn nothing_is_proposed_before_the_opening_is_confirmed() {
    let mut pair = Pair::opening(balances(10, 0), 10);
    for party in [&mut pair.a, &mut pair.b] {
        party.confirmations = 6;
        party.chain(OnChain::Active { paid_in: balances(10, 0) });
    }
    let early = pair.a.pay("x", 1);
    assert_eq!(pair.a.reply(early), &Err(CommandError::NotConfirmed));
    let propose = pair.a.forge(0, 1, balances(9, 1), vec![payment("x", 1)]);
    pair.b.receive(Message::Propose(propose));
    assert!(matches!(&pair.b.outbox[0], Message::Refuse(refuse) if refuse.reason == RefuseReason::NotNow));
    pair.b.outbox.clear();
    for party in [&mut pair.a, &mut pair.b] {
        assert_eq!(party.channel().next_block(&party.context()), Some(16));
        party.head = 16;
        party.apply(Input::Chain(thunder_protocol::channel::ChainInput::Block));
    }
    let caller = pair.a.pay("x", 1);
    pair.run();
    assert!(pair.a.reply(caller).is_ok());
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

#[test]
fn rule_6_no_more_than_a_bounded_number_wait_for_one_payment() {
    let mut pair = pair();
    let callers: Vec<_> = (0..100).map(|_| pair.a.pay("same", 1)).collect();
    let refused = callers.iter().filter(|caller| pair.a.is_answered(**caller)).count();
    assert!(refused > 0, "whoever repeats one id for ever is told that it is enough");
    assert_eq!(pair.a.reply(callers[99]), &Err(CommandError::QueueFull));
    pair.run();
    let paid = callers.iter().filter(|caller| pair.a.reply(**caller).is_ok()).count();
    assert_eq!(paid + refused, 100);
    assert_eq!(pair.a.agreed(), (1, balances(9, 11)));
}

/// A's payment `first` was answered after `took` milliseconds, in which `second` came.
fn answered_after(took: u64) -> Pair {
    let mut pair = pair();
    pair.a.pay("first", 1);
    assert!(pair.deliver(Role::B));
    pair.a.now += took;
    pair.a.pay("second", 1);
    assert!(pair.deliver(Role::A));
    pair
}

fn proposed(party: &Party) -> Vec<String> {
    let proposal = party.channel().receipts().unwrap().proposal.as_ref();
    let payments = proposal.iter().flat_map(|own| &own.payments);
    payments.map(|pending| pending.payment.id.as_str().to_owned()).collect()
}

#[test]
fn over_a_slow_network_the_next_proposal_waits_for_those_who_were_just_answered() {
    let mut pair = answered_after(160);
    assert!(proposed(&pair.a).is_empty());
    pair.a.pay("third", 1);
    assert_eq!(proposed(&pair.a), ["second", "third"]);
    pair.run();
    pair.assert_agreement(balances(PAID_IN, PAID_IN));
}

#[test]
fn but_only_while_they_come_within_an_eighth_of_the_time_that_the_answer_took() {
    for (took, waits) in [(7, 0), (8, 1), (80, 10), (100_000, 12)] {
        let mut pair = answered_after(took);
        if waits > 0 {
            assert_eq!(pair.a.channel().next_tick(), Some(pair.a.now + waits));
            pair.a.now += waits - 1;
            pair.a.apply(Input::Tick);
            assert!(proposed(&pair.a).is_empty());
            pair.a.now += 1;
            pair.a.apply(Input::Tick);
        }
        assert_eq!(proposed(&pair.a), ["second"], "after {took} ms");
    }
}

#[test]
fn and_for_half_of_that_time_and_50_ms_at_most() {
    for (took, at_most) in [(40, 20), (80, 40), (100_000, 50)] {
        let mut pair = Pair::active(balances(100, PAID_IN));
        let order = |id: &str| Command::Pay { payment: payment(id, 1), known: None };
        for id in ["a", "b", "c", "d", "e", "f"] {
            pair.a.command_in_batch(order(id));
        }
        pair.a.apply(Input::Flush);
        assert!(pair.deliver(Role::B));
        pair.a.now += took;
        assert!(pair.deliver(Role::A));
        let answered = pair.a.now;
        // One comes a millisecond before it is too late, again and again; more than six never do.
        let mut waiting = Vec::new();
        while let Some(until) = pair.a.channel().next_tick().filter(|until| *until < answered + at_most) {
            pair.a.now = until - 1;
            let id = format!("g{}", waiting.len());
            pair.a.pay(&id, 1);
            assert!(waiting.len() < 6);
            waiting.push(id);
        }
        assert!(proposed(&pair.a).is_empty());
        pair.a.now = answered + at_most;
        pair.a.apply(Input::Tick);
        assert_eq!(proposed(&pair.a), waiting, "after {took} ms");
    }
}

#[test]
fn rule_5_a_proposal_of_the_other_side_is_answered_by_an_own_one_at_once_whoever_is_waited_for() {
    let mut pair = answered_after(160);
    pair.b.pay("back", 1);
    assert!(pair.deliver(Role::A));
    assert_eq!(proposed(&pair.a), ["second"]);
    pair.run();
    pair.assert_agreement(balances(PAID_IN, PAID_IN));
}

#[test]
fn a_session_that_ends_ends_the_waiting_too() {
    let mut pair = answered_after(160);
    pair.reconnect();
    assert_eq!(pair.a.channel().next_tick(), None);
    pair.a.pay("third", 1);
    assert_eq!(proposed(&pair.a), ["third"], "rule 8: what only waited is not paid");
}

#[test]
fn rule_3_payments_that_are_ordered_together_go_into_one_proposal() {
    let mut pair = pair();
    let order = |id, amount| Command::Pay { payment: payment(id, amount), known: None };
    let callers = [("one", 1), ("two", 2), ("too-much", 90), ("three", 3)]
        .map(|(id, amount)| pair.a.command_in_batch(order(id, amount)));
    assert!(proposed(&pair.a).is_empty() && pair.a.outbox.is_empty());
    pair.a.apply(Input::Flush);
    assert_eq!(proposed(&pair.a), ["one", "two", "three"]);
    pair.run();
    let paid = callers.map(|caller| pair.a.reply(caller).is_ok());
    assert_eq!(paid, [true, true, false, true]);
    assert_eq!(pair.a.agreed().0, 1, "one receipt");
    pair.assert_agreement(balances(PAID_IN, PAID_IN));
}
