//! The guard in virtual time: a chain, endpoints with faults, a disk, and a node that wants each cheat
//! challenged. The names of the tests have the numbers of the guard's rules.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod chaos;
mod claims;
mod crowds;
mod doubts;
mod endpoint;
mod ether;
mod identity;
mod lies;
mod random;
mod several;
mod world;

use std::sync::Mutex;

use endpoint::{Faults, Lies, NEVER};
use random::for_each_seed;
use thunder_guard::state::StorageState;
use world::{World, cheat};

const GWEI: u128 = 1_000_000_000;

fn honest() -> Faults {
    Faults { delay: 20, tip: GWEI, ..Faults::default() }
}

/// Lets the guard come to rest, has the channel closed by a cheat, and goes on for a challenge period.
/// Returns after how many blocks the challenge was mined.
fn cheated(world: &mut World, channel: usize) -> Option<u64> {
    for blocks in 0.. {
        world.block(&[]);
        if blocks >= 5 && world.read_head.is_some() {
            break;
        }
        assert!(blocks < 100, "the guard never comes to rest");
    }
    let channel = world.channel(channel);
    world.block(&[(channel, cheat())]);
    for _ in 0..23 {
        if world.answered_after(channel).is_some() {
            break;
        }
        world.block(&[]);
    }
    world.answered_after(channel)
}

#[test]
fn g1_a_closing_is_challenged_in_the_next_block() {
    for block_time in [1_000, 12_000] {
        let mut world = World::new(1, 3, block_time, vec![honest()]);
        assert_eq!(cheated(&mut world, 0), Some(1));
        assert!(world.is_fresh && world.unreadable.is_empty());
    }
}

#[test]
fn g1_many_channels_are_no_reason_to_be_late() {
    for (count, runs, hides_events, worst) in
        [(1, 40, false, 1), (1_000, 20, false, 1), (10_000, 5, false, 1), (10_000, 5, true, 4)]
    {
        for delay in [20, 100] {
            let taken = Mutex::new(Vec::new());
            for_each_seed("g1_many_channels", runs, |seed| {
                let mut world =
                    World::new(seed, count, 3_000, vec![Faults { delay, hides_events, ..honest() }]);
                let index = world.random.below(count as u64) as usize;
                let blocks = cheated(&mut world, index).unwrap();
                taken.lock().unwrap().push(blocks);
            });
            let mut taken = taken.into_inner().unwrap();
            taken.sort_unstable();
            let (median, last) = (taken[taken.len() / 2], taken[taken.len() - 1]);
            println!(
                "{count} channels, {delay} ms a call, events {}: {median} blocks in the median, {last} at most",
                if hides_events { "hidden" } else { "shown" }
            );
            assert!(last <= worst, "{count} channels, {delay} ms: {taken:?}");
        }
    }
}

#[test]
fn g2_a_slow_endpoint_reads_hundreds_of_channels_in_one_call() {
    let slow = Faults { delay: 100, ..honest() };
    let mut world = World::new(1, 600, 3_000, vec![slow]);
    assert!(cheated(&mut world, 599).unwrap() <= 2);
}

#[test]
fn g2_an_endpoint_that_runs_no_code_reads_the_channels_one_by_one() {
    let weak = Faults { runs_no_code: true, ..honest() };
    let mut world = World::new(1, 50, 2_000, vec![weak.clone()]);
    assert!(cheated(&mut world, 49).unwrap() <= 2);
    let mut world = World::new(1, 1_000, 12_000, vec![weak]);
    assert!(cheated(&mut world, 999).unwrap() <= 5);
}

#[test]
fn g3_limits_of_requests_and_ranges_cost_no_challenge() {
    let limited = Faults { rate: 8, log_range: 1, ..honest() };
    for seed in 1..20 {
        let mut world = World::new(seed, 3, 1_000, vec![limited.clone()]);
        let blocks = cheated(&mut world, 0).unwrap();
        assert!(blocks <= 4, "{blocks}");
    }
}

#[test]
fn g4_no_advice_is_needed_for_a_challenge() {
    let silent = Faults { refuses_pending: true, tip: u128::MAX, ..honest() };
    let mut world = World::new(1, 1, 1_000, vec![silent]);
    assert_eq!(cheated(&mut world, 0), Some(1));
    let mined: Vec<_> = world.ether.own_mined().collect();
    assert!(mined[0].transaction.tip <= 100 * GWEI, "an absurd tip is no first offer");
}

