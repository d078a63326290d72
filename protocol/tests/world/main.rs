//! Seeded runs of two whole nodes' logic in a world with virtual time: disks that lose what was not
//! committed, a network that delays, repeats, reorders and breaks, a chain with reorganisations,
//! silent RPC and dear fees. Random commands on both sides; then everything is well again, and
//! everybody honest is paid what it is owed.
//!
//! A run that fails prints the command that repeats it; `THUNDER_RUNS=<n>` asks for more runs,
//! `THUNDER_TRACE=1` for what happens in them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
mod ether;
mod network;
mod node;
mod random;
mod world;

use random::{Random, for_each_seed};
use thunder_protocol::channel::{CommandError, CommandOutcome, Direction};
use thunder_protocol::onchain::{Call, CallKind, ClosePlan, OnChain};
use thunder_protocol::{Amount, Balances, Role};
use world::World;

/// How many random steps a run has.
const STEPS: u64 = 250;
/// How many rounds everything well takes at the most: a challenge period, and the time to get there.
const ROUNDS: u64 = 12;

fn sum(payments: &std::collections::BTreeMap<thunder_protocol::PaymentId, Amount>) -> Amount {
    Amount::checked_sum(payments.values().copied()).expect("fits")
}

/// Gets the money out, as both users would.
fn wind_up(world: &mut World, roles: &[Role]) -> Balances {
    for _ in 0..ROUNDS {
        for role in roles {
            world.wind_up(*role);
        }
        world.quiet(4);
        if world.ether.paid_out().is_some() {
            break;
        }
    }
    world.quiet(4);
    world.ether.paid_out().expect("progress: the money is out")
}

#[test]
fn whatever_fails_everybody_honest_is_paid_what_the_payments_say() {
    for_each_seed("whatever_fails", 400, |seed| {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.heal();
        world.quiet(6);
        if world.ether.status() == OnChain::Missing {
            return; // it was never opened, and nobody has paid in
        }
        let paid_out = wind_up(&mut world, &[Role::A, Role::B]);
        assert_eq!(paid_out.sum(), world.ether.paid_in().sum(), "no minting");
        for role in [Role::A, Role::B] {
            assert_eq!(world.node(role).misbehaviour, None, "an honest side was taken for a cheat by {role}");
            let (out, back) = (world.applied(role, Direction::Out), world.applied(role, Direction::In));
            assert_eq!(out, world.applied(role.other(), Direction::In), "agreement on what {role} paid");
            let owed = world.ether.paid_in().of(role).checked_add(sum(&back)).unwrap().checked_sub(sum(&out));
            assert_eq!(Some(paid_out.of(role)), owed, "{role} was paid otherwise than its history says");
        }
        check_answers(&mut world);
    });
}

/// Whether the caller was told that the outcome is not known.
fn is_open(answer: &Result<CommandOutcome, CommandError>) -> bool {
    matches!(
        answer,
        Err(CommandError::Undecided
            | CommandError::Unanswered
            | CommandError::QueueFull
            | CommandError::IdInUse { .. })
    )
}

/// What callers were told is so: a payment that was confirmed is there, and stays confirmed to
/// whoever repeats it; one that was refused for good is not there.
fn check_answers(world: &mut World) {
    for (role, id, answers) in world.answers() {
        let applied = world.applied(role, Direction::Out).contains_key(&id);
        let mut confirmed = false;
        for answer in answers.iter().flatten() {
            assert!(
                !confirmed || answer.is_ok() || is_open(answer),
                "{id} was confirmed, and then {answer:?}"
            );
            confirmed |= answer.is_ok();
        }
        assert!(!confirmed || applied, "{id} was confirmed and does not count");
        if let Some(Some(answer)) = answers.last() {
            let open = answer.is_ok() || is_open(answer);
            assert!(open || !applied, "{id} counts, and its caller was told: {answer:?}");
        }
    }
}

/// The other side posts whatever it was ever given, invents proposals, and falls silent.
#[test]
fn whatever_a_cheat_posts_the_honest_side_gets_its_due() {
    for_each_seed("whatever_a_cheat", 400, |seed| {
        let mut world = World::new(seed);
        let cheat = world.random.role();
        let honest = cheat.other();
        let mut lies = Random::new(seed ^ 0x5eed);
        let begins = 40 + lies.below(150);
        for step in 0..STEPS {
            if step >= begins {
                world.cheat = Some(cheat);
                if lies.one_in(5) {
                    let call = lie(&mut world, cheat, &mut lies);
                    world.ether.submit(cheat, call, &mut lies);
                }
            }
            world.step();
        }
        world.cheat = Some(cheat);
        world.heal();
        world.quiet(6);
        if !matches!(
            world.ether.status(),
            OnChain::Active { .. } | OnChain::Closing(_) | OnChain::Closed { .. }
        ) {
            return;
        }
        let paid_out = wind_up(&mut world, &[honest]);
        let channel = world.node(honest).channel();
        let due = match channel.receipts() {
            None => world.ether.paid_in().of(honest),
            Some(receipts) => {
                let agreed = receipts.agreed.balances().of(honest);
                let proposed = receipts.proposal.as_ref().map_or(agreed, |own| own.balances.of(honest));
                agreed.min(proposed)
            }
        };
        assert!(
            paid_out.of(honest) >= due,
            "no loss: {honest} was paid {} and is owed {due}",
            paid_out.of(honest)
        );
    });
}

/// Something that a cheat may post.
fn lie(world: &mut World, cheat: Role, lies: &mut Random) -> Call {
    let known: Vec<_> = world.node(cheat).evidence.iter().map(|known| known.0).collect();
    let Some(evidence) = known.get(lies.below(known.len().max(1) as u64) as usize).copied() else {
        return Call::Withdraw;
    };
    match lies.below(5) {
        0 | 1 => Call::Close(ClosePlan::Receipt(evidence)),
        2 => {
            let mut proposed = evidence.receipt.balances;
            let gift = common::thd(lies.below(5));
            proposed = proposed.pay(cheat, gift).unwrap_or(proposed);
            let nonce = evidence.receipt.nonce.next_of(cheat).unwrap_or(evidence.receipt.nonce);
            Call::Close(ClosePlan::Proposal { base: evidence, nonce, proposed })
        }
        3 => Call::Challenge(evidence),
        _ => Call::Withdraw,
    }
}

/// The runs above would prove nothing if nothing happened in them.
#[test]
fn the_runs_go_everywhere() {
    let (mut ends, mut payments) = (std::collections::BTreeSet::new(), 0);
    for seed in 1..=100 {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.heal();
        world.quiet(6);
        if world.ether.status() != OnChain::Missing {
            wind_up(&mut world, &[Role::A, Role::B]);
        }
        if let OnChain::Closed { end, .. } = world.ether.status() {
            ends.insert(format!("{:?}", end.kind));
        }
        payments +=
            world.applied(Role::A, Direction::Out).len() + world.applied(Role::B, Direction::Out).len();
        assert!(!world.ether.has_pending(Role::A, CallKind::Close), "nothing is left in the pool");
    }
    assert!(ends.is_superset(&["Cancelled", "Final", "Withdrawn"].map(String::from).into()), "{ends:?}");
    assert!(payments > 200, "{payments} payments");
}
