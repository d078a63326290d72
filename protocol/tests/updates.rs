//! The rules of an update, one test or more for each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use common::*;
use thunder_protocol::channel::{ChannelCommand, CommandError, CommandOutcome, Direction, Misbehaviour};
use thunder_protocol::onchain::OnChain;
use thunder_protocol::wire::{MAX_PAYMENTS, Message, RefuseReason};
use thunder_protocol::{Amount, Input, Memo, Payment, Role};

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
    let zero = pair.a.command(ChannelCommand::Pay {
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
