//! Endpoints that are wrong for a while about the chain, or refuse one kind of question for good.

use thunder_guard::Report;

use super::endpoint::{Faults, Lies, NEVER};
use super::world::{World, cheat};
use super::{GWEI, cheated, honest};

/// The ids of the chains that the guard has gone over to.
fn chains(world: &World) -> Vec<u64> {
    let chains = world.reports.iter().filter_map(|report| match report {
        Report::Chain(chain) => Some(chain.chain_id),
        _ => None,
    });
    chains.collect()
}

#[test]
fn g6_a_wrong_chain_id_for_some_seconds_takes_no_channel_away() {
    let mut world = World::new(1, 1, 6_000, vec![honest()]);
    for _ in 0..6 {
        world.block(&[]);
    }
    let before = chains(&world);
    // The chain is asked for again when blocks are taken back.
    world.endpoints[0].faults.chain_id = Some(6);
    let mut random = world.random.clone();
    world.ether.take_back(2, &mut random);
    world.block(&[]);
    world.run(world.now + 3_000);
    world.endpoints[0].faults.chain_id = None;
    assert_eq!(cheated(&mut world, 0), Some(1));
    assert_eq!(chains(&world), before);
}

#[test]
fn g6_a_wrong_chain_id_for_minutes_is_left_again_in_time_for_a_challenge() {
    for at_the_start in [true, false] {
        let mut world = World::new(1, 1, 12_000, vec![honest()]);
        if !at_the_start {
            for _ in 0..6 {
                world.block(&[]);
            }
        }
        world.endpoints[0].faults.chain_id = Some(6);
        for _ in 0..20 {
            world.block(&[]);
        }
        assert_eq!(chains(&world).last(), Some(&6));
        world.endpoints[0].faults.chain_id = None;
        let channel = world.channel(0);
        world.block(&[(channel, cheat())]);
        for _ in 0..12 {
            world.block(&[]);
        }
        let after = world.answered_after(channel);
        assert!(after.is_some_and(|blocks| blocks <= 8), "at the start: {at_the_start}, {after:?}");
    }
}

#[test]
fn g2_a_false_end_for_a_block_stops_no_challenge() {
    let mut world = World::new(1, 1, 12_000, vec![honest()]);
    for _ in 0..6 {
        world.block(&[]);
    }
    let channel = world.channel(0);
    // The challenge is not mined at once.
    world.ether.least_tip = 20 * GWEI;
    world.block(&[(channel, cheat())]);
    world.endpoints[0].faults.closed.insert(channel);
    world.block(&[]);
    world.endpoints[0].faults.closed.clear();
    for _ in 0..10 {
        world.block(&[]);
    }
    let after = world.answered_after(channel);
    assert!(after.is_some_and(|blocks| blocks <= 9), "{after:?}");
    let ends = world.reports.iter().filter(|report| {
        matches!(report, Report::View { view, .. }
            if matches!(view.status, thunder_protocol::onchain::OnChain::Closed { .. }))
    });
    assert_eq!(ends.count(), 1, "the true one");
}

#[test]
fn g4_a_count_that_is_refused_for_good_keeps_no_challenge_waiting() {
    for least_tip in [1, 20 * GWEI] {
        let mut world = World::new(1, 2, 12_000, vec![Faults { refuses_count: true, ..honest() }]);
        world.ether.least_tip = least_tip;
        let other = world.channel(1);
        world.block(&[]);
        world.close(other);
        let after = cheated(&mut world, 0);
        assert!(after.is_some_and(|blocks| blocks <= 8), "{least_tip}: {after:?}");
    }
}

#[test]
fn g3_what_the_first_endpoint_refuses_for_good_is_asked_of_the_next() {
    let mut world = World::new(1, 1, 12_000, vec![Faults { refuses_code: true, ..honest() }, honest()]);
    for _ in 0..3 {
        world.block(&[]);
    }
    let found = world.reports.iter().rev().find_map(|report| match report {
        Report::Contracts(found) => Some(found.clone()),
        _ => None,
    });
    assert_eq!(found, Some(Ok(())));
}

#[test]
fn g6_block_0_that_is_lost_later_takes_no_endpoint_away() {
    let mut world = World::new(1, 1, 12_000, vec![honest()]);
    for _ in 0..6 {
        world.block(&[]);
    }
    world.endpoints[0].faults.lacks_genesis = true;
    // The chain is asked for again when blocks are taken back.
    let mut random = world.random.clone();
    world.ether.take_back(2, &mut random);
    world.block(&[]);
    let channel = world.channel(0);
    world.block(&[(channel, cheat())]);
    for _ in 0..6 {
        world.block(&[]);
    }
    let after = world.answered_after(channel);
    assert!(after.is_some_and(|blocks| blocks <= 2), "{after:?}");
}

/// After a start one of two endpoints shows another chain, and the honest one does not answer for some minutes.
#[test]
fn g6_a_chain_that_one_of_two_shows_before_the_other_answers_takes_no_channel_away_for_good() {
    for liar in [0, 1] {
        for dies_again in [false, true] {
            let mut world = World::new(1, 1, 12_000, vec![honest(), honest()]);
            for _ in 0..6 {
                world.block(&[]);
            }
            world.endpoints[liar].faults.chain_id = Some(6);
            world.endpoints[1 - liar].faults = Faults { one_in: NEVER, lies: Lies::Hangs, ..honest() };
            world.restart();
            for _ in 0..20 {
                world.block(&[]);
            }
            if dies_again {
                world.restart();
            }
            world.endpoints[1 - liar].faults = honest();
            let channel = world.channel(0);
            world.block(&[(channel, cheat())]);
            for _ in 0..12 {
                world.block(&[]);
            }
            let after = world.answered_after(channel);
            assert!(after.is_some_and(|blocks| blocks <= 8), "{liar}, dies again: {dies_again}, {after:?}");
        }
    }
}
