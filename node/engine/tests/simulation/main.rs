//! Seeded runs of many nodes with the shipped engine: random users, a network that delays, reorders and breaks, disks
//! that fill up, deaths between any two steps, restored backups, cheats, and a chain that is slow, silent and takes
//! blocks back. Then everything is well again, and everybody honest has what is theirs.
//!
//! `THUNDER_RUNS=<n>` asks for more runs; a run that fails prints the command that repeats it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod chain;
mod disk;
mod node;
mod random;
mod users;
mod world;

use std::collections::BTreeMap;

use random::{Random, for_each_seed};
use thunder_model::contract::{Contract, Phase};
use thunder_protocol::channel::{Direction, PaymentStatus};
use thunder_protocol::{Address, Role};
use world::{Fault, World};

/// How many random steps a run has.
const STEPS: u64 = 400;
/// How often users try to get their money out: a challenge period, and the time to get there.
const ROUNDS: u64 = 16;

/// What may happen in a run.
#[derive(Debug, Clone, Copy)]
struct Plan {
    nodes: u8,
    has_cheat: bool,
    has_backups: bool,
    fault: Option<Fault>,
}

/// One random step.
fn step(world: &mut World, plan: Plan) {
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
        97 if plan.has_cheat && node == 0 && world.random.one_in(4) => {
            world.nodes[node].is_cheat = true;
            world.cheat(node);
        }
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

fn run(seed: u64, plan: Plan) -> World {
    let mut world = World::new(seed, plan.nodes, plan.fault);
    world.chain.congestion = 1 + world.random.below(3);
    for node in 0..world.nodes.len() {
        reconnect(&mut world, node);
    }
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
        step(&mut world, plan);
        // Nobody is away for so long that a cheat gets through.
        if at % 40 == 39 {
            for node in 0..world.nodes.len() {
                if !world.nodes[node].is_alive() {
                    world.start(node);
                }
                world.read_chain(node);
            }
        }
    }
    heal(&mut world);
    for _ in 0..ROUNDS {
        for node in world.honest() {
            world.wind_up(node);
        }
        quiet(&mut world, 3);
    }
    check_replies(&world);
    world
}

/// Every user who waits at a node that lives gets a reply.
fn check_replies(world: &World) {
    for (number, node) in world.nodes.iter().enumerate() {
        let payments: Vec<_> =
            node.waiting.values().filter(|waiting| matches!(waiting, node::Waiting::Pay(_))).collect();
        assert!(payments.is_empty(), "node {number} leaves payments without a reply: {payments:?}");
    }
}

/// What went over a channel, as a node's history has it.
#[derive(Default)]
struct History {
    paid: u128,
    received: u128,
}

fn history(world: &World, node: usize, channel: &Address) -> History {
    let it = &world.nodes[node];
    let content = it.disk.content();
    let entry = it.engine.as_ref().unwrap().channels().get(channel);
    let mut history = History::default();
    let Some(entry) = entry else { return history };
    for stored in content.payments(entry.row) {
        let counts = stored.nonce.is_some_and(|nonce| entry.channel.status_of(nonce) == PaymentStatus::Done);
        match stored.direction {
            Direction::Out if counts => history.paid += stored.payment.amount.base_units(),
            Direction::In if counts => history.received += stored.payment.amount.base_units(),
            Direction::Out | Direction::In => {}
        }
    }
    history
}

/// What users were told was paid to this node over a channel.
fn confirmed_to(world: &World, payer: usize, channel: &Address) -> u128 {
    let confirmed =
        world.orders.iter().filter(|((by, _), order)| *by == payer && order.paid_over == Some(*channel));
    confirmed.map(|(_, order)| order.amount.base_units()).sum()
}

/// Everybody honest has what is theirs. Returns how much was paid.
fn check(world: &World) -> u128 {
    let contracts: BTreeMap<_, _> = world.chain.contracts().clone();
    let mut volume = 0;
    for (address, contract) in &contracts {
        let Some((paid_a, paid_b)) = contract.paid else {
            assert!(
                matches!(contract.phase, Phase::Missing | Phase::Empty)
                    || !is_known_to_honest(world, address),
                "progress: channel {address} is {:?} for ever",
                contract.phase
            );
            continue;
        };
        let (deposit_a, deposit_b) = contract.deposits();
        assert_eq!(paid_a + paid_b, deposit_a + deposit_b, "no minting");
        let [a, b] = parties(world, address);
        for (role, own, other) in [(Role::A, a, b), (Role::B, b, a)] {
            let (paid_out, deposit) = if role == Role::A { (paid_a, deposit_a) } else { (paid_b, deposit_b) };
            volume += check_party(world, address, contract, (own, other), (paid_out, deposit));
        }
    }
    volume
}

