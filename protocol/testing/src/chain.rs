//! The chain of a simulation: blocks with the contracts of many channels, a pool of transactions, and reorganisations.

use std::collections::BTreeMap;

use thunder_protocol::channel::Terms;
use thunder_protocol::onchain::{Call, ChainView, OnChain};
use thunder_protocol::{Address, B256, Crypto, Domain, Role};

use crate::contract::Contract;
use crate::random::Random;

/// A transaction that waits.
#[derive(Debug, Clone)]
pub struct Pooled {
    /// Who sent it.
    pub from: Address,
    /// The channel.
    pub terms: Terms,
    /// What it calls.
    pub call: Call,
    not_before: u64,
}

/// A transaction in a block.
#[derive(Debug, Clone)]
pub struct Mined {
    /// What was mined.
    pub transaction: Pooled,
    /// Whether the contract has refused it.
    pub has_failed: bool,
}

#[derive(Debug, Clone, Default)]
struct Block {
    contracts: BTreeMap<Address, Contract>,
    mined: Vec<Mined>,
    /// Different for each block that ever was, also for two of one height.
    mark: u64,
}

/// The chain.
#[derive(Debug)]
pub struct Chain {
    blocks: Vec<Block>,
    pool: Vec<Pooled>,
    marks: u64,
    /// How many blocks a transaction waits at most.
    pub congestion: u64,
}

impl Default for Chain {
    fn default() -> Self {
        Self { blocks: vec![Block::default(); 10], pool: Vec::new(), marks: 0, congestion: 1 }
    }
}

impl Chain {
    /// The height of the newest block.
    pub fn height(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }

    fn newest(&self) -> &Block {
        self.blocks.last().unwrap()
    }

    /// The contracts as of the newest block.
    pub fn contracts(&self) -> &BTreeMap<Address, Contract> {
        &self.newest().contracts
    }

    /// What a node reads of a channel. A transaction that is mined anew has another hash.
    pub fn view(&self, channel: &Address) -> ChainView {
        let mut view =
            self.contracts().get(channel).map_or(ChainView::missing(self.height()), Contract::view);
        let tx = |block: u64| {
            let mark = self.blocks.get(usize::try_from(block).unwrap()).map_or(0, |block| block.mark);
            B256::left_padding_from(&mark.to_be_bytes())
        };
        if let Some(newest) = &mut view.newest {
            newest.tx = Some(tx(newest.block));
        }
        if let OnChain::Closing(closing) | OnChain::Closed { closing: Some(closing), .. } = &mut view.status
            && let Some(event) = &mut closing.event
        {
            event.tx = tx(closing.block);
        }
        view
    }

    /// What was mined in the newest block.
    pub fn mined(&self) -> &[Mined] {
        &self.newest().mined
    }

    /// A transaction is broadcast. A sender has one of each kind under way in a channel.
    pub fn submit(&mut self, from: Address, terms: Terms, call: Call, random: &mut Random) {
        let is_same = |pooled: &Pooled| {
            (pooled.from, pooled.terms.channel, pooled.call.kind()) == (from, terms.channel, call.kind())
        };
        if !self.pool.iter().any(is_same) {
            let not_before = self.height() + 1 + random.below(self.congestion);
            self.pool.push(Pooled { from, terms, call, not_before });
        }
    }

    /// Mines a block with the transactions that are due, in any order.
    pub fn mine(&mut self, crypto: &dyn Crypto, random: &mut Random) {
        let height = self.height() + 1;
        let (mut due, later): (Vec<_>, Vec<_>) =
            self.pool.drain(..).partition(|pooled| pooled.not_before <= height);
        self.pool = later;
        self.marks += 1;
        let contracts = self.newest().contracts.clone();
        let mut block = Block { contracts, mined: Vec::new(), mark: self.marks };
        block.contracts.values_mut().for_each(|contract| contract.block = height);
        while !due.is_empty() {
            let transaction = due.remove(random.index(due.len()));
            let has_failed = !execute(&mut block.contracts, height, &transaction, crypto);
            block.mined.push(Mined { transaction, has_failed });
        }
        self.blocks.push(block);
    }

    /// Takes the newest blocks back; what succeeded in them waits again. Returns the first height that changes.
    pub fn reorganise(&mut self, depth: u64, random: &mut Random) -> u64 {
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
    let role = if *from == terms.part_a { Role::A } else { Role::B };
    contract.block = height - 1;
    let result = contract.call(role, call, crypto);
    contract.block = height;
    result.is_ok()
}
