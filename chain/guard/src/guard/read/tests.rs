//! Steps back, ends, and what endpoints show differently.

use std::sync::Arc;

use thunder_protocol::channel::Terms;
use thunder_protocol::onchain::ChainView;
use thunder_protocol::{Amount, B256, Balances, Nonce};

use super::*;
use crate::block::Head;
use crate::guard::GuardConfig;
use thunder_protocol::Contracts;

const CHANNEL: Address = Address::repeat_byte(3);

fn shares() -> Balances {
    Balances { a: Amount::ONE_THD, b: Amount::ZERO }
}

fn watched(stake: Stake) -> WatchRequest {
    let terms = Terms {
        channel: CHANNEL,
        chain_id: 5,
        token: Address::repeat_byte(1),
        factory: Address::repeat_byte(2),
        salt: B256::ZERO,
        part_a: Address::repeat_byte(4),
        part_b: Address::repeat_byte(5),
        role: Role::A,
        amount: Amount::ONE_THD,
        shares: shares(),
    };
    WatchRequest { terms, view: ChainView::missing(0), stake, verify: false, first_block: 0 }
}

/// A guard with two endpoints that watches a channel.
fn guard() -> Guard {
    let contracts = Contracts { token: Address::repeat_byte(1), factory: Address::repeat_byte(2) };
    let endpoints = vec!["a".into(), "b".into()];
    let mut guard = Guard::new(GuardConfig { endpoints, contracts, states_code: Arc::from([]), chain: None });
    guard.watch_all(&[watched(Stake::AtRisk)]);
    guard
}

/// An endpoint whose newest block this is shows the channel in a state.
fn show(guard: &mut Guard, endpoint_index: usize, block: u64, state: StorageState) {
    let (hash, parent) = (B256::ZERO, B256::ZERO);
    let head = Head { number: block, hash, parent, timestamp: block, base_fee: None };
    guard.endpoints[endpoint_index].head = Some(head);
    guard.on_state(endpoint_index, CHANNEL, block, state, 0);
}

/// How many of both endpoints count as showing the state, after they have.
fn both_show(guard: &mut Guard, block: u64, state: StorageState) -> usize {
    (0..2).for_each(|endpoint_index| show(guard, endpoint_index, block, state));
    let readings = &guard.channels.as_ref().unwrap()[&CHANNEL].readings;
    readings.iter().flatten().filter(|reading| reading.state == state).count()
}

#[test]
fn g6_endpoints_that_answer_in_turn_confirm_a_step_back_each_for_itself() {
    let mut guard = guard();
    assert_eq!(both_show(&mut guard, 10, StorageState::Active { paid_in: shares() }), 2);
    assert_eq!(both_show(&mut guard, 10, StorageState::Missing), 0, "once is not enough");
    assert_eq!(both_show(&mut guard, 10, StorageState::Missing), 2, "blocks were taken back");
}

#[test]
fn g2_an_end_is_believed_once_two_blocks_show_it() {
    let mut guard = guard();
    let end = StorageState::Closed { nonce: Nonce::FINAL, balances: shares(), block: 9 };
    let active = StorageState::Active { paid_in: shares() };
    assert_eq!(both_show(&mut guard, 9, active), 2);
    assert_eq!(both_show(&mut guard, 10, end), 0);
    assert_eq!(both_show(&mut guard, 10, end), 0, "one block says it, however often");
    assert_eq!(guard.work.iter().filter(|work| work.ends.contains(&CHANNEL)).count(), 2, "to be read again");
    assert_eq!(both_show(&mut guard, 11, active), 2, "it was false");
    assert_eq!(both_show(&mut guard, 12, end), 0);
    assert_eq!(both_show(&mut guard, 13, end), 2);
}

#[test]
fn g6_two_endpoints_that_contradict_each_other_are_both_named() {
    let mut guard = guard();
    guard.work.iter_mut().for_each(|work| work.is_live = true);
    let active = StorageState::Active { paid_in: shares() };
    let closing =
        StorageState::Closing { closer: Role::B, nonce: Nonce::ZERO, balances: shares(), block: 11 };
    both_show(&mut guard, 10, active);
    show(&mut guard, 0, 12, active);
    show(&mut guard, 1, 12, closing);
    guard.reconcile_divided(0);
    assert_eq!(guard.endpoints.iter().map(|endpoint| endpoint.contradicts).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn g1_a_channel_that_is_watched_anew_with_another_stake_is_read_as_often_as_that_asks() {
    let mut guard = guard();
    guard.watch(&watched(Stake::Urgent));
    assert!(guard.urgent.contains(&CHANNEL));
    guard.watch(&watched(Stake::Nothing));
    assert!(!guard.urgent.contains(&CHANNEL));
}
