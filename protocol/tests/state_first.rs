//! Guard rules G1 and G6 in the core: what it does with a channel's state before the events are read,
//! and with a closing that only one of several endpoints shows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
mod common;

use common::*;
use thunder_protocol::channel::{
    ChainInput, ChannelCommand, ChannelNotice, CloseMode, ClosedBy, CommandOutcome, Direction, PaymentStatus,
};
use thunder_protocol::onchain::{Call, ChainClosing, EndKind, OnChain};
use thunder_protocol::wire::Message;
use thunder_protocol::{Channel, Input, Role};

fn without_event(status: OnChain) -> OnChain {
    view(0, 0, status).without_events().status
}

fn claim(party: &mut Party, status: OnChain) {
    let OnChain::Closing(closing) = status else { panic!("not a closing") };
    party.apply(Input::Chain(ChainInput::Claimed(closing)));
}

fn challenges(party: &Party) -> usize {
    party.submitted.iter().filter(|call| matches!(call, Call::Challenge(_))).count()
}

fn paid() -> Pair {
    let mut pair = Pair::active(balances(10, 10));
    pair.a.pay("x", 1);
    pair.run();
    pair
}

#[test]
fn g1_a_closing_is_challenged_from_the_state_alone() {
    let mut pair = paid();
    pair.b.chain(without_event(closing(Role::A, 0, balances(10, 10), 0, false, 12)));
    assert_eq!(pair.b.submitted.last(), Some(&Call::Challenge(evidence(&pair.a, 1, balances(9, 11)))));
}

#[test]
fn g1_the_event_that_is_read_later_changes_nothing_for_the_challenge() {
    let mut pair = paid();
    let closing = closing(Role::A, 0, balances(10, 10), 0, false, 12);
    pair.b.chain(without_event(closing));
    let writes = pair.b.writes;
    pair.b.chain(closing);
    assert_eq!(challenges(&pair.b), 1);
    assert_eq!(pair.b.writes, writes + 1, "the event is kept");
}

#[test]
fn g1_a_payment_that_the_event_decides_is_open_until_it_is_read() {
    let mut pair = paid();
    // A proposes 3 on 1, and B has answered 1 only. A closes on its proposal.
    pair.a.pay("y", 2);
    let shown = closing(Role::A, 3, balances(7, 13), 1, true, 12);
    pair.a.chain(without_event(shown));
    let status = |party: &Party, number| party.channel().status_of(nonce(number));
    assert_eq!(status(&pair.a, 1), PaymentStatus::Done, "a proposal is at most two above its base");
    assert_eq!(status(&pair.a, 2), PaymentStatus::Pending, "it may be in the base");
    pair.a.chain(closed(EndKind::Withdrawn, balances(7, 13), closing_of(without_event(shown))));
    assert_eq!(status(&pair.a, 3), PaymentStatus::Done, "closed on");
    assert_eq!(status(&pair.a, 2), PaymentStatus::Pending);
    pair.a.chain(closed(EndKind::Withdrawn, balances(7, 13), closing_of(shown)));
    assert_eq!(status(&pair.a, 2), PaymentStatus::Failed, "the base is 1");
}

fn closing_of(status: OnChain) -> Option<ChainClosing> {
    match status {
        OnChain::Closing(closing) => Some(closing),
        _ => None,
    }
}

#[test]
fn g1_who_closed_on_a_proposal_is_told_so_without_the_event() {
    let mut pair = paid();
    pair.a.pay("y", 2);
    let caller = pair.a.command(ChannelCommand::Close(CloseMode::Alone));
    pair.a.chain(without_event(closing(Role::A, 3, balances(7, 13), 1, true, 12)));
    let Ok(CommandOutcome::Closing { tx, mode, .. }) = pair.a.reply(caller) else { panic!("no closing") };
    assert_eq!((*tx, *mode), (None, ClosedBy::Proposal));
}

#[test]
fn g1_the_closers_payments_are_recorded_once_the_event_is_read() {
    let mut pair = paid();
    pair.a.pay("y", 2);
    let proposal = pair.a.outbox.pop_back().unwrap();
    assert!(matches!(proposal, Message::Propose(_)));
    let shown = closing(Role::A, 3, balances(7, 13), 1, true, 12);
    pair.b.chain(without_event(shown));
    pair.b.receive(proposal.clone());
    assert_eq!(pair.b.applied(Direction::In).len(), 1, "it is not known to be closed on as a proposal");
    pair.b.chain(shown);
    pair.b.receive(proposal);
    assert_eq!(pair.b.disk.rows.len(), 2);
}

/// Rule 9: a nonce that the closer's own proposal can have proves nothing.
#[test]
fn g1_a_closing_proves_lost_data_only_if_it_can_be_no_proposal() {
    let lost = |number, shares| {
        let mut pair = paid();
        pair.b.chain(without_event(closing(Role::A, number, shares, number, false, 12)));
        matches!(pair.b.channel(), Channel::Closing(state) if state.common.may_be_stale)
    };
    assert!(!lost(3, balances(7, 13)), "A may have proposed 3 on 1");
    assert!(lost(2, balances(7, 13)), "A proposes odd nonces");
    assert!(lost(5, balances(7, 13)), "too far above");
    let mut pair = paid();
    pair.b.chain(closing(Role::A, 3, balances(7, 13), 3, false, 12));
    assert!(
        matches!(pair.b.channel(), Channel::Closing(state) if state.common.may_be_stale),
        "its event says so"
    );
}

#[test]
fn g6_a_claimed_closing_is_challenged_and_changes_nothing_else() {
    let mut pair = paid();
    let writes = pair.b.writes;
    claim(&mut pair.b, closing(Role::A, 0, balances(10, 10), 0, false, 12));
    assert_eq!(pair.b.submitted.last(), Some(&Call::Challenge(evidence(&pair.a, 1, balances(9, 11)))));
    assert_eq!((pair.b.channel().name(), pair.b.writes), ("active", writes));
    claim(&mut pair.b, closing(Role::A, 1, balances(9, 11), 1, false, 12));
    claim(&mut pair.b, closing(Role::B, 0, balances(10, 10), 0, false, 12));
    assert_eq!(challenges(&pair.b), 1, "the newest receipt, and an own closing, are no cheat");
    pair.b.auto_challenge = false;
    claim(&mut pair.b, closing(Role::A, 0, balances(10, 10), 0, false, 12));
    assert_eq!(challenges(&pair.b), 1);
    assert!(pair.b.notices.iter().any(|notice| matches!(notice, ChannelNotice::AtRisk(_))), "but said");
}
