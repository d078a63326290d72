//! Several endpoints, of which some are slow, dead, late or wrong (guard rule G6).

use thunder_guard::state::StorageState;

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
        // After 2, 4 and 8 blocks, and then with every eighth: none is the last, or a true closing would go free. The
        // invented closing is another one after 20 blocks.
        assert!((5..=10).contains(&refused), "{count} endpoints: {refused} challenges");
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

/// One of two endpoints says that blocks take a minute, where they take a second.
#[test]
fn g4_g8_timestamps_that_one_of_two_invents_do_not_stop_the_clock_of_challenges() {
    for liar in [0, 1] {
        let mut world = World::new(1, 1, 1_000, vec![honest(), honest()]);
        for _ in 0..30 {
            world.block(&[]);
        }
        world.endpoints[liar].faults.timestamp = Some(2_000_000);
        // The first offer is too low.
        world.ether.least_tip = 15 * GWEI;
        let blocks = cheated(&mut world, 0);
        assert!(blocks.is_some_and(|blocks| blocks <= 16), "{liar}: {blocks:?}");
    }
}

/// One of two endpoints lets a question hang at all times, and shows a closing channel as it was a block ago.
#[test]
fn g6_one_of_two_that_is_never_done_with_reading_keeps_the_node_from_no_block() {
    for liar in [0, 1] {
        let mut world = World::new(1, 2, 12_000, vec![honest(), honest()]);
        for _ in 0..6 {
            world.block(&[]);
        }
        world.endpoints[liar].faults.holds_back = true;
        let channel = world.channel(0);
        world.guard.set_stake(channel, thunder_guard::Stake::Urgent);
        for _ in 0..12 {
            world.block(&[]);
        }
        let (read, newest) = (world.read_head, world.ether.number());
        assert!(read.is_some_and(|read| read + 1 >= newest), "{liar}: {read:?} of {newest}");
        let statuses = world.reports.iter().rev().find_map(|report| match report {
            thunder_guard::Report::Endpoints(statuses) => Some(statuses.clone()),
            _ => None,
        });
        assert!(statuses.is_some_and(|it| it[liar].trouble.is_some()), "it is named");
    }
}

/// More channels than are read with each block, behind an address with two machines of which one is behind.
#[test]
fn g1_machines_at_different_heights_behind_one_address_delay_no_challenge_for_long() {
    for (behind, hides_events) in [(1, false), (8, true)] {
        for_each_seed("g1_machines", 1, |seed| {
            let faults = Faults { behind, hides_events, ..honest() };
            let mut world = World::new(seed, 2_000, 12_000, vec![faults]);
            let channel = world.random.below(2_000) as usize;
            let blocks = cheated(&mut world, channel);
            assert!(blocks.is_some_and(|blocks| blocks <= 10), "{behind} {hides_events}: {blocks:?}");
        });
    }
}

/// A world with two endpoints, of which one says that blocks come much faster than they do, shows so many more than there
/// are, and the only channel as it was at the start.
fn with_a_fast_liar(liar: usize, ahead: u64) -> World {
    let mut world = World::new(1, 1, 12_000, vec![honest(), honest()]);
    let (hides, hides_since) = ([world.channel(0)].into(), world.ether.number() + 1);
    let states_off = if ahead > 0 { 1 << 40 } else { 0 };
    world.endpoints[liar].faults =
        Faults { fast: true, hides, hides_since, head_off: ahead, states_off, ..honest() };
    world
}

#[test]
fn g6_g8_blocks_that_one_of_two_invents_make_the_other_no_less_up_to_date() {
    for liar in [0, 1] {
        for ahead in [0, 1_000] {
            let after = cheated(&mut with_a_fast_liar(liar, ahead), 0);
            assert!(after.is_some_and(|blocks| blocks <= 8), "{liar} {ahead}: {after:?}");
        }
    }
}

