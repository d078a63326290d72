//! The contract as contract.md has it, with blocks that can be taken back.

use thunder_protocol::onchain::{
    CHALLENGE_PERIOD, Call, ChainView, ClosePlan, Closing, ClosingEvent, End, EndKind, EventPosition,
    Evidence, OnChain,
};
use thunder_protocol::{Amount, B256, Balances, Nonce, Receipt, Role};

use super::keys::Keys;

/// What the chain knows of the channel.
#[derive(Clone)]
pub struct Contract {
    pub head: u64,
    pub status: OnChain,
    pub newest: Option<EventPosition>,
    amount: Amount,
    events: u64,
    /// The states that a reorganisation can bring back.
    earlier: Vec<(OnChain, Option<EventPosition>)>,
}

type Refused = &'static str;

impl Contract {
    pub fn missing(amount: Amount) -> Self {
        Self { head: 10, status: OnChain::Missing, newest: None, amount, events: 0, earlier: Vec::new() }
    }

    pub fn view(&self) -> ChainView {
        ChainView { head: self.head, newest: self.newest, status: self.status }
    }

    pub fn mine(&mut self, blocks: u64) {
        self.head += blocks;
    }

    /// Takes back the newest event, unless it is `confirmations` deep: deeper reorganisations are
    /// what confirmations are there for.
    pub fn take_back(&mut self, confirmations: u64) -> bool {
        if self.view().is_confirmed(confirmations) || self.newest.is_none() {
            return false;
        }
        let Some((status, newest)) = self.earlier.pop() else { return false };
        (self.status, self.newest) = (status, newest);
        true
    }

    /// Mines a block with one call in it.
    pub fn call(&mut self, caller: Role, call: &Call, keys: &Keys) -> Result<(), Refused> {
        self.head += 1;
        let status = match (self.status, call) {
            (OnChain::Missing, Call::Open { deposit, .. }) => {
                let zero = Amount::ZERO;
                self.paid(Balances { a: zero, b: zero }, Role::A, *deposit)?
            }
            (OnChain::Empty { paid_in }, Call::Fund { value }) => self.paid(paid_in, caller, *value)?,
            (OnChain::Empty { paid_in }, Call::Cancel) => self.end(None, EndKind::Cancelled, paid_in),
            (OnChain::Active { paid_in }, Call::Close(plan)) => self.close(caller, plan, paid_in, keys)?,
            (OnChain::Closing(closing), Call::Challenge(evidence)) => {
                self.challenge(closing, evidence, keys)?
            }
            (OnChain::Closing(closing), Call::Withdraw) if self.head >= closing.withdrawable_at() => {
                self.end(Some(closing), EndKind::Withdrawn, closing.balances)
            }
            _ => return Err("wrong state"),
        };
        self.earlier.push((self.status, self.newest));
        self.status = status;
        self.newest = Some(EventPosition { block: self.head, tx: Some(self.tx()) });
        self.events += 1;
        Ok(())
    }

    fn tx(&self) -> B256 {
        B256::left_padding_from(&self.events.to_be_bytes())
    }

    fn end(&self, closing: Option<Closing>, kind: EndKind, paid_out: Balances) -> OnChain {
        OnChain::Closed { closing, end: End { kind, paid_out } }
    }

    fn paid(&self, before: Balances, payer: Role, value: Amount) -> Result<OnChain, Refused> {
        let mut paid_in = before;
        let share = before.of(payer).checked_add(value).ok_or("too much")?;
        match payer {
            Role::A => paid_in.a = share,
            Role::B => paid_in.b = share,
        }
        let sum = paid_in.sum().filter(|sum| *sum <= self.amount).ok_or("too much")?;
        Ok(if sum == self.amount { OnChain::Active { paid_in } } else { OnChain::Empty { paid_in } })
    }

    fn check(
        &self,
        evidence: &Evidence,
        by: Role,
        paid_in: Option<Balances>,
        keys: &Keys,
    ) -> Result<(), Refused> {
        let Receipt { nonce, balances } = evidence.receipt;
        if balances.sum() != Some(self.amount) {
            return Err("bad sum");
        }
        let holds = match evidence.signature {
            None => nonce == Nonce::ZERO && paid_in == Some(balances),
            Some(signature) => nonce > Nonce::ZERO && keys.verify(&evidence.receipt, &signature, by),
        };
        if holds { Ok(()) } else { Err("bad signature, or not what was paid in") }
    }

    fn close(
        &self,
        caller: Role,
        plan: &ClosePlan,
        paid_in: Balances,
        keys: &Keys,
    ) -> Result<OnChain, Refused> {
        let closing = |Receipt { nonce, balances }: Receipt, base_nonce, by_proposal| {
            let (block, tx) = (self.head, self.tx());
            OnChain::Closing(Closing {
                closer: caller,
                nonce,
                balances,
                block,
                paid_in: Some(paid_in),
                event: Some(ClosingEvent { base_nonce, by_proposal, tx }),
            })
        };
        match plan {
            ClosePlan::Receipt(evidence) => {
                self.check(evidence, caller.other(), Some(paid_in), keys)?;
                if evidence.receipt.nonce == Nonce::FINAL {
                    return Err("use the FINAL plan");
                }
                Ok(closing(evidence.receipt, evidence.receipt.nonce, false))
            }
            ClosePlan::Proposal { base, proposed, .. } => {
                self.check(base, caller.other(), Some(paid_in), keys)?;
                let next = base.receipt.nonce.next_of(caller).ok_or("no nonce is left")?;
                if proposed.sum() != Some(self.amount) {
                    return Err("bad sum");
                }
                if proposed.of(caller) > base.receipt.balances.of(caller) {
                    return Err("no concession");
                }
                Ok(closing(Receipt { nonce: next, balances: *proposed }, base.receipt.nonce, true))
            }
            ClosePlan::Final { balances, signature, .. } => {
                let receipt = Receipt { nonce: Nonce::FINAL, balances: *balances };
                self.check(&Evidence { receipt, signature: Some(*signature) }, caller.other(), None, keys)?;
                Ok(self.end(None, EndKind::Final, *balances))
            }
        }
    }

    fn challenge(&self, closing: Closing, evidence: &Evidence, keys: &Keys) -> Result<OnChain, Refused> {
        self.check(evidence, closing.closer, None, keys)?;
        let Receipt { nonce, balances } = evidence.receipt;
        let punishes = nonce > closing.nonce || (nonce == closing.nonce && balances != closing.balances);
        if self.head >= closing.block + CHALLENGE_PERIOD || nonce == Nonce::FINAL || !punishes {
            return Err("nothing to challenge");
        }
        let (all, none) = (self.amount, Amount::ZERO);
        let paid_out = match closing.closer {
            Role::A => Balances { a: none, b: all },
            Role::B => Balances { a: all, b: none },
        };
        Ok(self.end(Some(closing), EndKind::Challenged, paid_out))
    }
}
