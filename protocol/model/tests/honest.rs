//! Two honest sides, whatever the network, crashes, the chain and their users do.

use thunder_model::{Left, Scenario, is_full};

/// The smaller bounds, or with `THUNDER_MODEL=full` the larger ones.
fn bound(small: Left, full: Left) -> Left {
    if is_full() { full } else { small }
}

#[test]
fn crossing_payments_and_crashes_at_every_step() {
    let small = Left { pays: [1, 1], crashes: 1, repeats: 1, ..Left::default() };
    let full = Left { pays: [2, 2], crashes: 2, repeats: 1, ..Left::default() };
    let left = bound(small, full);
    Scenario::honest("crossing and crashes", left).holds(8_000);
}

#[test]
fn a_network_that_repeats_reorders_and_breaks() {
    let small = Left { pays: [1, 1], connects: 1, repeats: 1, ..Left::default() };
    let full = Left { pays: [3, 2], connects: 2, repeats: 2, ..Left::default() };
    let left = bound(small, full);
    Scenario::honest("network", left).holds(5_500);
}

#[test]
fn both_directions_of_a_saturated_channel_get_their_share() {
    let small = Left { pays: [1, 3], ..Left::default() };
    let full = Left { pays: [2, 4], ..Left::default() };
    let left = bound(small, full);
    Scenario { paid_in: [9, 9], ..Scenario::honest("load from both sides", left) }.holds(21_000);
}

#[test]
fn closing_alone_at_any_moment() {
    let small = Left { pays: [1, 1], closes: 1, ..Left::default() };
    let full = Left { pays: [2, 1], closes: 2, crashes: 1, connects: 1, repeats: 1, ..Left::default() };
    let left = bound(small, full);
    Scenario::honest("closing alone", left).holds(30_000);
}

#[test]
fn closing_together_at_any_moment() {
    let small = Left { pays: [1, 0], coops: 2, blocks: 1, crashes: 1, ..Left::default() };
    let full =
        Left { pays: [2, 1], coops: 2, closes: 1, crashes: 1, blocks: 1, connects: 1, ..Left::default() };
    let left = bound(small, full);
    Scenario::honest("closing together", left).holds(349_000);
}

#[test]
fn the_chain_takes_a_closing_back() {
    let small = Left { pays: [1, 0], closes: 1, coops: 1, reorgs: 1, ..Left::default() };
    let full =
        Left { pays: [2, 1], closes: 1, coops: 1, reorgs: 1, crashes: 1, connects: 1, ..Left::default() };
    let left = bound(small, full);
    Scenario::honest("closing taken back", left).holds(98_000);
}

#[test]
fn a_backup_is_restored_and_the_other_side_is_honest() {
    let small = Left { pays: [1, 1], backups: 1, connects: 1, ..Left::default() };
    let full = Left { pays: [2, 1], backups: 1, connects: 1, crashes: 1, ..Left::default() };
    let left = bound(small, full);
    Scenario::honest("backup, honest peer", left).holds(54_000);
}

#[test]
fn a_backup_is_restored_and_its_user_orders_and_imports() {
    let small = Left { pays: [1, 0], backups: 1, orders: 1, imports: 1, ..Left::default() };
    let full =
        Left { pays: [1, 1], backups: 1, orders: 1, imports: 1, connects: 1, crashes: 1, ..Left::default() };
    let left = bound(small, full);
    Scenario::honest("backup, honest peer, orders", left).holds(124_000);
}
