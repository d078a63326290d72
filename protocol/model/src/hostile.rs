//! The adversary: what it learns, what it may say, what it may post.
//!
//! It signs with its own key whatever it likes, and has of the other side's signatures those that it was ever given.

use thunder_protocol::channel::{Proposal, Receipts};
use thunder_protocol::wire::{Answer, Final, Message, Propose, Refuse, RefuseReason, Sync};
use thunder_protocol::{
    AgreedReceipt, Balances, Channel, Crypto, Memo, Nonce, Payment, Receipt, Role, Signature, Signatures,
};

use crate::scenario::Scenario;
use crate::side::{Side, payment_id};
use crate::world::{Held, World};
use thunder_testing::contract::{Function, Phase, Shown};
use thunder_testing::crypto::Key;
use thunder_testing::values::thd;

/// The receipt that a message of the adversary's proposes.
pub(crate) fn proposed(message: &Message) -> Option<Receipt> {
    let propose = match message {
        Message::Propose(propose) => propose,
        Message::Sync(sync) => sync.proposal.as_ref()?,
        Message::Answer(_) | Message::Refuse(_) | Message::Final(_) => return None,
    };
    Some(Receipt { nonce: propose.nonce, balances: propose.balances })
}

/// Keeps every signature of `from` that a message carries. An answer signs what was `heard`.
pub(crate) fn learn(held: &mut Vec<Held>, from: Role, message: &Message, heard: Option<Receipt>) {
    let mut keep = |receipt: Receipt, signature: Signature| {
        let new = Held { receipt, signature };
        if !held.contains(&new) {
            let at = held.partition_point(|old| rank(old) < rank(&new));
            held.insert(at, new);
        }
    };
    let receipt = |propose: &Propose| Receipt { nonce: propose.nonce, balances: propose.balances };
    match message {
        Message::Propose(propose) => keep(receipt(propose), propose.signature),
        Message::Answer(answer) => {
            if let Some(receipt) = heard.filter(|receipt| receipt.nonce == answer.nonce) {
                keep(receipt, answer.signature);
            }
        }
        Message::Refuse(_) => {}
        Message::Final(signed) => keep(final_receipt(signed.balances), signed.signature),
        Message::Sync(sync) => {
            if let Some(propose) = &sync.proposal {
                keep(receipt(propose), propose.signature);
            }
            if let Some(signatures) = sync.agreed.signatures {
                keep(sync.agreed.receipt, *signatures.of(from));
            }
            if let Some(signed) = &sync.own_final {
                keep(final_receipt(signed.balances), signed.signature);
            }
        }
    }
}

fn rank(held: &Held) -> (u64, u128) {
    (held.receipt.nonce.get(), held.receipt.balances.a.base_units())
}

const fn final_receipt(balances: Balances) -> Receipt {
    Receipt { nonce: Nonce::FINAL, balances }
}

/// A signature of the adversary's.
fn sign(side: &Side, receipt: &Receipt) -> Signature {
    Key(side.role.other()).sign(&side.channel.setup().domain().digest(receipt))
}

fn propose(side: &Side, base: Receipt, nonce: Nonce, balances: Balances, id: u8, amount: u64) -> Propose {
    let payments = vec![Payment { id: payment_id(id), amount: thd(amount), memo: Memo::default() }];
    let signature = sign(side, &Receipt { nonce, balances });
    Propose { base_nonce: base.nonce, nonce, balances, payments, signature }
}

/// The receipts that a next one may build on.
fn bases(receipts: &Receipts) -> Vec<Receipt> {
    let mut bases = vec![receipts.agreed.receipt];
    bases.extend(receipts.proposal.as_ref().map(Proposal::receipt));
    bases
}

/// A proposal as an honest side would make it: the smallest nonce of the own parity, and a payment
/// under a name that was not used yet.
fn fair(side: &Side, base: Receipt, amount: u64, scenario: &Scenario) -> Option<Propose> {
    let adversary = side.role.other();
    let nonce = base.nonce.next_of(adversary).filter(|nonce| nonce.get() <= scenario.max_nonce)?;
    let balances = base.balances.pay(adversary, thd(amount))?;
    let id = u8::try_from(nonce.get() * 4 + amount).ok()?;
    Some(propose(side, base, nonce, balances, id, amount))
}

