//! One of several endpoints lies about the account, about receipts or about closings, so that challenges are too
//! cheap, held back, or too many (guard rules G4 and G6).

use thunder_guard::Report;
use thunder_guard::state::StorageState;
use thunder_guard::transactions::{CallError, CallOutcome};

use super::endpoint::Faults;
use super::world::{NEWEST, World, cheat};
use super::{GWEI, cheated, honest};

const LIARS: [(usize, usize); 4] = [(2, 0), (2, 1), (3, 0), (3, 2)];

fn world(endpoints: usize) -> World {
    let mut world = World::new(1, 2, 12_000, vec![honest(); endpoints]);
    for _ in 0..6 {
        world.block(&[]);
    }
    world
}

fn blocks(world: &mut World, count: u64) {
    (0..count).for_each(|_| world.block(&[]));
}

#[test]
fn g4_a_balance_that_one_says_late_and_too_low_makes_no_challenge_too_cheap() {
    for (count, liar) in LIARS {
        for after in [2_000, 3_000, 6_000] {
            let mut world = world(count);
            let balance = Some((GWEI + 2) * 86_000);
            world.endpoints[liar].faults = Faults { balance, balance_after: Some(after), ..honest() };
            world.ether.least_tip = GWEI / 10;
            let blocks = cheated(&mut world, 0);
            assert!(blocks.is_some_and(|blocks| blocks <= 2), "{count} {liar} {after}: {blocks:?}");
        }
    }
}

#[test]
fn g6_receipts_of_one_that_say_the_contract_refused_hold_no_challenge_back() {
    for (count, liar) in LIARS {
        for (tip, most) in [(GWEI / 10, 4), (8 * GWEI, 12)] {
            let mut world = world(count);
            world.ether.least_tip = tip;
            let channel = world.channel(0);
            let faults = &mut world.endpoints[liar].faults;
            (faults.count_off, faults.failed_ahead, faults.says) = (1, Some(0), Some("already known"));
            world.block(&[(channel, cheat())]);
            blocks(&mut world, 20);
            let after = world.answered_after(channel);
            assert!(after.is_some_and(|blocks| blocks <= most), "{count} {liar} {tip}: {after:?}");
        }
    }
}

#[test]
fn g4_where_the_count_is_refused_what_others_do_to_a_nonce_keeps_no_challenge_waiting() {
    // Another program uses the challenge's nonce.
    let refusing = || Faults { refuses_count: true, ..honest() };
    let mut world = World::new(1, 2, 12_000, vec![refusing()]);
    blocks(&mut world, 6);
    let (channel, other) = (world.channel(0), world.channel(1));
    world.ether.least_tip = 5 * GWEI;
    world.block(&[(channel, cheat())]);
    world.spend(1_000 * GWEI);
    world.ether.least_tip = 1;
    blocks(&mut world, 12);
    let after = world.answered_after(channel);
    assert!(after.is_some_and(|blocks| blocks <= 8), "another program: {after:?}");
    // An own transaction that has become pointless still waits.
    let mut world = World::new(1, 2, 12_000, vec![refusing()]);
    blocks(&mut world, 6);
    let StorageState::Closing { closer, balances, .. } = cheat() else { unreachable!() };
    let nonce = thunder_protocol::Nonce::new(NEWEST).unwrap();
    world.block(&[(other, StorageState::Closing { closer, nonce, balances, block: 0 })]);
    let block = world.ether.number();
    world.ether.least_tip = 20 * GWEI;
    world.withdraw(other);
    world.block(&[]);
    world.block(&[(other, StorageState::Closed { nonce, balances, block })]);
    blocks(&mut world, 10);
    world.block(&[(channel, cheat())]);
    blocks(&mut world, 20);
    let after = world.answered_after(channel);
    assert!(after.is_some_and(|blocks| blocks <= 8), "a withdrawal that waits: {after:?}");
}

#[test]
fn g4_where_the_count_is_refused_a_challenge_that_is_taken_back_is_made_again() {
    let mut world = World::new(1, 1, 12_000, vec![Faults { refuses_count: true, ..honest() }]);
    let first = cheated(&mut world, 0);
    assert!(first.is_some_and(|blocks| blocks <= 2), "{first:?}");
    let channel = world.channel(0);
    blocks(&mut world, 1);
    // The chain goes back to the block of the closing, and has lost the challenge.
    while world.ether.state(&channel).stage() > 3 {
        let mut random = world.random.clone();
        world.ether.take_back(1, &mut random);
    }
    world.ether.pool.clear();
    world.ether.least_tip = 5 * GWEI;
    blocks(&mut world, 16);
    let again = world.answered_after(channel);
    assert!(again.is_some_and(|blocks| blocks <= 16), "{again:?}");
}

