//! The chain of the one channel: its contract, and what a reorganisation brings back.

use thunder_protocol::Role;
use thunder_protocol::onchain::{Call, ChainView, OnChain};
use thunder_testing::contract::{Contract, Revert};

use super::keys::Keys;

pub struct Chain {
    pub contract: Contract,
    /// The contract before each of its events.
    earlier: Vec<Contract>,
}

impl Chain {
    pub fn new(keys: &Keys) -> Self {
        Self { contract: Contract::missing(keys.domain, keys.addresses(), 10, None), earlier: Vec::new() }
    }

    pub fn view(&self) -> ChainView {
        self.contract.view()
    }

    pub fn status(&self) -> OnChain {
        self.view().status
    }

    /// Takes back the newest event, unless it is `confirmations` deep: deeper reorganisations are
    /// what confirmations are there for.
    pub fn take_back(&mut self, confirmations: u64) {
        if !self.view().is_confirmed(confirmations)
            && let Some(mut earlier) = self.earlier.pop()
        {
            earlier.block = self.contract.block;
            self.contract = earlier;
        }
    }

    /// Mines a block with one call in it.
    pub fn call(&mut self, caller: Role, call: &Call, keys: &Keys) -> Result<(), Revert> {
        let before = self.contract.clone();
        self.contract.call(caller, call, keys.of(caller))?;
        self.earlier.push(before);
        Ok(())
    }
}
