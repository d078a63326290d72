//! More to be sent than fits into a mempool, or into what an endpoint is asked at a time (guard rules G3, G4 and G6).

use super::endpoint::Faults;
use super::ether::ACCOUNT_SLOTS;
use super::world::{World, cheat};
use super::{GWEI, honest};

/// More channels than a mempool takes challenges of one account in 7 blocks, if it takes half as many at once as usual.
const CROWD: usize = 60;
const FEW_SLOTS: u64 = ACCOUNT_SLOTS / 2;

/// A world at rest in which one endpoint then invents a closing of each channel but the first, which holds the most.
fn invented(channels: usize, endpoints: usize, liar: usize) -> World {
    let mut world = World::new(1, channels, 12_000, vec![honest(); endpoints]);
    world.ether.balance = 100 * 10u128.pow(18);
    world.only_worth = Some(world.channel(0));
    blocks(&mut world, 4);
    let others: Vec<_> = (1..channels).map(|index| world.channel(index)).collect();
    let faults = &mut world.endpoints[liar].faults;
    faults.invents.extend(others);
    faults.invented_at = Some(world.ether.number());
    blocks(&mut world, 2);
    world
}

fn blocks(world: &mut World, count: u64) {
    (0..count).for_each(|_| world.block(&[]));
}

/// The first channel is closed on an old receipt. Returns after how many blocks that is challenged.
fn closes(world: &mut World) -> Option<u64> {
    let channel = world.channel(0);
    world.block(&[(channel, cheat())]);
    for _ in 0..23 {
        if world.answered_after(channel).is_some() {
            break;
        }
        world.block(&[]);
    }
    world.answered_after(channel)
}

fn challenges(world: &World) -> usize {
    world.ether.own_mined().count()
}

#[test]
fn g4_g6_a_true_closing_goes_before_hundreds_that_one_of_several_endpoints_invents() {
    for (endpoints, liar) in [(2, 0), (2, 1), (3, 0), (3, 2)] {
        let mut world = invented(CROWD, endpoints, liar);
        world.ether.account_slots = FEW_SLOTS;
        let after = closes(&mut world);
        println!("{endpoints} endpoints, {liar} lies: {after:?}, {} challenges mined", challenges(&world));
        assert!(after.is_some_and(|blocks| blocks <= 2), "{endpoints} {liar}: {after:?}");
    }
}

#[test]
fn g4_a_single_endpoint_that_invents_hundreds_of_closings_delays_no_true_one_that_holds_more() {
    let mut world = invented(CROWD, 1, 0);
    world.ether.account_slots = FEW_SLOTS;
    let after = closes(&mut world);
    println!("one endpoint: {after:?}, {} challenges mined", challenges(&world));
    assert!(after.is_some_and(|blocks| blocks <= 2), "{after:?}");
}

/// One of two endpoints hides the true closing, which is contested like those that it invents.
#[test]
fn g4_g6_no_contested_closing_waits_for_ever() {
    for fresh_closing in [None, Some(0)] {
        let mut world = invented(61, 2, 1);
        // The channel holds no more than the others, and its closing comes last.
        world.only_worth = Some(world.channel(1));
        let channel = world.channel(0);
        let at = world.ether.number() + 1;
        let faults = &mut world.endpoints[1].faults;
        faults.hides.insert(channel);
        (faults.hides_since, faults.fresh_closing) = (at, fresh_closing);
        let after = closes(&mut world);
        println!("{fresh_closing:?}: {after:?}, {} challenges mined", challenges(&world));
        assert!(after.is_some_and(|blocks| blocks <= 8), "{fresh_closing:?}: {after:?}");
    }
}

/// The same where the liar always counts the same, too few, transactions, so that no refusal is certain; and, in its
/// second form, says that it has each transaction already.
#[test]
fn g4_g6_refusals_that_a_low_count_leaves_open_hold_no_place_for_ever() {
    for says in [None, Some("already known")] {
        for channels in [12, 41] {
            let mut world = invented(channels, 2, 1);
            world.only_worth = Some(world.channel(1));
            let (channel, count) = (world.channel(0), world.ether.newest().count);
            let at = world.ether.number() + 1;
            let faults = &mut world.endpoints[1].faults;
            faults.hides.insert(channel);
            (faults.hides_since, faults.count_at, faults.says) = (at, Some(count), says);
            let after = closes(&mut world);
            println!("{channels} channels, {says:?}: {after:?}, {} challenges mined", challenges(&world));
            assert!(after.is_some_and(|blocks| blocks <= 12), "{channels} {says:?}: {after:?}");
        }
    }
}

