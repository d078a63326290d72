//! The contract of a pair's channel, which the pair follows when a test wants it to.

use thunder_protocol::channel::ChainInput;
use thunder_protocol::onchain::{Call, CallKind, ChainClosing, ChainView, OnChain};
use thunder_protocol::{Balances, Domain, Input, Role};
use thunder_testing::contract::{Contract, Revert};

use super::{CHAIN_ID, CHANNEL, Pair, signer};

pub struct Chain(pub Contract);

impl Chain {
    /// A channel that became ACTIVE in this block.
    pub fn active(paid_in: Balances, block: u64) -> Self {
        let parties = [Role::A, Role::B].map(|role| signer(role).address());
        let mut contract = Contract::missing(Domain::new(CHAIN_ID, CHANNEL), parties, block - 1, None);
        contract.create(paid_in.sum().unwrap().base_units(), paid_in.a.base_units());
        let mut chain = Self(contract);
        chain.execute(Role::B, &Call::Fund { value: paid_in.b }).unwrap();
        chain
    }

    pub fn view(&self) -> ChainView {
        self.0.view()
    }

    pub fn paid_out(&self) -> Option<Balances> {
        match self.view().status {
            OnChain::Closed { end, .. } => Some(end.paid_out),
            _ => None,
        }
    }

    pub fn closing(&self) -> Option<ChainClosing> {
        match self.view().status {
            OnChain::Closing(closing) => Some(closing),
            _ => None,
        }
    }

    /// Mines a block with one call in it.
    pub fn execute(&mut self, caller: Role, call: &Call) -> Result<(), Revert> {
        self.0.call(caller, call, &signer(caller))
    }

    /// Both nodes see the chain as it is.
    pub fn show(&self, pair: &mut Pair) {
        for role in [Role::A, Role::B] {
            let party = pair.party(role);
            party.head = self.0.block;
            party.apply(Input::Chain(ChainInput::View(self.view())));
        }
    }

    /// Runs what both sides have asked for, oldest first. What the contract refuses is reported.
    pub fn run(&mut self, pair: &mut Pair) {
        for role in [Role::A, Role::B] {
            let calls: Vec<_> = pair.party(role).submitted.drain(..).collect();
            for call in calls.iter().filter(|call| call.kind() != CallKind::Open) {
                if let Err(revert) = self.execute(role, call) {
                    pair.party(role).fail(call.kind(), &format!("{revert:?}"));
                }
            }
        }
    }
}
