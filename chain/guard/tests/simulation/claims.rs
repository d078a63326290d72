//! What one of several endpoints, or a partner that has one, may say beside a true closing (guard rule G6).

use thunder_guard::Report;
use thunder_protocol::onchain::OnChain;

use super::endpoint::{Faults, Lies};
use super::world::{World, cheat};
use super::{GWEI, cheated, honest};

/// One endpoint shows a closing on the newest receipt, which no challenge answers, in a block far above the true one.
#[test]
fn g6_a_closing_that_cant_be_challenged_hides_no_true_one() {
    for (count, liar) in [(2, 0), (2, 1), (3, 0), (3, 2)] {
        for states_off in [0, 1 << 40] {
            let mut world = World::new(1, 1, 12_000, vec![honest(); count]);
            for _ in 0..6 {
                world.block(&[]);
            }
            let channel = world.channel(0);
            let faults = &mut world.endpoints[liar].faults;
            faults.masks.insert(channel);
            faults.states_off = states_off;
            world.block(&[(channel, cheat())]);
            for _ in 0..16 {
                world.block(&[]);
            }
            let after = world.answered_after(channel);
            assert!(
                after.is_some_and(|blocks| blocks <= 8),
                "{count} endpoints, {liar} lies, {states_off}: {after:?}"
            );
        }
    }
}

/// One endpoint says that the challenge is mined, in a block that nobody reaches, with heads and a count to match.
#[test]
fn g6_a_receipt_in_a_block_that_nobody_reaches_ends_no_challenge() {
    for (count, liar) in [(2, 0), (2, 1), (3, 1)] {
        for ahead in [2, 1 << 20] {
            let mut world = World::new(1, 1, 12_000, vec![honest(); count]);
            world.endpoints[liar].faults.head_off = ahead;
            for _ in 0..6 {
                world.block(&[]);
            }
            let channel = world.channel(0);
            // The first offer is too low.
            world.ether.least_tip = 20 * GWEI;
            let number = world.ether.number();
            let faults = &mut world.endpoints[liar].faults;
            (faults.count_off, faults.false_receipt) = (1, Some(number + 1 + ahead));
            faults.says = Some("nonce too low");
            world.block(&[(channel, cheat())]);
            for blocks in 0..20 {
                // The receipt is as far ahead as it is believed.
                world.endpoints[liar].faults.false_receipt = Some(number + 2 + blocks + ahead);
                world.block(&[]);
            }
            let after = world.answered_after(channel);
            assert!(
                after.is_some_and(|blocks| blocks <= 14),
                "{count} endpoints, {liar} lies, {ahead}: {after:?}"
            );
        }
    }
}

/// At the start, before the honest endpoint answers, the other one shows a channel paid out in a block long ago.
#[test]
fn g6_an_end_that_the_first_endpoint_to_answer_invents_hides_no_closing() {
    for states_at in [1, 1 << 40] {
        let slow = Faults { one_in: super::NEVER, lies: Lies::Hangs, ..honest() };
        let mut world = World::new(1, 1, 12_000, vec![slow, honest()]);
        let channel = world.channel(0);
        world.endpoints[1].faults.closed.insert(channel);
        for later in 0..4 {
            world.endpoints[1].faults.states_at = Some(states_at + later);
            world.block(&[]);
        }
        world.endpoints[0].faults = honest();
        let after = cheated(&mut world, 0);
        assert!(after.is_some_and(|blocks| blocks <= 8), "{states_at}: {after:?}");
        let newest = |report: &Report| match report {
            Report::View { view, .. } if matches!(view.status, OnChain::Closed { .. }) => view.newest,
            _ => None,
        };
        let ends: Vec<_> = world.reports.iter().filter_map(newest).collect();
        assert!(!ends.is_empty(), "{states_at}: there is nothing to test");
        assert!(ends.iter().all(|end| end.block <= world.ether.number() + 3), "{states_at}: {ends:?}");
    }
}
