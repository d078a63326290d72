//! What must hold at the end of a run of the simulation.

use std::collections::BTreeMap;

use thunder_protocol::channel::{Direction, PaymentStatus};
use thunder_protocol::onchain::{EndKind, OnChain};
use thunder_protocol::{Address, Channel, PaymentId, Role};
use thunder_testing::contract::{Contract, Phase};

use crate::node::CallWaiter;
use crate::world::World;

/// Every user who waits at a node that lives gets a reply.
pub(crate) fn replies(world: &World) {
    for (number, node) in world.nodes.iter().enumerate() {
        let payments: Vec<_> =
            node.waiting.values().filter(|waiting| matches!(waiting, CallWaiter::Pay(_))).collect();
        assert!(payments.is_empty(), "node {number} leaves payments without a reply: {payments:?}");
    }
}

/// Whether there is no money in any channel any more.
pub(crate) fn is_over(world: &World) -> bool {
    world.chain.contracts().values().all(|contract| matches!(contract.phase, Phase::Missing | Phase::Closed))
}

/// How the channels have ended.
pub(crate) fn ends(world: &World) -> Vec<EndKind> {
    let ended = |contract: &Contract| match contract.view().status {
        OnChain::Closed { end, .. } => Some(end.kind),
        OnChain::Missing | OnChain::Empty { .. } | OnChain::Active { .. } | OnChain::Closing(_) => None,
    };
    world.chain.contracts().values().filter_map(ended).collect()
}

/// The payments that count of a channel, in base units, as a node's history has them.
#[derive(Default, PartialEq, Eq)]
struct History {
    paid: BTreeMap<PaymentId, u128>,
    received: BTreeMap<PaymentId, u128>,
}

fn sum(payments: &BTreeMap<PaymentId, u128>) -> u128 {
    payments.values().sum()
}