#[test]
fn g4_a_count_that_is_one_too_high_leaves_no_gap() {
    let mut world = World::new(1, 2, 1_000, vec![honest()]);
    world.block(&[]);
    world.endpoints[0].faults.count_off = 1;
    world.block(&[]);
    let other = world.channel(1);
    world.close(other);
    world.run(world.now + 500);
    world.endpoints[0].faults.count_off = 0;
    assert!(cheated(&mut world, 0).unwrap() <= 2);
}

#[test]
fn g4_what_hangs_on_the_account_does_not_hold_a_challenge_up() {
    let mut world = World::new(1, 2, 1_000, vec![honest()]);
    world.block(&[]);
    // The block's producers take nothing that pays as little as what is waiting there.
    world.ether.least_tip = 2 * GWEI;
    let other = world.channel(1);
    world.close(other);
    world.block(&[]);
    world.block(&[]);
    assert_eq!(world.ether.own_mined().count(), 0);
    let blocks = cheated(&mut world, 0).unwrap();
    assert!(blocks <= 3, "{blocks}");
    for _ in 0..20 {
        world.block(&[]);
    }
    let stage = world.ether.state(&world.channel(1)).stage();
    assert_eq!(stage, 3, "what stood there is made anew");
}

/// The nonce of the receipt that a channel is closed on.
fn closed_on(world: &World, channel: usize) -> Option<u64> {
    match world.ether.state(&world.channel(channel)) {
        StorageState::Closing { nonce, .. } => Some(nonce.get()),
        _ => None,
    }
}

#[test]
fn g4_a_closing_that_is_ordered_on_another_receipt_replaces_the_one_on_its_way() {
    let mut world = World::new(1, 1, 1_000, vec![honest()]);
    world.block(&[]);
    world.ether.least_tip = 100 * GWEI;
    let channel = world.channel(0);
    world.close(channel);
    world.block(&[]);
    world.block(&[]);
    world.close_on(channel, world::NEWEST + 2);
    world.run(world.now + 500);
    assert_eq!(world.ether.pool.len(), 1, "it has the same nonce");
    world.ether.least_tip = 1;
    world.block(&[]);
    assert_eq!((closed_on(&world, 0), world.ether.own_mined().count()), (Some(world::NEWEST + 2), 1));
}

#[test]
fn g4_what_was_mined_and_is_ordered_anew_is_made_anew() {
    let mut world = World::new(1, 1, 1_000, vec![honest()]);
    world.block(&[]);
    let channel = world.channel(0);
    world.close(channel);
    while closed_on(&world, 0).is_none() {
        world.block(&[]);
    }
    world.block(&[]);
    // The closing is taken back together with the transaction, and the node has a newer receipt by now.
    let mut random = world.random.clone();
    world.ether.take_back(3, &mut random);
    world.ether.pool.clear();
    world.close_on(channel, world::NEWEST + 2);
    for _ in 0..8 {
        world.block(&[]);
    }
    assert_eq!(closed_on(&world, 0), Some(world::NEWEST + 2));
}

#[test]
fn g4_another_program_on_the_same_account_keeps_nothing_from_being_mined() {
    for_each_seed("g4_another_program", 200, |seed| {
        let mut world = World::new(seed, 2, 1_000, vec![honest()]);
        for _ in 0..4 {
            world.block(&[]);
        }
        let channel = world.channel(0);
        world.block(&[(channel, cheat())]);
        let mut blocks = 1;
        while world.answered_after(channel).is_none() {
            // It spends with some of the blocks, at any fee.
            if world.random.one_in(2) {
                let fee = (1 + u128::from(world.random.below(50))) * GWEI;
                world.spend(fee);
            }
            world.block(&[]);
            blocks += 1;
            assert!(blocks <= 12, "{seed}");
        }
        let tries = world.ether.own_mined().count();
        assert!(tries <= 2, "{tries} transactions for one challenge");
    });
}

