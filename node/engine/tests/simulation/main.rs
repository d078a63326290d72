//! Seeded runs of many nodes with the shipped engine: random users, a network that delays, reorders and breaks, disks
//! that fill up, deaths between any two steps, restored backups, cheats, and a chain that is slow, silent and takes
//! blocks back. Then everything is well again, and everybody honest has what is theirs.
//!
//! `THUNDER_RUNS=<n>` asks for more runs, `THUNDER_TRACE=1` for what happens in them; a run that fails prints the
//! command that repeats it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod check;
mod disk;
mod network;
mod node;
mod users;
mod world;

use std::sync::Mutex;

use thunder_protocol::onchain::EndKind;
use thunder_testing::{Random, for_each_seed};
use world::{Fault, World};

/// How many random steps a run has.
const STEPS: u64 = 400;
/// How often users try to get their money out: a challenge period, and the time to get there.
const ROUNDS: u64 = 24;
/// The longest that a transaction waits for cheaper fees, in blocks.
const MAX_CONGESTION: u64 = 8;

/// What may happen in a run.
#[derive(Debug, Clone, Copy)]
struct Plan {
    nodes: u8,
    has_cheat: bool,
    has_backups: bool,
    fault: Option<Fault>,
}

/// One random step.
fn step(world: &mut World) {
    let node = world.random.index(world.nodes.len());
    match world.random.below(100) {
        0..=24 => world.user(node),
        25..=69 => world.deliver(),
        70..=74 => world.flush(node),
        75..=84 => world.read_chain(node),
        85..=88 => world.mine(),
        89 if world.random.one_in(8) => world.reorganise(),
        90 => {
            let other = world.random.index(world.nodes.len());
            world.disconnect(node, other);
        }
        91 | 92 => reconnect(world, node),
        93 if world.random.one_in(3) => world.kill(node),
        94 | 95 if !world.nodes[node].is_alive() => world.start(node),
        96 if world.random.one_in(8) => {
            let is_full = !world.nodes[node].disk.is_full();
            world.nodes[node].disk.set_full(is_full);
        }
        97 if world.random.one_in(4) => world.silence(node),
        98 if world.random.one_in(4) => world.chain.congestion = 1 + world.random.below(MAX_CONGESTION),
        _ => {
            let millis = 1 + world.random.below(1500);
            world.pass_time(millis);
        }
    }
}

/// A node dials another.
fn reconnect(world: &mut World, node: usize) {
    let other = world.random.index(world.nodes.len());
    let peer = world.nodes[other].peer_id.clone();
    world.connect(node, &peer, None);
}

/// Everything is well for a while: nobody dies, everything arrives, the chain goes on and is read.
fn quiet(world: &mut World, rounds: u64) {
    for _ in 0..rounds {
        for node in 0..world.nodes.len() {
            for other in 0..node {
                let peer = world.nodes[other].peer_id.clone();
                world.connect(node, &peer, None);
            }
        }
        world.pass_time(2000);
        world.deliver_all();
        world.mine();
        for node in 0..world.nodes.len() {
            world.read_chain(node);
        }
        world.deliver_all();
    }
}

/// Every node starts anew with an empty disk's room, and is connected.
fn heal(world: &mut World) {
    world.is_well = true;
    world.chain.congestion = 1;
    for node in 0..world.nodes.len() {
        world.nodes[node].is_silent = false;
        world.flush(node);
        world.nodes[node].disk.sync();
        let was_full = world.nodes[node].disk.is_full();
        world.nodes[node].disk.set_full(false);
        // A frozen channel takes a new start.
        let has_frozen =
            world.nodes[node].engine.as_ref().is_some_and(|engine| engine.channels().any_frozen());
        if world.nodes[node].is_alive() && (was_full || has_frozen) {
            world.kill(node);
        }
        if !world.nodes[node].is_alive() {
            world.start(node);
        }
    }
    // Peers that could not be reached are banned or waited for, for a minute at most.
    world.pass_time(120_000);
    quiet(world, 6);
}

/// Every node opens a channel, and nothing goes wrong until the channels are in use.
fn open_channels(world: &mut World) {
    world.is_well = true;
    quiet(world, 1);
    (0..world.nodes.len()).for_each(|node| world.open_channel(node));
    quiet(world, 2);
    (0..world.nodes.len()).for_each(|node| world.fund_channels(node));
    quiet(world, 3);
    world.is_well = false;
}

