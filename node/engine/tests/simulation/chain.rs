//! The chain of a simulation: the contract's model, which is held against the bytecode
//! (`protocol/model/tests/differential.rs`), a pool of transactions, blocks, and reorganisations.

use std::collections::BTreeMap;

use thunder_model::contract::{Caller, Contract, Function, Phase};
use thunder_protocol::channel::Terms;
use thunder_protocol::onchain::{Call, ChainView};
use thunder_protocol::{Address, Crypto, Domain, Role};

use crate::random::Random;

/// A transaction that waits.
#[derive(Debug, Clone)]
pub(crate) struct Pooled {
    pub(crate) from: Address,
    pub(crate) terms: Terms,
    pub(crate) call: Call,
    not_before: u64,
}

/// A transaction in a block.
#[derive(Debug, Clone)]
pub(crate) struct Mined {
    pub(crate) transaction: Pooled,
    pub(crate) has_failed: bool,
}

#[derive(Debug, Clone, Default)]
struct Block {
    contracts: BTreeMap<Address, Contract>,
    mined: Vec<Mined>,
}

/// The chain.
pub(crate) struct Chain {
    blocks: Vec<Block>,
    pool: Vec<Pooled>,
    /// How many blocks a transaction waits at most.
    pub(crate) congestion: u64,
}

impl Chain {
    pub(crate) fn new() -> Self {
        Self { blocks: vec![Block::default(); 10], pool: Vec::new(), congestion: 1 }
    }

    pub(crate) fn height(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }

    fn newest(&self) -> &Block {
        self.blocks.last().unwrap()
    }

    pub(crate) fn contracts(&self) -> &BTreeMap<Address, Contract> {
        &self.newest().contracts
    }

    pub(crate) fn view(&self, channel: &Address) -> ChainView {
        self.contracts().get(channel).map_or(ChainView::missing(self.height()), Contract::view)
    }

    pub(crate) fn mined(&self) -> &[Mined] {
        &self.newest().mined
    }

    /// A transaction is broadcast. A sender has one of each kind under way in a channel.
    pub(crate) fn submit(&mut self, from: Address, terms: Terms, call: Call, random: &mut Random) {
        let is_same = |pooled: &Pooled| {
            (pooled.from, pooled.terms.channel, pooled.call.kind()) == (from, terms.channel, call.kind())
        };
        if !self.pool.iter().any(is_same) {
            let not_before = self.height() + 1 + random.below(self.congestion);
            self.pool.push(Pooled { from, terms, call, not_before });
        }
    }

    /// Mines a block with the transactions that are due, in any order.
    pub(crate) fn mine(&mut self, crypto: &dyn Crypto, random: &mut Random) {
        let height = self.height() + 1;
        let (mut due, later): (Vec<_>, Vec<_>) =
            self.pool.drain(..).partition(|pooled| pooled.not_before <= height);
        self.pool = later;
        let mut block = Block { contracts: self.newest().contracts.clone(), mined: Vec::new() };
        block.contracts.values_mut().for_each(|contract| contract.block = height);
        while !due.is_empty() {
            let transaction = due.remove(random.index(due.len()));
            let has_failed = !execute(&mut block.contracts, height, &transaction, crypto);
            block.mined.push(Mined { transaction, has_failed });
        }
        self.blocks.push(block);
    }

    /// Takes the newest blocks back; what succeeded in them waits again.
    pub(crate) fn reorganise(&mut self, depth: u64, random: &mut Random) -> u64 {
        for _ in 0..depth.min(self.height() - 9) {
            for Mined { transaction, has_failed } in self.blocks.pop().unwrap().mined {
                if !has_failed {
                    let Pooled { from, terms, call, .. } = transaction;
                    self.submit(from, terms, call, random);
                }
            }
        }
        self.height() + 1
    }
}

/// Whether the transaction has succeeded.
fn execute(
    contracts: &mut BTreeMap<Address, Contract>,
    height: u64,
    transaction: &Pooled,
    crypto: &dyn Crypto,
) -> bool {
    let Pooled { from, terms, call, .. } = transaction;
    let parties = [terms.part_a, terms.part_b];
    let domain = Domain::new(terms.chain_id, terms.channel);
    let contract =
        contracts.entry(terms.channel).or_insert_with(|| Contract::missing(domain, parties, height, None));
    let Some(function) = Function::of(call) else {
        let Call::Open { deposit, .. } = call else { return false };
        if contract.phase != Phase::Missing {
            return false;
        }
        contract.create(terms.amount.base_units(), deposit.base_units());
        return true;
    };
    let role = if *from == terms.part_a { Role::A } else { Role::B };
    contract.block = height - 1;
    let result = contract.mine(Caller::Party(role), &function, crypto);
    contract.block = height;
    result.is_ok()
}
