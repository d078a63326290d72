//! Several endpoints, of which some are slow, dead, late or wrong (guard rule G6).

use super::endpoint::{Faults, Lies, NEVER};
use super::random::for_each_seed;
use super::world::{World, cheat};
use super::{GWEI, cheated, honest};

#[test]
fn g4_g6_a_receipt_that_one_of_two_endpoints_invents_keeps_no_challenge_from_being_made() {
    for ahead in [0, 1, 2, 3, 1 << 40] {
        for is_second in [false, true] {
            let mut world = World::new(1, 2, 12_000, vec![honest(), honest()]);
            for _ in 0..6 {
                world.block(&[]);
            }
            let channel = world.channel(0);
            // The first offer is too low.
            world.ether.least_tip = 20 * GWEI;
            let block = world.ether.number() + 1 + ahead;
            let faults = &mut world.endpoints[usize::from(is_second)].faults;
            (faults.count_off, faults.false_receipt) = (1, Some(block));
            world.block(&[(channel, cheat())]);
            for _ in 0..14 {
                world.block(&[]);
            }
            let blocks = world.answered_after(channel);
            assert!(blocks.is_some_and(|blocks| blocks <= 12), "{ahead} {is_second}: {blocks:?}");
        }
    }
}

#[test]
fn g6_more_endpoints_make_no_challenge_dearer_and_no_alarm_earlier() {
    let paid = |count: u64| {
        let endpoints = (0..count).map(|number| Faults { delay: 20 + 40 * number, ..honest() });
        let mut world = World::new(1, 2, 12_000, endpoints.collect());
        for _ in 0..6 {
            world.block(&[]);
        }
        world.ether.least_tip = 3 * GWEI;
        let channel = world.channel(0);
        world.block(&[(channel, cheat())]);
        while world.answered_after(channel).is_none() {
            world.block(&[]);
        }
        let tip = world.ether.own_mined().next().unwrap().transaction.tip;
        (world.answered_after(channel), tip)
    };
    let alone = paid(1);
    for count in [2, 4, 8] {
        assert_eq!(paid(count), alone, "{count} endpoints");
    }
}

#[test]
fn g6_a_closing_that_one_endpoint_invents_costs_few_refused_challenges() {
    for count in [2, 3] {
        let mut world = World::new(1, 2, 12_000, vec![honest(); count]);
        for _ in 0..6 {
            world.block(&[]);
        }
        let channel = world.channel(0);
        world.endpoints[0].faults.invents.insert(channel);
        for _ in 0..40 {
            world.block(&[]);
        }
        let refused = world.ether.own_mined().filter(|mined| !mined.succeeded).count();
        // After 2, 4 and 8 blocks, and then with every eighth: none is the last, or a true closing would go free.
        assert!((5..=8).contains(&refused), "{count} endpoints: {refused} challenges");
    }
}

#[test]
fn g6_a_true_closing_is_challenged_whatever_one_endpoint_has_invented_before() {
    for (count, liar) in [(2, 0), (2, 1), (3, 0), (3, 2)] {
        for invented_for in [3, 11, 40] {
            let mut world = World::new(1, 2, 12_000, vec![honest(); count]);
            for _ in 0..6 {
                world.block(&[]);
            }
            let channel = world.channel(0);
            world.endpoints[liar].faults.invents.insert(channel);
            for _ in 0..invented_for {
                world.block(&[]);
            }
            world.block(&[(channel, cheat())]);
            for _ in 0..16 {
                world.block(&[]);
            }
            let after = world.answered_after(channel);
            assert!(
                after.is_some_and(|blocks| blocks <= 9),
                "{count} endpoints, {liar} lies for {invented_for} blocks: {after:?}"
            );
        }
    }
}

#[test]
fn g6_one_endpoint_that_shows_a_closing_is_enough() {
    for hidden in 0..2 {
        for_each_seed("g6_one_endpoint", 50, |seed| {
            let mut world = World::new(seed, 3, 1_000, vec![honest(), honest()]);
            for _ in 0..4 {
                world.block(&[]);
            }
            let channel = world.channel(0);
            let faults = &mut world.endpoints[hidden].faults;
            faults.hides.insert(channel);
            faults.hides_since = world.ether.number() + 1;
            let blocks = cheated(&mut world, 0).unwrap_or(99);
            assert!(blocks <= 2, "{blocks} blocks");
            assert!(world.unreadable.contains(&channel), "nothing is signed over it");
        });
    }
}

#[test]
fn g6_endpoints_that_are_slow_dead_behind_or_on_another_count_are_passed_over() {
    let kinds = [
        Faults { one_in: NEVER, ..honest() },
        Faults { one_in: NEVER, lies: Lies::Hangs, ..honest() },
        Faults { one_in: NEVER, lies: Lies::Garbage, ..honest() },
        Faults { lag: 30, ..honest() },
        Faults { delay: 3_000, ..honest() },
        Faults { refuses_sending: true, ..honest() },
        Faults { count_off: 2, ..honest() },
        Faults { count_off: 1 << 40, ..honest() },
    ];
    for (number, bad) in kinds.into_iter().enumerate() {
        for_each_seed("g6_endpoints", 20, |seed| {
            for faults in [vec![honest(), bad.clone()], vec![bad.clone(), honest()]] {
                let mut world = World::new(seed, 2, 1_000, faults);
                let blocks = cheated(&mut world, 0).unwrap_or(99);
                assert!(blocks <= 5, "{number}: {blocks} blocks");
                assert!(world.is_fresh, "{number}");
            }
        });
    }
}
