//! A small executable model of the contract, for simulations of the core.

use thunder_protocol::channel::ChainInput;
use thunder_protocol::onchain::{
    CHALLENGE_PERIOD, Call, CallKind, ChainView, ClosePlan, Closing, ClosingEvent, End, EndKind,
    EventPosition, Evidence, OnChain,
};
use thunder_protocol::{B256, Balances, Crypto, Domain, Input, Nonce, Receipt, Role};

use super::{CHAIN_ID, CHANNEL, Pair, signer, thd};

pub struct Chain {
    pub block: u64,
    status: OnChain,
    newest: EventPosition,
    paid_in: Balances,
}

impl Chain {
    pub fn active(paid_in: Balances, block: u64) -> Self {
        let newest = EventPosition { block, tx: Some(B256::with_last_byte(1)) };
        Self { block, status: OnChain::Active { paid_in }, newest, paid_in }
    }

    pub fn view(&self) -> ChainView {
        ChainView { head: self.block, newest: Some(self.newest), status: self.status }
    }

    pub fn paid_out(&self) -> Option<Balances> {
        match self.status {
            OnChain::Closed { end, .. } => Some(end.paid_out),
            _ => None,
        }
    }

    pub fn closing(&self) -> Option<Closing> {
        match self.status {
            OnChain::Closing(closing) => Some(closing),
            _ => None,
        }
    }

    /// Mines a block with one call in it, as contract.md says.
    pub fn execute(&mut self, caller: Role, call: &Call) -> Result<(), &'static str> {
        self.block += 1;
        let next = match (self.status, call) {
            (OnChain::Active { .. }, Call::Close(plan)) => self.close(caller, plan)?,
            (OnChain::Closing(closing), Call::Challenge(evidence)) => self.challenge(closing, evidence)?,
            (OnChain::Closing(closing), Call::Withdraw) => {
                if self.block < closing.block + CHALLENGE_PERIOD {
                    return Err("too early");
                }
                let end = End { kind: EndKind::Withdrawn, paid_out: closing.balances };
                OnChain::Closed { closing: Some(closing), end }
            }
            _ => return Err("wrong state"),
        };
        self.status = next;
        self.newest = EventPosition { block: self.block, tx: Some(B256::with_last_byte(self.block as u8)) };
        Ok(())
    }

    fn signed(&self, receipt: &Receipt, evidence: &Evidence, by: Role) -> Result<(), &'static str> {
        let digest = Domain::new(CHAIN_ID, CHANNEL).digest(receipt);
        if receipt.balances.sum() != self.paid_in.sum() {
            return Err("bad sum");
        }
        match evidence.signature {
            None if receipt.nonce == Nonce::ZERO && receipt.balances == self.paid_in => Ok(()),
            Some(signature)
                if receipt.nonce > Nonce::ZERO
                    && signer(by).verify(&digest, &signature, &signer(by).address()) =>
            {
                Ok(())
            }
            _ => Err("bad signature"),
        }
    }

    fn close(&self, caller: Role, plan: &ClosePlan) -> Result<OnChain, &'static str> {
        let closing = |nonce, balances, base_nonce, by_proposal| {
            OnChain::Closing(Closing {
                closer: caller,
                nonce,
                balances,
                block: self.block,
                paid_in: Some(self.paid_in),
                event: Some(ClosingEvent {
                    base_nonce,
                    by_proposal,
                    tx: B256::with_last_byte(self.block as u8),
                }),
            })
        };
        match plan {
            ClosePlan::Receipt(evidence) => {
                self.signed(&evidence.receipt, evidence, caller.other())?;
                let Receipt { nonce, balances } = evidence.receipt;
                Ok(closing(nonce, balances, nonce, false))
            }
            ClosePlan::Proposal { base, proposed, .. } => {
                self.signed(&base.receipt, base, caller.other())?;
                let next = base.receipt.nonce.next_of(caller).ok_or("nonce")?;
                if proposed.sum() != self.paid_in.sum()
                    || proposed.of(caller) > base.receipt.balances.of(caller)
                {
                    return Err("no concession");
                }
                Ok(closing(next, *proposed, base.receipt.nonce, true))
            }
            ClosePlan::Final { balances, signature, .. } => {
                let receipt = Receipt { nonce: Nonce::FINAL, balances: *balances };
                let evidence = Evidence { receipt, signature: Some(*signature) };
                self.signed(&receipt, &evidence, caller.other())?;
                Ok(OnChain::Closed { closing: None, end: End { kind: EndKind::Final, paid_out: *balances } })
            }
        }
    }

    fn challenge(&self, closing: Closing, evidence: &Evidence) -> Result<OnChain, &'static str> {
        let receipt = evidence.receipt;
        self.signed(&receipt, evidence, closing.closer)?;
        let newer = receipt.nonce > closing.nonce
            || (receipt.nonce == closing.nonce && receipt.balances != closing.balances);
        if self.block >= closing.block + CHALLENGE_PERIOD || receipt.nonce == Nonce::FINAL || !newer {
            return Err("nothing to challenge");
        }
        let total = self.paid_in.sum().ok_or("sum")?;
        let zero = thd(0);
        let paid_out = match closing.closer {
            Role::A => Balances { a: zero, b: total },
            Role::B => Balances { a: total, b: zero },
        };
        Ok(OnChain::Closed { closing: Some(closing), end: End { kind: EndKind::Challenged, paid_out } })
    }

    /// Both nodes see the chain as it is.
    pub fn show(&self, pair: &mut Pair) {
        for role in [Role::A, Role::B] {
            let party = pair.party(role);
            party.head = self.block;
            if !party.is_dead() {
                party.apply(Input::Chain(ChainInput::View(self.view())));
            }
        }
    }

    /// Runs what both sides have asked for, oldest first. What the contract refuses is reported.
    pub fn run(&mut self, pair: &mut Pair) {
        for role in [Role::A, Role::B] {
            let calls: Vec<_> = pair.party(role).submitted.drain(..).collect();
            for call in calls.iter().filter(|call| call.kind() != CallKind::Open) {
                if let Err(reason) = self.execute(role, call) {
                    let party = pair.party(role);
                    if !party.is_dead() {
                        party.fail(call.kind(), reason);
                    }
                }
            }
        }
    }
}
