//! Whether what must hold holds in a world.
//!
//! Most of it is asked of the future: the honest go on from here by themselves, in a fixed way, and what they are
//! paid out in the end is compared with what they are owed now.

use thunder_protocol::channel::{DataLossStep, Direction, PaymentStatus};
use thunder_protocol::{Channel, Nonce, Receipt, Role};

use crate::hostile;
use crate::play::Play;
use crate::scenario::Scenario;
use crate::side::Side;
use crate::world::{Held, World};
use thunder_testing::contract::{Caller, Function, Phase, Shown};
use thunder_testing::crypto::Key;

/// What does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Broken {
    /// A side is paid out less than its share of the newest agreed receipt, less what it has
    /// proposed.
    Loss,
    /// A side that did as the protocol says can be challenged.
    Punished,
    /// The shares are not what was paid in, moved by the payments in the history.
    Minted,
    /// A payment stands twice in the history.
    AppliedTwice,
    /// A user was told "paid" of a payment that is not.
    ToldWrong,
    /// The money doesn't come out, or the two sides talk for ever.
    Stuck,
    /// A side that lost nothing takes itself for lost, and can't close alone.
    Frozen,
    /// Payments wait on one side while those of the other go first again and again.
    Starved,
    /// A side that lost data does not get out although the other is honest and connected.
    NoWayOut,
    /// Two honest sides that are connected don't come to the same receipt and history; or what the
    /// chain paid is not what a history says.
    Disagreement,
    /// An honest side was taken for a cheat.
    HonestAccused,
}

/// Stands for everything that a verdict depends on.
pub(crate) fn key(world: &World) -> u64 {
    use std::hash::Hasher;
    let mut hasher = std::hash::DefaultHasher::new();
    world.hash_for_verdict(&mut hasher);
    hasher.finish()
}

/// The verdict on a world.
pub fn of(world: &World, scenario: &Scenario) -> Option<Broken> {
    let deposits = world.contract.deposits();
    world.honest().find_map(|side| locally(side, deposits, scenario)).or_else(|| match &world.sides {
        [Some(_), Some(_)] => among_honest(world).err(),
        [Some(side), None] | [None, Some(side)] => against_adversary(world, side.role, scenario).err(),
        [None, None] => None,
    })
}

fn locally(side: &Side, deposits: (u128, u128), scenario: &Scenario) -> Option<Broken> {
    if side.disk.has_twice {
        return Some(Broken::AppliedTwice);
    }
    if side.restored.is_some() {
        return None;
    }
    let lost = match &side.channel {
        Channel::DataLoss(_) => true,
        Channel::Closing(state) => state.common.may_be_stale,
        Channel::Opening(_) | Channel::Active(_) | Channel::CooperativeClosing(_) | Channel::Closed(_) => {
            false
        }
    };
    if lost {
        return Some(Broken::Frozen);
    }
    if let Some(receipts) = side.channel.receipts().filter(|receipts| receipts.agreed.nonce() > Nonce::ZERO) {
        let is_in = |nonce: Nonce| nonce <= receipts.agreed.nonce();
        let (got, paid) = (side.sum(Direction::In, is_in), side.sum(Direction::Out, is_in));
        let share = receipts.agreed.balances().of(side.role).base_units();
        if share + paid != of_role(deposits, side.role) + got {
            return Some(Broken::Minted);
        }
    }
    let stands = |id| {
        let nonce = side.disk.find(Direction::Out, id).and_then(|row| row.nonce);
        nonce.is_some_and(|nonce| side.channel.status_of(nonce) != PaymentStatus::Failed)
    };
    if !side.told.iter().all(stands) {
        return Some(Broken::ToldWrong);
    }
    (scenario.honest == [true, true] && side.passed > 2).then_some(Broken::Starved)
}

/// The share of one party.
pub(crate) const fn of_role((a, b): (u128, u128), role: Role) -> u128 {
    match role {
        Role::A => a,
        Role::B => b,
    }
}

