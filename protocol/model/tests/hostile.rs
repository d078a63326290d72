//! One honest side against an adversary that says, withholds and posts whatever it can.

use thunder_model::{Left, Scenario, is_full};
use thunder_protocol::Role;

/// Both roles, with the smaller bounds or, with `THUNDER_MODEL=full`, the larger ones: the highest
/// nonce, and what may happen. And how many states there are at least, A or B being honest.
fn against(name: &'static str, small: (u64, Left), full: (u64, Left), states: [usize; 2]) {
    let (nonce, left) = if is_full() { full } else { small };
    let mirrored = [left.pays[1], left.pays[0]];
    for (honest, pays) in [(Role::A, left.pays), (Role::B, mirrored)] {
        Scenario::hostile(name, honest, nonce, Left { pays, ..left }).holds(states[honest as usize]);
    }
}

#[test]
fn anything_said() {
    let small = Left { pays: [2, 0], ..Left::default() };
    let full = Left { pays: [3, 0], connects: 1, ..Left::default() };
    against("anything said", (4, small), (7, full), [34_000, 11_800]);
}

#[test]
fn anything_said_and_crashes_at_every_step() {
    let small = Left { pays: [1, 0], crashes: 1, ..Left::default() };
    let full = Left { pays: [2, 0], crashes: 2, ..Left::default() };
    against("anything said, and crashes", (3, small), (5, full), [1_600, 4_000]);
}

#[test]
fn anything_posted() {
    let small = Left { pays: [1, 0], closes: 1, posts: 1, ..Left::default() };
    let full = Left { pays: [2, 0], closes: 1, crashes: 1, posts: 2, ..Left::default() };
    against("anything posted", (2, small), (4, full), [14_000, 5_500]);
}

#[test]
fn a_cooperative_close_against_anything() {
    let small = Left { pays: [1, 0], coops: 1, posts: 1, blocks: 1, ..Left::default() };
    let full = Left { pays: [2, 0], coops: 1, closes: 1, posts: 1, blocks: 1, crashes: 1, ..Left::default() };
    against("cooperative close", (2, small), (4, full), [78_000, 30_800]);
}

#[test]
fn the_chain_takes_a_closing_back() {
    let small = Left { pays: [1, 0], closes: 1, posts: 1, reorgs: 1, ..Left::default() };
    let full = Left { pays: [1, 0], closes: 1, coops: 1, posts: 2, reorgs: 1, crashes: 1, ..Left::default() };
    against("closing taken back", (2, small), (3, full), [50_000, 19_700]);
}

#[test]
fn the_chain_takes_an_opening_back() {
    let left = Left { posts: 2, reorgs: 1, blocks: 2, crashes: 1, ..Left::default() };
    let full = Left { pays: [1, 1], posts: 3, ..left };
    let (nonce, left) = if is_full() { (2, full) } else { (2, left) };
    for role in [Role::A, Role::B] {
        let scenario = Scenario::hostile("opening taken back", role, nonce, left);
        Scenario { opening: true, confirmations: 4, ..scenario }.holds(15_200);
    }
}

#[test]
fn a_backup_is_restored_and_the_other_side_lies() {
    let small = Left { pays: [1, 0], backups: 1, ..Left::default() };
    let full = Left { pays: [2, 0], backups: 1, crashes: 1, posts: 1, ..Left::default() };
    against("backup, lying peer", (2, small), (4, full), [10_800, 4_200]);
}

#[test]
fn a_backup_is_restored_its_user_orders_and_imports_and_the_other_side_lies() {
    let small = Left { backups: 1, orders: 1, imports: 1, crashes: 1, ..Left::default() };
    let full =
        Left { pays: [1, 0], backups: 1, orders: 1, imports: 2, crashes: 1, posts: 1, ..Left::default() };
    against("backup, lying peer, orders", (2, small), (4, full), [4_300, 4_300]);
}

#[test]
fn the_chain_was_reset() {
    let left = Left { pays: [1, 0], closes: 1, posts: 1, ..Left::default() };
    for (role, pays) in [(Role::A, [1, 0]), (Role::B, [0, 1])] {
        let scenario = Scenario::hostile("chain reset", role, 2, Left { pays, ..left });
        Scenario { reset: true, ..scenario }.holds(5_500);
    }
}