#[test]
fn g6_a_new_invented_closing_with_each_block_costs_little_ether() {
    for (count, liar) in LIARS {
        for ahead in [0, 3] {
            let mut world = world(count);
            world.ether.balance = 100 * 10u128.pow(18);
            let channel = world.channel(0);
            let faults = &mut world.endpoints[liar].faults;
            faults.invents.insert(channel);
            (faults.fresh_closing, faults.states_off) = (Some(ahead), ahead);
            blocks(&mut world, 60);
            let wei = world.spent();
            assert!(wei <= 20 * 10u128.pow(15), "{count} {liar} {ahead}: {wei} wei");
        }
    }
}

#[test]
fn g6_a_true_closing_in_the_block_of_a_refused_challenge_is_challenged() {
    for (count, liar) in LIARS {
        let mut world = world(count);
        let channel = world.channel(0);
        let at = world.ether.number();
        let faults = &mut world.endpoints[liar].faults;
        faults.invents.insert(channel);
        faults.invented_at = Some(at);
        blocks(&mut world, 3);
        while world.ether.pool.is_empty() {
            world.block(&[]);
            assert!(world.ether.number() < at + 24, "no challenge is made again");
        }
        // The block has the refused challenge, and the closing after it.
        world.block(&[]);
        let number = world.ether.number();
        let StorageState::Closing { closer, nonce, balances, .. } = cheat() else { unreachable!() };
        let closing = StorageState::Closing { closer, nonce, balances, block: number };
        world.ether.blocks.last_mut().unwrap().states.insert(channel, closing);
        world.ether.least_tip = 4 * GWEI;
        blocks(&mut world, 20);
        let after = world.answered_after(channel);
        assert!(after.is_some_and(|blocks| blocks <= 12), "{count} {liar}: {after:?}");
    }
}

#[test]
fn g6_a_read_that_is_refused_once_ends_no_contradiction() {
    for liar in [0, 1] {
        let mut world = world(2);
        world.endpoints[liar].faults.runs_no_code = true;
        let channel = world.channel(0);
        blocks(&mut world, 4);
        world.endpoints[liar].faults.stale_states = Some(world.ether.number());
        let StorageState::Closing { closer, balances, .. } = cheat() else { unreachable!() };
        let nonce = thunder_protocol::Nonce::new(NEWEST).unwrap();
        world.block(&[(channel, StorageState::Closing { closer, nonce, balances, block: 0 })]);
        blocks(&mut world, 6);
        assert!(world.unreadable.contains(&channel));
        world.endpoints[liar].faults.refuses_storage = true;
        world.block(&[]);
        world.endpoints[liar].faults.refuses_storage = false;
        blocks(&mut world, 8);
        assert!(world.unreadable.contains(&channel), "{liar}: they still contradict each other");
    }
}

#[test]
fn g6_what_one_of_several_can_not_read_is_read_at_the_others() {
    for (count, liar) in LIARS {
        let mut world = world(count);
        world.endpoints[liar].faults.runs_no_code = true;
        world.endpoints[liar].faults.refuses_storage = true;
        for _ in 0..30 {
            world.block(&[]);
            assert!(world.unreadable.is_empty(), "{count} {liar}");
        }
        let errors = world.reports.iter().filter(|report| matches!(report, Report::Unreadable { .. }));
        assert_eq!(errors.count(), 0, "{count} {liar}");
        assert!(world.is_fresh);
        let after = cheated(&mut world, 0);
        assert!(after.is_some_and(|blocks| blocks <= 2), "{count} {liar}: {after:?}");
    }
}

#[test]
fn g4_a_challenge_that_was_refused_once_is_refused_once() {
    for count in [1, 2] {
        let mut world = world(count);
        let channel = world.channel(0);
        // As after a closing that the chain has taken back.
        world.challenge(channel);
        blocks(&mut world, 4);
        world.ether.least_tip = 20 * GWEI;
        world.block(&[(channel, cheat())]);
        blocks(&mut world, 12);
        assert!(world.answered_after(channel).is_some_and(|blocks| blocks <= 8));
        let refused = world.reports.iter().filter(|report| {
            matches!(
                report,
                Report::Outcome(CallOutcome::Failed { error: CallError::MinedAndReverted(_), .. })
            )
        });
        assert_eq!(refused.count(), 1, "its receipt puts no newer attempt back");
    }
}
