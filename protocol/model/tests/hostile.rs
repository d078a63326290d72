//! One honest side against an adversary that says, withholds and posts whatever it can.

use thunder_model::{Left, Scenario, is_full};
use thunder_protocol::Role;

/// Both roles, with the smaller bounds or, with `THUNDER_MODEL=full`, the larger ones: the highest
/// nonce, what may happen, and how many states there are at least.
fn against(name: &'static str, small: (u64, Left, usize), full: (u64, Left, usize)) {
    let (nonce, left, states) = if is_full() { full } else { small };
    for (honest, pays) in [(Role::A, left.pays), (Role::B, [left.pays[1], left.pays[0]])] {
        Scenario::hostile(name, honest, nonce, Left { pays, ..left }).holds(states);
    }
}

#[test]
fn anything_said() {
    let small = Left { pays: [2, 0], ..Left::default() };
    let full = Left { pays: [3, 0], connects: 1, ..Left::default() };
    against("anything said", (4, small, 100), (7, full, 100));
}

#[test]
fn anything_said_and_crashes_at_every_step() {
    let small = Left { pays: [1, 0], crashes: 1, ..Left::default() };
    let full = Left { pays: [2, 0], crashes: 2, ..Left::default() };
    against("anything said, and crashes", (3, small, 100), (5, full, 100));
}

#[test]
fn anything_posted() {
    let small = Left { pays: [1, 0], closes: 1, posts: 1, ..Left::default() };
    let full = Left { pays: [2, 0], closes: 1, crashes: 1, posts: 2, ..Left::default() };
    against("anything posted", (2, small, 100), (4, full, 100));
}

#[test]
fn a_cooperative_close_against_anything() {
    let small = Left { pays: [1, 0], coops: 1, posts: 1, blocks: 1, ..Left::default() };
    let full = Left { pays: [2, 0], coops: 1, closes: 1, posts: 1, blocks: 1, crashes: 1, ..Left::default() };
    against("cooperative close", (2, small, 100), (4, full, 100));
}

#[test]
fn the_chain_takes_a_closing_back() {
    let small = Left { pays: [1, 0], closes: 1, posts: 1, reorgs: 1, ..Left::default() };
    let full = Left { pays: [1, 0], closes: 1, coops: 1, posts: 2, reorgs: 1, crashes: 1, ..Left::default() };
    against("closing taken back", (2, small, 100), (3, full, 100));
}

#[test]
fn the_chain_takes_an_opening_back() {
    let left = Left { pays: [1, 0], posts: 2, reorgs: 1, blocks: 1, ..Left::default() };
    let full = Left { pays: [1, 0], posts: 3, reorgs: 1, blocks: 2, crashes: 1, ..left };
    let (nonce, left) = if is_full() { (3, full) } else { (2, left) };
    for (role, pays) in [(Role::A, [1, 0]), (Role::B, [0, 1])] {
        let scenario = Scenario::hostile("opening taken back", role, nonce, Left { pays, ..left });
        Scenario { opening: true, confirmations: 4, ..scenario }.holds(100);
    }
}

#[test]
fn a_backup_is_restored_and_the_other_side_lies() {
    let small = Left { pays: [1, 0], backups: 1, ..Left::default() };
    let full = Left { pays: [2, 0], backups: 1, crashes: 1, posts: 1, ..Left::default() };
    against("backup, lying peer", (2, small, 100), (4, full, 100));
}

#[test]
fn the_chain_was_reset() {
    let left = Left { pays: [1, 0], closes: 1, posts: 1, ..Left::default() };
    for (role, pays) in [(Role::A, [1, 0]), (Role::B, [0, 1])] {
        let scenario = Scenario::hostile("chain reset", role, 2, Left { pays, ..left });
        Scenario { reset: true, ..scenario }.holds(100);
    }
}