fn proposals(side: &Side, receipts: &Receipts, scenario: &Scenario) -> Vec<Propose> {
    let (adversary, agreed) = (side.role.other(), receipts.agreed.receipt);
    let mut all = Vec::new();
    for base in bases(receipts) {
        all.extend((1..=2).filter_map(|amount| fair(side, base, amount, scenario)));
        // The nonce of what is agreed, with more for the other side: a bait.
        let more =
            base.balances.pay(adversary, thd(1)).filter(|_| base.nonce > Nonce::ZERO && base == agreed);
        all.extend(more.map(|shares| propose(side, base, base.nonce, shares, 93, 1)));
        let Some(next) = base.nonce.next_of(adversary).filter(|next| next.get() <= scenario.max_nonce) else {
            continue;
        };
        // One that takes, one that says more than it gives, one with a payment made before.
        all.extend(
            base.balances.pay(side.role, thd(1)).map(|shares| propose(side, base, next, shares, 90, 1)),
        );
        let Some(pays) = base.balances.pay(adversary, thd(1)) else { continue };
        all.push(propose(side, base, next, pays, 91, 2));
        let before =
            side.disk.rows.iter().find(|row| row.direction == thunder_protocol::channel::Direction::In);
        all.extend(before.map(|row| {
            let mut again = propose(side, base, next, pays, 0, 1);
            again.payments[0].id = row.payment.id.clone();
            again
        }));
        // The other parity.
        all.extend(base.nonce.next_of(side.role).map(|wrong| propose(side, base, wrong, pays, 92, 1)));
    }
    all
}

/// Every message that it may send to `side` now, up to what makes no difference to the rules.
pub(crate) fn messages(world: &World, side: &Side, scenario: &Scenario) -> Vec<Message> {
    let Some(receipts) = side.channel.receipts() else { return Vec::new() };
    if matches!(side.channel, Channel::Closed(_)) {
        return Vec::new();
    }
    let mut all: Vec<Message> = syncs(world, side, receipts, scenario)
        .into_iter()
        .map(|sync| Message::Sync(Box::new(sync)))
        .collect();
    let waits_for_sync = matches!(&side.channel, Channel::Active(active) if !active.is_synced());
    if waits_for_sync {
        return all;
    }
    all.extend(proposals(side, receipts, scenario).into_iter().map(Message::Propose));
    let refusals = [Nonce::FINAL].into_iter().chain(receipts.proposal.as_ref().map(|own| own.nonce));
    for nonce in refusals {
        use RefuseReason::{Crossed, Lost, NotNow, Stale, Stopped};
        let agreed_nonce = receipts.agreed.nonce().next_of(side.role.other()).unwrap_or(Nonce::ZERO);
        let refuse = |reason| Message::Refuse(Refuse { nonce, reason, agreed_nonce });
        all.extend([NotNow, Stale, Crossed, Stopped, Lost].map(refuse));
    }
    if let Some(own) = &receipts.proposal {
        let signature = sign(side, &own.receipt());
        all.push(Message::Answer(Answer { nonce: own.nonce, signature }));
    }
    all.extend(finals(world, side, receipts).into_iter().map(Message::Final));
    all
}

fn finals(world: &World, side: &Side, receipts: &Receipts) -> Vec<Final> {
    let mut rests: Vec<_> = bases(receipts);
    // And what was agreed before, as far as it was shown.
    rests.extend(world.held.iter().map(|held| held.receipt).filter(|receipt| receipt.nonce < Nonce::FINAL));
    let zero = Receipt { nonce: Nonce::ZERO, balances: paid_in(side) };
    rests.push(zero);
    rests.sort_by_key(|receipt| (receipt.nonce, receipt.balances.a));
    rests.dedup();
    let sign = |Receipt { nonce, balances }| {
        let signature = sign(side, &final_receipt(balances));
        Final { base_nonce: nonce, balances, signature }
    };
    rests.into_iter().map(sign).collect()
}