/// The same with a closing on the newest receipt.
#[test]
fn g6_g8_nothing_is_signed_over_what_one_of_two_shows_closing_however_fast_the_other_says_that_blocks_come() {
    for liar in [0, 1] {
        for ahead in [0, 1_000] {
            let mut world = with_a_fast_liar(liar, ahead);
            for _ in 0..6 {
                world.block(&[]);
            }
            let StorageState::Closing { closer, balances, .. } = cheat() else { unreachable!() };
            let nonce = thunder_protocol::Nonce::new(super::world::NEWEST).unwrap();
            let channel = world.channel(0);
            world.block(&[(channel, StorageState::Closing { closer, nonce, balances, block: 0 })]);
            for blocks in 1..20 {
                world.block(&[]);
                let is_doubted = world.unreadable.contains(&channel);
                assert!(is_doubted || !world.is_fresh, "{liar} {ahead}, after {blocks} blocks");
            }
        }
    }
}

/// The honest one of two endpoints needs longer for all channels than what was read is good for; the other is ahead.
#[test]
fn g6_a_closing_that_only_an_endpoint_shows_that_reads_too_slowly_is_challenged() {
    for liar in [0, 1] {
        let mut world = World::new(1, 1_000, 12_000, vec![honest(), honest()]);
        world.endpoints[1 - liar].faults = Faults { delay: 900, runs_no_code: true, ..honest() };
        let (hides, hides_since) = ([world.channel(0)].into(), world.ether.number() + 1);
        world.endpoints[liar].faults =
            Faults { hides, hides_since, head_off: 1_000, states_off: 1 << 40, ..honest() };
        let after = cheated(&mut world, 0);
        assert!(after.is_some_and(|blocks| blocks <= 8), "{liar}: {after:?}");
    }
}

/// For some blocks' time there is no block.
#[test]
fn g6_nothing_is_signed_over_what_one_of_two_shows_closing_while_it_has_no_new_block() {
    for liar in [0, 1] {
        for ahead in [0, 1_000] {
            let mut world = with_a_fast_liar(liar, ahead);
            for _ in 0..6 {
                world.block(&[]);
            }
            let StorageState::Closing { closer, balances, .. } = cheat() else { unreachable!() };
            let nonce = thunder_protocol::Nonce::new(super::world::NEWEST).unwrap();
            let channel = world.channel(0);
            world.block(&[(channel, StorageState::Closing { closer, nonce, balances, block: 0 })]);
            world.block(&[]);
            for seconds in 1..60 {
                world.run(world.now + 1_000);
                let is_doubted = world.unreadable.contains(&channel);
                assert!(is_doubted || !world.is_fresh, "{liar} {ahead}, after {seconds} s");
            }
        }
    }
}

/// After a start the one of two endpoints that answers first shows a channel open that is paid out.
#[test]
fn g6_nothing_is_signed_after_a_start_before_the_slower_one_of_two_was_heard() {
    for liar in [0, 1] {
        for delay in [50, 300, 900] {
            let mut world = World::new(1, 1, 12_000, vec![honest(), honest()]);
            for _ in 0..6 {
                world.block(&[]);
            }
            let channel = world.channel(0);
            let StorageState::Closing { closer, balances, .. } = cheat() else { unreachable!() };
            let (nonce, block) =
                (thunder_protocol::Nonce::new(super::world::NEWEST).unwrap(), world.ether.number());
            world.endpoints[liar].faults.active.insert(channel);
            world.block(&[(channel, StorageState::Closing { closer, nonce, balances, block: 0 })]);
            world.block(&[(channel, StorageState::Closed { nonce, balances, block })]);
            world.endpoints[liar].faults.delay = 1;
            world.endpoints[1 - liar].faults.delay = delay;
            world.restart();
            world.unreadable.clear();
            for step in 0..4_000 {
                // The next blocks come after some seconds.
                if step % 1_200 == 800 {
                    world.block(&[]);
                }
                world.run(world.now + 10);
                let is_caught_up = world.read_head.is_some() && world.is_fresh;
                assert!(!is_caught_up || world.unreadable.contains(&channel), "{liar} {delay}: {step}");
            }
            assert!(world.read_head.is_some());
        }
    }
}