/// The same where the liar's blocks come faster than the chain's, and the seconds between them by their timestamps are as
/// few or as many as it likes: that sets the clock of the guard's transactions.
#[test]
fn g4_g6_blocks_that_one_of_two_endpoints_invents_end_no_turn_before_a_block_can_have_taken_the_challenge() {
    // The clock of transactions ticks every 2 s and every 6 s.
    let cases = [(1, 12, 1), (1, 25, 3), (1, 37, 4), (1, 61, 8), (1, 121, 17), (60, 37, 4)];
    for (fast_seconds, channels, most) in cases {
        let mut world = invented(channels, 2, 1);
        world.only_worth = Some(world.channel(1));
        let (channel, count) = (world.channel(0), world.ether.newest().count);
        let at = world.ether.number() + 1;
        let faults = &mut world.endpoints[1].faults;
        faults.hides.insert(channel);
        (faults.hides_since, faults.count_at, faults.says) = (at, Some(count), Some("already known"));
        (faults.fast, faults.fast_seconds) = (true, fast_seconds);
        (faults.states_off, faults.head_off) = (1 << 40, 100);
        let after = closes(&mut world);
        let (mined, wei) = (challenges(&world), world.spent());
        println!("{fast_seconds} s, {channels} channels: {after:?}, {mined} challenges mined, {wei} wei");
        assert!(after.is_some_and(|blocks| blocks <= most), "{fast_seconds} {channels}: {after:?}");
        // A refused challenge costs no more, however often the counts are believed in turn.
        assert!(wei <= mined as u128 * 250 * 10u128.pow(12), "{fast_seconds} {channels}: {wei} wei");
    }
}

/// A true closing of a channel whose challenge was refused often before, with others that were not yet challenged.
#[test]
fn g4_g6_what_was_refused_before_waits_for_no_more_than_one_challenge_of_each_other_channel() {
    let mut world = World::new(1, 61, 12_000, vec![honest(); 2]);
    world.ether.balance = 100 * 10u128.pow(18);
    let channel = world.channel(0);
    world.endpoints[1].faults.invents.insert(channel);
    blocks(&mut world, 30);
    let (others, at): (Vec<_>, _) =
        ((1..61).map(|index| world.channel(index)).collect(), world.ether.number() + 1);
    let faults = &mut world.endpoints[1].faults;
    faults.invents = others.into_iter().collect();
    faults.hides.insert(channel);
    (faults.hides_since, faults.fresh_closing) = (at, Some(0));
    let after = closes(&mut world);
    println!("{after:?}, {} challenges mined", challenges(&world));
    assert!(after.is_some_and(|blocks| blocks <= 10), "{after:?}");
}

#[test]
fn g4_many_true_closings_are_challenged_as_fast_as_mempools_take_it() {
    for (account_slots, most) in [(16, 5), (1_000, 3)] {
        let mut world = World::new(1, 60, 12_000, vec![honest(); 2]);
        world.ether.balance = 100 * 10u128.pow(18);
        world.ether.account_slots = account_slots;
        blocks(&mut world, 4);
        let all: Vec<_> = (0..60).map(|index| (world.channel(index), cheat())).collect();
        world.block(&all);
        let mut passed = 0;
        while all.iter().any(|(channel, _)| world.answered_after(*channel).is_none()) && passed < 24 {
            world.block(&[]);
            passed += 1;
        }
        println!("{account_slots} places: {passed} blocks, {} challenges mined", challenges(&world));
        assert!(passed <= most, "{account_slots}: {passed}");
    }
}

/// An endpoint that takes transactions and does not answer them is asked for everything else as before.
#[test]
fn g1_g3_transactions_that_an_endpoint_does_not_answer_stop_no_reading() {
    for endpoints in [1, 2] {
        // An answer may take as long as a block.
        let mut world = World::new(1, 40, 4_000, vec![honest(); endpoints]);
        world.endpoints[0].faults = Faults { hangs_sends: true, ..honest() };
        blocks(&mut world, 6);
        world.ether.least_tip = 1_000 * GWEI;
        let mut late = 0;
        for first in [1, 13] {
            // Just before a block comes.
            for channel in (first..first + 12).map(|index| world.channel(index)).collect::<Vec<_>>() {
                world.close(channel);
            }
            world.block(&[]);
            late += u64::from(world.read_head != Some(world.ether.number()));
            blocks(&mut world, 3);
        }
        for channel in (25..37).map(|index| world.channel(index)).collect::<Vec<_>>() {
            world.close(channel);
        }
        world.ether.least_tip = 1;
        let after = closes(&mut world);
        println!("{endpoints} endpoints: {late} blocks read late, {after:?}");
        assert_eq!((late, after), (0, Some(1)), "{endpoints}");
    }
}