// ---- one honest side ------------------------------------------------------------------------------

fn against_adversary(world: &World, honest: Role, scenario: &Scenario) -> Result<(), Broken> {
    let mut play = Play::of(world);
    if play.contract.phase == Phase::Active {
        // The adversary closes first, on whatever it holds.
        for post in hostile::posts(world, honest, scenario) {
            let mut contract = play.contract.clone();
            if contract.mine(Caller::Party(honest.other()), &post, &Key(honest)).is_ok() {
                let mut play = Play { contract, ..play.clone() };
                play.see();
                let owed = owed(&play, honest, &world.held);
                play.import(honest);
                ends(play, honest, owed, &world.held)?;
            }
        }
        // Or this side closes alone.
        play.see();
        if matches!(play.side(honest).channel, Channel::Opening(_)) {
            play.contract.block += scenario.confirmations;
            play.see();
        }
        let owed = owed(&play, honest, &world.held);
        // A lost side must not act alone. If it thinks that it may, what it does has to be sound.
        let may_act =
            matches!(play.side(honest).channel, Channel::Active(_) | Channel::CooperativeClosing(_));
        if play.side(honest).restored.is_some() && !may_act {
            return Ok(());
        }
        play.close(honest);
        return ends(play, honest, owed, &world.held);
    }
    play.see();
    let owed = owed(&play, honest, &world.held);
    if play.contract.phase == Phase::Empty {
        play.close(honest);
    }
    play.import(honest);
    ends(play, honest, owed, &world.held)
}

/// What a side is owed at least. A restored one whose user has the newest record in hand, and gives it
/// to the node before the end, is owed the least of what it has signed since the backup: a lying
/// adversary may choose among that, but never the backup's receipt itself, unless the user orders it.
fn owed(play: &Play, role: Role, held: &[Held]) -> u128 {
    let side = play.side(role);
    if let Some(restored) = &side.restored {
        let share = |receipt: &Receipt| receipt.balances.of(role).base_units();
        let since = held.iter().map(|held| &held.receipt);
        let since = since.filter(|receipt| receipt.nonce > restored.agreed && receipt.nonce < Nonce::FINAL);
        let least = since.map(share).chain(restored.ordered).min();
        return least
            .map_or(share(&restored.newest.receipt), |least| least.min(share(&restored.newest.receipt)));
    }
    // Receipt 0 is what the chain has, also where this side did not see it.
    match side.channel.receipts() {
        Some(receipts) if receipts.agreed.nonce() == Nonce::ZERO => {
            let proposed = receipts.proposal.as_ref().map_or(0, |own| own.total().base_units());
            of_role(play.contract.deposits(), role).saturating_sub(proposed)
        }
        Some(_) | None => side.owed(),
    }
}

/// The money comes out, as much as is owed, whatever the adversary challenges with.
fn ends(mut play: Play, honest: Role, owed: u128, held: &[Held]) -> Result<(), Broken> {
    play.mine_all();
    if play.contract.phase == Phase::Closing(honest) {
        for held in held {
            let challenge = Function::Challenge(Shown::new(&held.receipt, Some(held.signature)));
            let mut contract = play.contract.clone();
            if contract.mine(Caller::Party(honest.other()), &challenge, &Key(honest)).is_ok() {
                return Err(Broken::Punished);
            }
        }
    }
    play.withdraw(honest);
    let paid = play.contract.paid.ok_or(Broken::Stuck)?;
    if of_role(paid, honest) < owed { Err(Broken::Loss) } else { Ok(()) }
}

// ---- two honest sides -----------------------------------------------------------------------------