/// Whether a party that is no cheat knows of a channel. One with a backup from before the opening does not, and a
/// cheat is not made to close.
fn is_known_to_honest(world: &World, channel: &Address) -> bool {
    parties(world, channel).into_iter().map(|party| &world.nodes[party]).any(|node| {
        !node.is_cheat && node.engine.as_ref().is_some_and(|engine| engine.channels().get(channel).is_some())
    })
}

/// The nodes whose wallets are the parties.
fn parties(world: &World, channel: &Address) -> [usize; 2] {
    let terms = world.nodes.iter().find_map(|node| {
        let engine = node.engine.as_ref()?;
        Some(engine.channels().get(channel)?.terms().clone())
    });
    let terms = terms.expect("a party knows its channel");
    [world.node_of(&terms.part_a), world.node_of(&terms.part_b)]
}

fn check_party(
    world: &World,
    address: &Address,
    contract: &Contract,
    (own, other): (usize, usize),
    (paid_out, deposit): (u128, u128),
) -> u128 {
    let node = &world.nodes[own];
    if node.is_cheat || node.was_restored {
        return 0;
    }
    let history = history(world, own, address);
    let owed = (deposit + history.received).checked_sub(history.paid).expect("no debt");
    let is_partner_sound = !world.nodes[other].is_cheat && !world.nodes[other].was_restored;
    assert!(
        paid_out >= owed,
        "no loss: node {own} was paid {paid_out} of channel {address} ({contract:?}) and is owed {owed}"
    );
    if is_partner_sound {
        assert_eq!(paid_out, owed, "node {own} was paid otherwise than its history says");
    }
    if !world.nodes[other].is_cheat {
        let confirmed = confirmed_to(world, other, address);
        assert!(history.received >= confirmed, "a confirmed payment to node {own} does not count");
    }
    history.received
}

/// Runs many seeds, and makes sure that something happened in them.
fn runs(test: &'static str, count: u64, plan: impl Fn(&mut Random) -> Plan + std::panic::RefUnwindSafe) {
    let (volume, deaths) = (std::sync::atomic::AtomicU64::new(0), std::sync::atomic::AtomicU64::new(0));
    for_each_seed(test, count, |seed| {
        let plan = plan(&mut Random::new(seed ^ 0x5eed));
        let world = run(seed, plan);
        let paid = check(&world) / 10_000_000_000_000_000;
        volume.fetch_add(u64::try_from(paid).unwrap(), std::sync::atomic::Ordering::Relaxed);
        deaths.fetch_add(world.deaths, std::sync::atomic::Ordering::Relaxed);
    });
    let (volume, deaths) = (volume.into_inner(), deaths.into_inner());
    println!("{test}: {volume} hundredths of a THD paid, {deaths} deaths");
    assert!(volume > 0 && deaths > 0, "nothing happened");
}

fn some(random: &mut Random) -> u8 {
    u8::try_from(2 + random.below(3)).unwrap()
}

#[test]
fn whatever_fails_everybody_is_paid_what_the_payments_say() {
    runs("whatever_fails", 500, |random| Plan {
        nodes: some(random),
        has_cheat: false,
        has_backups: false,
        fault: None,
    });
}

#[test]
fn whatever_a_cheat_closes_on_everybody_honest_gets_their_due() {
    runs("whatever_a_cheat", 500, |random| Plan {
        nodes: some(random),
        has_cheat: true,
        has_backups: false,
        fault: None,
    });
}

#[test]
fn rule_9_a_restored_backup_costs_nobody_else_anything() {
    runs("rule_9", 500, |random| Plan {
        nodes: some(random),
        has_cheat: false,
        has_backups: true,
        fault: None,
    });
}

#[test]
fn twenty_nodes_are_as_safe_as_two() {
    runs("twenty_nodes", 4, |_| Plan { nodes: 20, has_cheat: true, has_backups: true, fault: None });
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
        let is_found = |seed: u64| std::panic::catch_unwind(|| check(&run(seed, plan))).is_err();
        let found = (1..=300).find(|seed| is_found(*seed));
        println!("{fault:?}: seed {found:?}");
        assert!(found.is_some(), "{fault:?} is not found");
    }
}