#[test]
fn g4_a_fee_that_rises_faster_than_any_chains_is_outbid() {
    for_each_seed("g4_a_fee", 100, |seed| {
        let mut world = World::new(seed, 1, 1_000, vec![honest()]);
        world.ether.balance = 10u128.pow(19);
        for _ in 0..4 {
            world.block(&[]);
        }
        let channel = world.channel(0);
        world.block(&[(channel, cheat())]);
        let mut blocks = 0;
        while world.answered_after(channel).is_none() {
            let rise = if blocks < 3 { 6 } else { 1 };
            world.base_fee = world.base_fee * (1 + rise) + world.base_fee / 8;
            world.base_fee = world.base_fee.min(400 * GWEI);
            world.ether.least_tip = u128::from(world.random.below(4)) * GWEI;
            world.block(&[]);
            blocks += 1;
            assert!(blocks <= 20, "{seed}");
        }
    });
}

#[test]
fn g5_as_soon_as_one_question_in_three_is_answered_truly_the_challenge_is_out_within_8_blocks() {
    for_each_seed("g5_as_soon_as", 600, |seed| {
        let lies = [Lies::Drops, Lies::Hangs, Lies::Garbage, Lies::Anything][seed as usize % 4];
        let faults = Faults { one_in: 3, lies, ..honest() };
        let mut world = World::new(seed, 1 + (seed as usize % 40), 1_000, vec![faults]);
        let blocks = cheated(&mut world, 0).unwrap_or(99);
        let methods = &world.endpoints[0].methods;
        assert!(blocks <= 8, "{lies:?}: {blocks} blocks, {:?}, {methods:?}", world.read_head);
    });
}

#[test]
fn g5_nothing_that_an_endpoint_says_ends_the_guard_or_spends_the_accounts_ether() {
    for_each_seed("g5_nothing", 300, |seed| {
        let faults = Faults { one_in: 20, lies: Lies::Garbage, ..honest() };
        let mut world = World::new(seed, 20, 1_000, vec![faults]);
        for _ in 0..60 {
            world.block(&[]);
        }
        world.endpoints[0].faults.one_in = 1;
        let blocks = cheated(&mut world, 3).unwrap_or(99);
        assert!(blocks <= 8, "{blocks} blocks");
    });
}

#[test]
fn g4_g7_a_crash_between_any_two_steps_loses_no_challenge_and_makes_none_twice() {
    for_each_seed("g4_g7_a_crash", 400, |seed| {
        let mut world = World::new(seed, 2, 1_000, vec![honest()]);
        for _ in 0..4 {
            world.block(&[]);
        }
        let channel = world.channel(0);
        world.dies_in = Some(seed % 60);
        world.block(&[(channel, cheat())]);
        let mut blocks = 1;
        while world.answered_after(channel).is_none() {
            if world.random.one_in(3) {
                world.dies_in = Some(world.random.below(60));
            }
            world.block(&[]);
            blocks += 1;
            assert!(blocks <= 16, "{blocks} blocks, {} deaths", world.deaths);
        }
        world.dies_in = None;
        for _ in 0..40 {
            world.block(&[]);
        }
        assert!(world.ether.own_mined().filter(|mined| mined.succeeded).count() == 1);
        assert!(world.ether.own_mined().count() <= 2);
        assert!(world.disk.is_empty(), "{:?}", world.disk);
    });
}

#[test]
fn g4_a_reorganisation_takes_no_challenge_away() {
    for_each_seed("g4_a_reorganisation", 400, |seed| {
        let mut world = World::new(seed, 2, 1_000, vec![honest()]);
        for _ in 0..6 {
            world.block(&[]);
        }
        let channel = world.channel(0);
        world.block(&[(channel, cheat())]);
        for _ in 0..4 {
            world.block(&[]);
        }
        // The closing stays, or is mined again; the challenge may be gone.
        let depth = 1 + world.random.below(8) as usize;
        let mut random = world.random.clone();
        world.ether.take_back(depth, &mut random);
        let closing = [(channel, cheat())];
        let is_gone = world.ether.state(&channel).stage() < 3;
        world.block(if is_gone { &closing } else { &[] });
        for _ in 0..10 {
            world.block(&[]);
        }
        assert!(world.answered_after(channel).is_some());
    });
}

#[test]
fn g4_a_disk_that_takes_nothing_keeps_no_challenge_from_being_sent() {
    let mut world = World::new(1, 2, 1_000, vec![honest()]);
    world.block(&[]);
    world.disk_is_full = true;
    let other = world.channel(1);
    world.withdraw(other);
    assert_eq!(cheated(&mut world, 0), Some(1));
    assert_eq!(world.ether.own_mined().count(), 1, "what can wait is not sent");
}

