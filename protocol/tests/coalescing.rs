//! How payments share a receipt: those that come at once, and those that a proposal waits for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use common::*;
use thunder_protocol::channel::ChannelCommand;
use thunder_protocol::{Input, Role};

const PAID_IN: u64 = 10;

fn pair() -> Pair {
    Pair::active(balances(PAID_IN, PAID_IN))
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
        let order = |id: &str| ChannelCommand::Pay { payment: payment(id, 1), known: None };
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
    let order = |id, amount| ChannelCommand::Pay { payment: payment(id, amount), known: None };
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