fn among_honest(world: &World) -> Result<(), Broken> {
    let start = Play::of(world);
    let mut healed = start.clone();
    healed.heal()?;
    let restored = world.honest().find(|side| side.restored.is_some()).map(|side| side.role);
    match restored {
        None => agreement(&healed)?,
        Some(role) => way_out(&healed, role)?,
    }
    for closer in [Role::A, Role::B].into_iter().filter(|role| restored != Some(*role)) {
        // Closing after everything was said, and closing in the middle of it.
        closes(healed.clone(), closer)?;
        closes(start.clone(), closer)?;
    }
    Ok(())
}

fn agreement(healed: &Play) -> Result<(), Broken> {
    let [a, b] = [Role::A, Role::B].map(|role| healed.side(role));
    let (Channel::Active(left), Channel::Active(right)) = (&a.channel, &b.channel) else { return Ok(()) };
    let same = left.common.receipts.agreed.receipt == right.common.receipts.agreed.receipt;
    let quiet = a.channel.pending().is_zero() && b.channel.pending().is_zero();
    let history = applied(a, Direction::Out) == applied(b, Direction::In)
        && applied(b, Direction::Out) == applied(a, Direction::In);
    if same && quiet && history { Ok(()) } else { Err(Broken::Disagreement) }
}

fn applied(side: &Side, direction: Direction) -> Vec<(String, u128)> {
    let done = |nonce: Nonce| side.channel.status_of(nonce) == PaymentStatus::Done;
    let rows = side.disk.rows.iter().filter(|row| row.direction == direction && row.nonce.is_some_and(done));
    let mut rows: Vec<_> =
        rows.map(|row| (row.payment.id.to_string(), row.payment.amount.base_units())).collect();
    rows.sort();
    rows
}

/// A side that lost data and has no proposal of its own out gets its money by a FINAL, without
/// anybody having to close alone: by itself on a receipt that the backup did not know, and else by
/// order of its user.
fn way_out(healed: &Play, restored: Role) -> Result<(), Broken> {
    let side = healed.side(restored);
    let (Channel::DataLoss(lost), Phase::Active, Some(backup)) =
        (&side.channel, healed.contract.phase, &side.restored)
    else {
        return Ok(());
    };
    match lost.step() {
        DataLossStep::Answer => return Ok(()),
        // There is only one, and its user has ordered it, or given what is newer, at the wrong time.
        DataLossStep::Partner if backup.decided() && lost.signed() != Some(lost.newest()) => return Ok(()),
        DataLossStep::User
            if lost.common.receipts.agreed.nonce() <= backup.known
                || lost.common.receipts.imported.is_some() => {}
        DataLossStep::User | DataLossStep::Sync | DataLossStep::Chain | DataLossStep::Partner => {
            return Err(Broken::NoWayOut);
        }
    }
    let mut ordered = healed.clone();
    ordered.order_final(restored)?;
    if ordered.contract.phase == Phase::Active { Err(Broken::NoWayOut) } else { Ok(()) }
}

/// One side closes alone; both are paid what their histories say, and what they are owed.
fn closes(mut play: Play, closer: Role) -> Result<(), Broken> {
    // A side that lost data is owed nothing for certain here, where nobody holds what it has signed.
    let owed = [Role::A, Role::B]
        .map(|role| if play.side(role).restored.is_some() { 0 } else { owed(&play, role, &[]) });
    if play.contract.phase == Phase::Active {
        play.see();
        play.close(closer);
    }
    play.mine_all();
    play.heal()?;
    play.withdraw(closer);
    let paid = play.contract.paid.ok_or(Broken::Stuck)?;
    let restored = [Role::A, Role::B].into_iter().any(|role| play.side(role).restored.is_some());
    for role in [Role::A, Role::B] {
        let side = play.side(role);
        let received = of_role(paid, role);
        if received < owed[role as usize] {
            return Err(Broken::Loss);
        }
        let sum = |direction| applied(side, direction).iter().map(|row| row.1).sum::<u128>();
        let expected = of_role(play.contract.deposits(), role) + sum(Direction::In);
        if !restored && received + sum(Direction::Out) != expected {
            return Err(Broken::Disagreement);
        }
    }
    Ok(())
}
