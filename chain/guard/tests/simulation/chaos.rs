//! One of several endpoints lies in any way, and in another one now and then (guard rule G6).

use super::endpoint::{Faults, Lies};
use super::random::{Random, for_each_seed};
use super::world::{World, cheat};
use super::{GWEI, honest};

const SAYS: [&str; 6] = [
    "already known",
    "nonce too low",
    "replacement transaction underpriced",
    "insufficient funds",
    "no",
    "txpool is full",
];

/// Adds one lie.
fn lie(faults: &mut Faults, world: &World, hides_since: u64, random: &mut Random) {
    let newest = world.ether.newest();
    let (number, count) = (newest.head.number, newest.count);
    let channel = world.channel(random.below(2) as usize);
    match random.below(25) {
        0 => faults.one_in = 2 + random.below(8),
        1 => (faults.one_in, faults.lies) = (3, *random.among(&[Lies::Garbage, Lies::Hangs])),
        2 => faults.delay = random.below(4_000),
        3 => faults.lag = random.below(40),
        4 => faults.rate = 1 + random.below(20),
        5 => faults.runs_no_code = true,
        6 => faults.refuses_pending = true,
        7 => {
            faults.hides.insert(channel);
            faults.hides_since = hides_since;
        }
        8..=10 => {
            faults.invents.insert(channel);
            faults.fresh_closing = Some(random.below(4)).filter(|_| random.one_in(3));
            faults.invented_at = Some(number - random.below(30)).filter(|_| random.one_in(2));
        }
        11 => faults.count_off = random.below(4),
        12 => faults.count_at = Some(count.saturating_sub(random.below(4))),
        13 => faults.false_receipt = Some(number - 2 + random.below(8)),
        14 => faults.says = Some(*random.among::<&str>(&SAYS)),
        15 => faults.tip = *random.among(&[0, 1, 1_000 * GWEI, u128::MAX]),
        16 => faults.base_fee = Some(*random.among(&[0, 1, 1_000 * GWEI, 1 << 90])),
        17 => faults.balance = Some(*random.among(&[0, 1, 86_000 * 2 * GWEI, u128::MAX])),
        18 => faults.states_at = Some(number - random.below(20)),
        19 => faults.head_off = random.below(60),
        20 => faults.timestamp = Some(*random.among(&[0, 2_000_000, u64::MAX])),
        21 => drop(faults.closed.insert(channel)),
        22 => drop(faults.masks.insert(channel)),
        23 => faults.failed_ahead = Some(random.below(4)),
        _ => (faults.fast, faults.states_off) = (random.one_in(2), *random.among(&[1, 3, 30, 1 << 40])),
    }
}

fn lies(world: &mut World, liar: usize, hides_since: u64) {
    let mut random = world.random.clone();
    let mut faults = honest();
    for _ in 0..1 + random.below(4) {
        lie(&mut faults, world, hides_since, &mut random);
    }
    world.random = random;
    world.endpoints[liar].faults = faults;
}

#[test]
fn g6_whatever_one_of_several_says_a_true_closing_is_challenged() {
    for_each_seed("g6_whatever_one", 24, |seed| {
        let count = 2 + (seed % 2) as usize;
        let block_time = [1_000, 2_000, 12_000][(seed % 3) as usize];
        let mut world = World::new(seed, 2, block_time, vec![honest(); count]);
        world.ether.balance = 10 * 10u128.pow(18);
        let liar = world.random.below(count as u64) as usize;
        let (lies_before, every) = (world.random.one_in(2), 1 + world.random.below(12));
        for _ in 0..6 + world.random.below(30) {
            if lies_before && world.random.one_in(every) {
                lies(&mut world, liar, 0);
            }
            world.block(&[]);
        }
        world.ether.least_tip = *world.random.among(&[1, GWEI, 4 * GWEI, 15 * GWEI]);
        let (channel, at) = (world.channel(0), world.ether.number() + 1);
        let dies = world.random.one_in(3);
        world.block(&[(channel, cheat())]);
        for _ in 0..23 {
            if world.random.one_in(every) {
                lies(&mut world, liar, at);
            }
            if dies && world.random.one_in(6) {
                world.dies_in = Some(world.random.below(60));
            }
            world.block(&[]);
        }
        let after = world.answered_after(channel);
        assert!(after.is_some_and(|blocks| blocks <= 18), "{after:?}: {:?}", world.endpoints[liar].faults);
    });
}