#[test]
fn g4_a_disk_that_fills_up_behind_a_closing_keeps_no_challenge_from_being_sent() {
    let mut world = World::new(1, 2, 1_000, vec![honest()]);
    world.block(&[]);
    world.ether.least_tip = 1_000 * GWEI;
    let [cheated, other] = [0, 1].map(|index| world.channel(index));
    world.close(other);
    world.block(&[]);
    assert_eq!(world.ether.pool.len(), 1, "the closing waits");
    // The challenge takes its nonce, and it can't be written under another.
    world.disk_is_full = true;
    world.block(&[(cheated, cheat())]);
    world.ether.least_tip = 1;
    world.block(&[]);
    assert_eq!(world.answered_after(cheated), Some(1));
}

#[test]
fn g4_a_refusal_for_good_is_told_and_holds_no_nonce() {
    let mut world = World::new(1, 2, 1_000, vec![honest()]);
    world.block(&[]);
    world.endpoints[0].faults.refuses_sending = true;
    let other = world.channel(1);
    world.open(other);
    world.block(&[]);
    let told = world.reports.iter().any(|report| {
        matches!(report, thunder_guard::Report::Outcome(thunder_guard::transactions::CallOutcome::Failed { error, .. })
            if format!("{error:?}").contains("not from you"))
    });
    assert!(told, "{:?}", world.reports);
    assert!(world.disk.is_empty());
    world.endpoints[0].faults.refuses_sending = false;
    assert_eq!(cheated(&mut world, 0), Some(1));
}

#[test]
fn g4_several_cheats_at_once_are_all_answered() {
    for_each_seed("g4_several_cheats", 20, |seed| {
        let mut world = World::new(seed, 40, 1_000, vec![honest()]);
        for _ in 0..4 {
            world.block(&[]);
        }
        let all: Vec<_> = (0..40).map(|index| (world.channel(index), cheat())).collect();
        world.block(&all);
        for _ in 0..4 {
            world.block(&[]);
        }
        for (channel, _) in all {
            assert!(world.answered_after(channel).is_some(), "{channel}");
        }
        assert_eq!(world.ether.own_mined().count(), 40);
    });
}

#[test]
fn g7_a_challenge_that_is_not_mined_is_an_alarm_after_three_blocks() {
    let mut world = World::new(1, 1, 1_000, vec![Faults { refuses_sending: true, ..honest() }]);
    assert_eq!(cheated(&mut world, 0), None);
    let late: Vec<_> = world
        .reports
        .iter()
        .filter_map(|report| match report {
            thunder_guard::Report::Late { blocks, tried, .. } => Some((*blocks, tried.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(late[0].0, 3);
    assert!(late[0].1.contains("not from you"), "{late:?}");
    assert!(late.len() <= 4, "{late:?}");
}

#[test]
fn g8_what_is_fresh_follows_the_time_between_blocks() {
    for (block_time, longest) in [(2_000, 17_000), (12_000, 97_000)] {
        let mut world = World::new(1, 2, block_time, vec![honest()]);
        for _ in 0..70 {
            world.block(&[]);
        }
        assert!(world.is_fresh);
        world.endpoints[0].faults.one_in = NEVER;
        let silent_since = world.now;
        while world.is_fresh {
            world.run(world.now + 500);
        }
        assert!(world.now - silent_since <= longest, "{} ms", world.now - silent_since);
    }
}

#[test]
fn rpc_calls_per_block_stay_few() {
    for (count, most) in [(1, 7.0), (1_000, 7.3), (100_000, 40.3)] {
        let mut world = World::new(1, count, 12_000, vec![honest()]);
        for _ in 0..8 {
            world.block(&[]);
        }
        let before = world.endpoints[0].asked;
        let blocks = 20;
        for _ in 0..blocks {
            world.block(&[]);
        }
        // Polls for a new block come with time, not with blocks.
        let polls = 6.0;
        let per_block = (world.endpoints[0].asked - before) as f64 / blocks as f64 - polls;
        println!(
            "{count} channels: {per_block} calls a block besides polls, {:?}",
            world.endpoints[0].methods
        );
        assert!(per_block <= most, "{count} channels: {per_block}");
    }
}