fn paid_in(side: &Side) -> Balances {
    side.channel.setup().terms().shares
}

fn syncs(world: &World, side: &Side, receipts: &Receipts, scenario: &Scenario) -> Vec<Sync> {
    let plain = |agreed: AgreedReceipt| Sync {
        agreed,
        proposal: None,
        own_final: None,
        closing: false,
        lost: false,
        wants_reply: true,
    };
    let both = |receipt: Receipt, theirs: Signature| {
        AgreedReceipt::signed(receipt, Signatures::from_roles(side.role, theirs, sign(side, &receipt)))
    };
    let agreed = receipts.agreed;
    let mut all = vec![
        plain(agreed),
        Sync { closing: true, ..plain(agreed) },
        Sync { lost: true, ..plain(agreed) },
        Sync { proposal: fair(side, agreed.receipt, 1, scenario), ..plain(agreed) },
    ];
    let signature = sign(side, &final_receipt(agreed.balances()));
    let final_receipt = Final { base_nonce: agreed.nonce(), balances: agreed.balances(), signature };
    all.push(Sync { own_final: Some(final_receipt), ..plain(agreed) });
    // Whatever it has the other side's signature on, with its own beside it.
    let held = world.held.iter().filter(|held| {
        let nonce = held.receipt.nonce;
        nonce < Nonce::FINAL
            && (nonce > agreed.nonce() || nonce == agreed.nonce() && held.receipt != agreed.receipt)
    });
    all.extend(held.map(|held| plain(both(held.receipt, held.signature))));
    if let Some(own) = &receipts.proposal {
        let answered = both(own.receipt(), own.signature);
        all.push(Sync { proposal: fair(side, own.receipt(), 1, scenario), ..plain(answered) });
    }
    // A bare claim: the other side's signature is not one.
    if let Some(high) = Nonce::new(agreed.nonce().get() + 6) {
        let receipt = Receipt { nonce: high, balances: agreed.balances() };
        all.push(plain(both(receipt, sign(side, &receipt))));
    }
    // No receipt at all.
    all.push(plain(AgreedReceipt::zero(paid_in(side))));
    all
}

/// Every call of the contract that may do it good: closing on whatever it holds, on a proposal of
/// its own on top of that, and challenging with it.
pub(crate) fn posts(world: &World, honest: Role, scenario: &Scenario) -> Vec<Function> {
    let adversary = honest.other();
    let shown = |held: &Held| Shown::new(&held.receipt, Some(held.signature));
    let contract = &world.contract;
    let mut all = Vec::new();
    match contract.phase {
        Phase::Active => {
            let zero = Shown { nonce: 0, a: contract.a, b: contract.b, signature: None };
            // Everything for itself, in the name of receipt 0.
            let total = contract.a + contract.b;
            let (a, b) = if adversary == Role::A { (total, 0) } else { (0, total) };
            let invented = Shown { nonce: 0, a, b, signature: None };
            let bases = world.held.iter().map(shown).chain([zero, invented]);
            for base in bases {
                all.push(Function::Closing(base));
                let unit = thd(1).base_units();
                let nonce = scenario.max_nonce + 100;
                all.push(Function::ClosingProposal { base, a: base.a, b: base.b, nonce });
                let conceded = match adversary {
                    Role::A => base.a.checked_sub(unit).map(|a| (a, base.b + unit)),
                    Role::B => base.b.checked_sub(unit).map(|b| (base.a + unit, b)),
                };
                all.extend(conceded.map(|(a, b)| Function::ClosingProposal { base, a, b, nonce }));
            }
        }
        Phase::Closing(closer) if closer == honest => {
            all.extend(world.held.iter().map(|held| Function::Challenge(shown(held))));
        }
        Phase::Empty => {
            all.extend([Function::Fund(contract.unfunded), Function::Cancel]);
        }
        Phase::Missing | Phase::Closing(_) | Phase::Closed => {}
    }
    all
}
