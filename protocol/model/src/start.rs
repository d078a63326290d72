//! The first state of a model's world.

use std::sync::Arc;

use alloy_primitives::{Address, B256, keccak256};
use thunder_protocol::channel::{CommandId, Terms};
use thunder_protocol::{Channel, Crypto, Domain, Receipt, Role, wire};

use crate::fault::Fault;
use crate::scenario::Scenario;
use crate::side::Side;
use crate::world::{Held, ROLES, World};
use thunder_testing::contract::{Caller, Contract, Function};
use thunder_testing::crypto::{Key, address};
use thunder_testing::values::{self, CHAIN_ID, balances, thd};

/// The address that a factory gives a channel.
fn channel_address(salt: B256) -> Address {
    Address::from_word(keccak256([b"factory".as_slice(), salt.as_slice()].concat()))
}

fn terms(scenario: &Scenario, role: Role, channel: Address, salt: B256) -> Terms {
    let [a, b] = scenario.paid_in;
    Terms { salt, ..values::terms(role, channel, ROLES.map(address), balances(a, b)) }
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
            contract: Contract::missing(domain, parties, 10, scenario.fault.and_then(Fault::of_contract)),
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
    let receipt = Receipt { nonce: values::nonce(9), balances: balances(a - 1, b + 1) };
    let signature = Key(honest).sign(&Domain::new(CHAIN_ID, channel).digest(&receipt));
    vec![Held { receipt, signature }]
}
