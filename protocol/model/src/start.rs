//! How a world begins.

use std::sync::Arc;

use alloy_primitives::{Address, B256, keccak256};
use thunder_protocol::channel::{CommandId, Terms};
use thunder_protocol::{Balances, Channel, Crypto, Domain, Nonce, Receipt, Role, wire};

use crate::contract::{Caller, Contract, Function};
use crate::crypto::{Key, address};
use crate::fault::Fault;
use crate::scenario::Scenario;
use crate::side::Side;
use crate::thd;
use crate::world::{Held, ROLES, World};

const CHAIN_ID: u64 = 31337;

/// The address that a factory gives a channel.
fn channel_address(salt: B256) -> Address {
    Address::from_word(keccak256([b"factory".as_slice(), salt.as_slice()].concat()))
}

fn terms(scenario: &Scenario, role: Role, channel: Address, salt: B256) -> Terms {
    let [a, b] = scenario.paid_in;
    Terms {
        channel,
        chain_id: CHAIN_ID,
        token: Address::repeat_byte(1),
        factory: Address::repeat_byte(2),
        salt,
        part_a: address(Role::A),
        part_b: address(Role::B),
        role,
        amount: thd(a + b),
        shares: Balances { a: thd(a), b: thd(b) },
    }
}

impl World {
    /// The start of a scenario.
    pub fn start(scenario: &Scenario) -> Self {
        let (old, fresh) = (B256::repeat_byte(7), B256::repeat_byte(8));
        let theirs = B256::repeat_byte(9);
        // The honest side's half is fresh. Without it the other side, by repeating its own, brings
        // back the address of a channel that was there before the chain was reset.
        let half = if scenario.fault == Some(Fault::OldAddressAgain) { old } else { fresh };
        let salt = wire::salt(half, theirs);
        let channel = channel_address(salt);
        let [a, b] = scenario.paid_in;
        let amount = thd(a + b).base_units();
        let deposit = thd(a).base_units();
        let domain = Domain::new(CHAIN_ID, channel);
        let parties = ROLES.map(address);
        let mut world = Self {
            sides: [None, None],
            wire: Vec::new(),
            contract: Contract::missing(domain, parties, 10, scenario.fault),
            undo: None,
            mempool: Vec::new(),
            held: Vec::new(),
            left: scenario.left,
            asked: [0, 0],
            broken: None,
            heard: None,
        };
        for role in ROLES.into_iter().filter(|role| scenario.honest[*role as usize]) {
            let terms = terms(scenario, role, channel, salt);
            let transition = match role {
                Role::A => Channel::open(terms, thd(a), CommandId(0)),
                Role::B => Channel::accept(terms),
            };
            let (side, _) = Side::new(role, transition, scenario.confirmations, scenario.fault);
            world.sides[role as usize] = Some(Arc::new(side));
        }
        world.contract.create(amount, deposit);
        if !scenario.opening {
            let rest = Function::Fund(amount - deposit);
            let _ = world.contract.mine(Caller::Party(Role::B), &rest, &Key(Role::B));
            world.contract.block += scenario.confirmations;
            ROLES.into_iter().for_each(|role| world.see(role));
            while let Some(letter) = world.wire.first().cloned() {
                world.deliver(&letter, false, None);
            }
        }
        if scenario.reset {
            world.held = old_life(scenario, channel_address(wire::salt(old, theirs)));
        }
        world
    }
}

/// What an adversary keeps of a channel that was there before the chain was reset.
fn old_life(scenario: &Scenario, channel: Address) -> Vec<Held> {
    let Some(honest) = ROLES.into_iter().find(|role| scenario.honest[*role as usize]) else {
        return Vec::new();
    };
    let [a, b] = scenario.paid_in;
    let shares = Balances { a: thd(a - 1), b: thd(b + 1) };
    let receipt = Receipt { nonce: Nonce::new(9).unwrap_or(Nonce::ZERO), balances: shares };
    let signature = Key(honest).sign(&Domain::new(CHAIN_ID, channel).digest(&receipt));
    vec![Held { receipt, signature }]
}