fn history(world: &World, node: usize, channel: &Address) -> History {
    let it = &world.nodes[node];
    let mut history = History::default();
    let Some(entry) = it.engine.as_ref().unwrap().channels().get(channel) else { return history };
    let counts = |nonce| entry.channel.status_of(nonce) == PaymentStatus::Done;
    for stored in it.disk.content().payments(entry.row).filter(|stored| stored.nonce.is_some_and(counts)) {
        let payments = match stored.direction {
            Direction::Out => &mut history.paid,
            Direction::In => &mut history.received,
        };
        payments.insert(stored.payment.id.clone(), stored.payment.amount.base_units());
    }
    history
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

/// Whether a node has lost nothing and cheats nobody.
fn is_sound(world: &World, node: usize) -> bool {
    !world.nodes[node].is_cheat && !world.nodes[node].was_restored
}

/// Once everything is well, both sides of a channel in use have the same receipt, and no payment waits.
pub(crate) fn agreement(world: &World) {
    for address in world.chain.contracts().keys() {
        let parties = parties(world, address);
        let channels = parties.map(|node| {
            let channels = world.nodes[node].engine.as_ref().unwrap().channels();
            channels.get(address).map(|entry| &entry.channel)
        });
        let [Some(Channel::Active(a)), Some(Channel::Active(b))] = channels else { continue };
        if parties.iter().all(|node| is_sound(world, *node)) {
            let agreed = [a, b].map(|state| state.common.receipts.agreed.receipt);
            assert_eq!(agreed[0], agreed[1], "agreement: the newest receipts of channel {address}");
            let is_quiet = channels.iter().flatten().all(|channel| channel.pending().is_zero());
            assert!(is_quiet, "progress: payments wait in channel {address}");
        }
    }
}

/// Whoever follows the events of a node knows each payment that is settled, once.
pub(crate) fn events(world: &World) {
    for (number, node) in world.nodes.iter().enumerate().filter(|(number, _)| is_sound(world, *number)) {
        let Some(engine) = &node.engine else { continue };
        let content = node.disk.content();
        for (address, entry) in engine.channels().newest_first() {
            let events = content.events(entry.row);
            for stored in content.payments(entry.row) {
                let id = &stored.payment.id;
                let of = |(way, of, _): &&(_, _, _)| *way == stored.direction && of == id;
                let told: Vec<_> = events.iter().filter(of).map(|(.., is_paid)| *is_paid).collect();
                let status =
                    stored.nonce.map_or(PaymentStatus::Failed, |nonce| entry.channel.status_of(nonce));
                let agreed = entry.channel.receipts().map(|receipts| receipts.agreed.nonce());
                let expected = match status {
                    // Both have signed it, whatever the chain makes of it.
                    _ if stored.nonce.is_some() && stored.nonce <= agreed => &[true][..],
                    PaymentStatus::Done if entry.is_over => &[true],
                    PaymentStatus::Failed if entry.is_over || stored.nonce.is_none() => &[false],
                    PaymentStatus::Done | PaymentStatus::Pending | PaymentStatus::Failed => &[],
                };
                assert_eq!(told, expected, "node {number}, channel {address}, payment {id}: {status:?}");
            }
        }
    }
}

/// Everybody honest has what is theirs. Returns how much was paid.
pub(crate) fn check(world: &World) -> u128 {
    let mut volume = 0;
    for (address, contract) in world.chain.contracts() {
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

fn check_party(
    world: &World,
    address: &Address,
    contract: &Contract,
    (own, other): (usize, usize),
    (paid_out, deposit): (u128, u128),
) -> u128 {
    if !is_sound(world, own) {
        return 0;
    }
    let history = history(world, own, address);
    let owed = (deposit + sum(&history.received)).checked_sub(sum(&history.paid)).expect("no debt");
    let least = receipts_say(world, own, address);
    assert!(paid_out >= least, "no loss: node {own} was paid {paid_out} of {address}, and {least} is agreed");
    // A cheat's proposal with the nonce of another receipt leaves the history with that receipt's payments.
    let is_invented = world.nodes[other].is_cheat && is_closed_on_proposal(contract);
    assert!(
        paid_out >= owed || is_invented,
        "no loss: node {own} was paid {paid_out} of channel {address} ({contract:?}) and is owed {owed}"
    );
    if is_sound(world, other) {
        assert_eq!(paid_out, owed, "node {own} was paid otherwise than its history says");
        let theirs = self::history(world, other, address);
        assert!(history.paid == theirs.received, "agreement: what node {own} has paid over {address}");
        check_orders(world, own, address, &history);
    }
    if !world.nodes[other].is_cheat {
        let confirmed = confirmed(world, other, address);
        let has = |id: &PaymentId| history.received.contains_key(id);
        assert!(confirmed.into_iter().all(has), "a confirmed payment to node {own} does not count");
    }
    sum(&history.received)
}

fn is_closed_on_proposal(contract: &Contract) -> bool {
    let OnChain::Closed { closing: Some(closing), .. } = contract.view().status else { return false };
    closing.event.is_some_and(|event| event.by_proposal)
}

/// What the newest receipts leave a node at least: the agreed one, or the own proposal on it.
fn receipts_say(world: &World, node: usize, channel: &Address) -> u128 {
    let engine = world.nodes[node].engine.as_ref().unwrap();
    let Some(entry) = engine.channels().get(channel) else { return 0 };
    let (role, receipts) = (entry.channel.setup().role(), entry.channel.receipts());
    receipts.map_or(0, |receipts| {
        let agreed = receipts.agreed.balances().of(role);
        receipts.proposal.as_ref().map_or(agreed, |own| own.balances.of(role).min(agreed)).base_units()
    })
}

/// The payments of which a node's user was told that they were made over this channel.
fn confirmed<'a>(world: &'a World, payer: usize, channel: &Address) -> Vec<&'a PaymentId> {
    let is_meant = |by: usize, over: Option<Address>| by == payer && over == Some(*channel);
    let orders = world.orders.iter().filter(|((by, _), order)| is_meant(*by, order.paid_over));
    orders.map(|((_, id), _)| id).collect()
}

/// What users were told is so: what is confirmed counts, and what was refused does not.
fn check_orders(world: &World, node: usize, channel: &Address, history: &History) {
    for id in confirmed(world, node, channel) {
        assert!(history.paid.contains_key(id), "{id} was confirmed and does not count");
    }
    for id in history.paid.keys() {
        let order = &world.orders[&(node, id.clone())];
        let is_lie = order.is_refused || order.is_unpaid;
        assert!(!is_lie, "{id} counts, and its user was told that it was not paid");
    }
}