fn run(seed: u64, plan: Plan) -> World {
    let mut world = World::new(seed, plan.nodes, plan.fault);
    if world.random.one_in(2) {
        open_channels(&mut world);
    }
    world.chain.congestion = 1 + world.random.below(3);
    for node in 0..world.nodes.len() {
        reconnect(&mut world, node);
    }
    let cheats_at = 80 + world.random.below(250);
    let (backup_at, restore_at) = (80 + world.random.below(150), 250 + world.random.below(120));
    let restored = world.nodes.len() - 1;
    let mut backup = None;
    for at in 0..STEPS {
        if plan.has_backups && at == backup_at {
            backup = Some(world.nodes[restored].disk.content());
        }
        if plan.has_backups && at == restore_at {
            world.kill(restored);
            world.nodes[restored].disk.replace(backup.take().unwrap());
            world.nodes[restored].disk.mark_all_lost();
            world.nodes[restored].was_restored = true;
        }
        if plan.has_cheat && at == cheats_at {
            world.begin_to_cheat(0);
        }
        if world.nodes[0].is_cheat && world.random.one_in(10) {
            world.cheat(0);
        }
        step(&mut world);
        // Nobody is away for so long that a cheat gets through.
        if at % 40 == 39 {
            for node in 0..world.nodes.len() {
                world.nodes[node].is_silent = false;
                if !world.nodes[node].is_alive() {
                    world.start(node);
                }
                world.read_chain(node);
            }
        }
    }
    heal(&mut world);
    check::agreement(&world);
    check::events(&world);
    for _ in 0..ROUNDS {
        for node in world.honest() {
            world.wind_up(node);
        }
        quiet(&mut world, 3);
        if check::is_over(&world) {
            break;
        }
    }
    check::replies(&world);
    check::events(&world);
    world
}

/// Runs many seeds, and makes sure that something happened in them, and that channels ended in each of these ways.
fn runs(
    test: &'static str,
    count: u64,
    ends: &[EndKind],
    plan: impl Fn(&mut Random) -> Plan + std::panic::RefUnwindSafe,
) {
    let happened = Mutex::new((0, 0, Vec::new()));
    for_each_seed(&format!("thunder-engine --test simulation {test}"), count, |seed| {
        let world = run(seed, plan(&mut Random::new(seed ^ 0x5eed)));
        let paid = check::check(&world) / 10_000_000_000_000_000;
        let mut happened = happened.lock().unwrap();
        let (volume, deaths, kinds) = &mut *happened;
        *volume += paid;
        *deaths += world.deaths;
        kinds.extend(check::ends(&world));
    });
    let (volume, deaths, kinds) = happened.into_inner().unwrap();
    let count = |kind: &EndKind| kinds.iter().filter(|other| *other == kind).count();
    let counted: Vec<_> = ends.iter().map(|kind| (*kind, count(kind))).collect();
    println!("{test}: {volume} hundredths of a THD paid, {deaths} deaths, {counted:?}");
    let is_enough = volume > 0 && deaths > 0 && counted.iter().all(|(_, count)| *count > 0);
    assert!(is_enough || std::env::var_os("THUNDER_SEED").is_some(), "too little happened");
}

fn some(random: &mut Random) -> u8 {
    u8::try_from(2 + random.below(3)).unwrap()
}

#[test]
fn whatever_fails_everybody_is_paid_what_the_payments_say() {
    runs("whatever_fails", 500, &[EndKind::Cancelled, EndKind::Final, EndKind::Withdrawn], |random| Plan {
        nodes: some(random),
        has_cheat: false,
        has_backups: false,
        fault: None,
    });
}

#[test]
fn whatever_a_cheat_closes_on_everybody_honest_gets_their_due() {
    runs("whatever_a_cheat", 500, &[EndKind::Challenged, EndKind::Withdrawn], |random| Plan {
        nodes: some(random),
        has_cheat: true,
        has_backups: false,
        fault: None,
    });
}

#[test]
fn rule_9_a_restored_backup_costs_nobody_else_anything() {
    runs("rule_9", 500, &[EndKind::Cancelled, EndKind::Final, EndKind::Withdrawn], |random| Plan {
        nodes: some(random),
        has_cheat: false,
        has_backups: true,
        fault: None,
    });
}

#[test]
fn twenty_nodes_are_as_safe_as_two() {
    runs("twenty_nodes", 4, &[EndKind::Withdrawn], |_| Plan {
        nodes: 20,
        has_cheat: true,
        has_backups: true,
        fault: None,
    });
}

#[test]
fn seeded_faults_are_found() {
    for fault in [
        Fault::SendBeforeCommit,
        Fault::BatchInTwoSteps,
        Fault::ReplyLost,
        Fault::SessionsMixedUp,
        Fault::RefusedBatchSent,
    ] {
        let plan = Plan { nodes: 3, has_cheat: false, has_backups: false, fault: Some(fault) };
        let is_found = |seed: u64| std::panic::catch_unwind(|| check::check(&run(seed, plan))).is_err();
        let found = (1..=300).find(|seed| is_found(*seed));
        println!("{fault:?}: seed {found:?}");
        assert!(found.is_some(), "{fault:?} is not found");
    }
}
