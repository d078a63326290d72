//! The contract's model: what each call does to state, balances and payouts, and which error it ends in.
//!
//! `protocol/model/tests/differential.rs` holds it against the bytecode.

use thunder_protocol::onchain::{
    CHALLENGE_PERIOD, Call, ChainClosing, ChainView, ChannelEnd, ClosingEvent, EndKind, EventPosition,
    OnChain,
};
use thunder_protocol::{Address, Amount, B256, Balances, Crypto, Domain, Nonce, Receipt, Role};

pub use crate::calls::{Caller, Function, Revert, Shown};

/// What may be wrong with a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It takes any balances as receipt 0.
    InventedBaseZero,
    /// It lets the caller of `closingProposal` choose the nonce.
    FreeNonce,
}

/// `state()`, with who closed; before that, whether there is a contract at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the contract's states")]
pub enum Phase {
    Missing,
    Empty,
    Active,
    Closing(Role),
    Closed,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Ending {
    Cancelled,
    Final,
    Withdrawn,
    Challenged,
}

/// One channel on one chain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Contract {
    /// The newest block.
    pub block: u64,
    /// The state.
    pub phase: Phase,
    /// `Nonce()`.
    pub nonce: u64,
    /// `balanceA()`.
    pub a: u128,
    /// `balanceB()`.
    pub b: u128,
    /// `closingBlock()`.
    pub closing_block: u64,
    /// What is still to be paid in.
    pub unfunded: u128,
    /// What each party was paid out.
    pub paid: Option<(u128, u128)>,
    deposits: (u128, u128),
    domain: Domain,
    parties: [Address; 2],
    closing: Option<(Role, u64, bool, (u128, u128))>,
    end: Option<Ending>,
    event: Option<u64>,
    fault: Option<Fault>,
}

impl Contract {
    /// Nothing is at the address yet.
    pub const fn missing(domain: Domain, parties: [Address; 2], block: u64, fault: Option<Fault>) -> Self {
        Self {
            block,
            phase: Phase::Missing,
            nonce: 0,
            a: 0,
            b: 0,
            closing_block: 0,
            unfunded: 0,
            paid: None,
            deposits: (0, 0),
            domain,
            parties,
            closing: None,
            end: None,
            event: None,
            fault,
        }
    }

    /// Comes into being at the newest block, with a deposit of A's.
    pub const fn create(&mut self, amount: u128, deposit: u128) {
        self.phase = if amount == deposit { Phase::Active } else { Phase::Empty };
        self.a = deposit;
        self.unfunded = amount - deposit;
        self.deposits = (deposit, 0);
        self.event = Some(self.block);
    }

    /// Mines a block with one call in it.
    pub fn mine(&mut self, caller: Caller, function: &Function, crypto: &dyn Crypto) -> Result<(), Revert> {
        self.block += 1;
        let mut next = self.clone();
        next.run(caller, function, crypto)?;
        next.event = Some(self.block);
        *self = next;
        Ok(())
    }

    /// Mines a block with the call that a node asks for; opening is the factory's.
    pub fn call(&mut self, from: Role, call: &Call, crypto: &dyn Crypto) -> Result<(), Revert> {
        if let Some(function) = Function::of(call) {
            return self.mine(Caller::Party(from), &function, crypto);
        }
        let Call::Open { amount, deposit, .. } = call else { return Err(Revert::WrongState) };
        self.block += 1;
        self.require(Phase::Missing)?;
        if deposit > amount {
            return Err(Revert::AmountExceeded);
        }
        self.create(amount.base_units(), deposit.base_units());
        Ok(())
    }

    fn run(&mut self, caller: Caller, function: &Function, crypto: &dyn Crypto) -> Result<(), Revert> {
        match function {
            Function::Fund(value) => self.fund(caller, *value),
            Function::Cancel => self.cancel(caller),
            Function::Closing(shown) => self.close(caller, shown, crypto),
            Function::ClosingProposal { base, a, b, nonce } => {
                self.close_on_proposal(caller, base, (*a, *b), *nonce, crypto)
            }
            Function::Challenge(shown) => self.challenge(shown, crypto),
            Function::Withdraw => self.withdraw(),
        }
    }

    fn fund(&mut self, caller: Caller, value: u128) -> Result<(), Revert> {
        self.require(Phase::Empty)?;
        let role = party(caller)?;
        self.unfunded = self.unfunded.checked_sub(value).ok_or(Revert::AmountExceeded)?;
        match role {
            Role::A => self.a += value,
            Role::B => self.b += value,
        }
        self.deposits = (self.a, self.b);
        if self.unfunded == 0 {
            self.phase = Phase::Active;
        }
        Ok(())
    }

    fn cancel(&mut self, caller: Caller) -> Result<(), Revert> {
        self.require(Phase::Empty)?;
        party(caller)?;
        self.pay_out(Ending::Cancelled);
        Ok(())
    }

    fn close(&mut self, caller: Caller, shown: &Shown, crypto: &dyn Crypto) -> Result<(), Revert> {
        self.require(Phase::Active)?;
        let role = party(caller)?;
        self.check_held(shown, role.other(), crypto)?;
        (self.nonce, self.a, self.b, self.closing_block) = (shown.nonce, shown.a, shown.b, self.block);
        if shown.nonce == Nonce::FINAL.get() {
            self.pay_out(Ending::Final);
        } else {
            self.begin(role, shown.nonce, false);
        }
        Ok(())
    }

    fn close_on_proposal(
        &mut self,
        caller: Caller,
        base: &Shown,
        (a, b): (u128, u128),
        free: u64,
        crypto: &dyn Crypto,
    ) -> Result<(), Revert> {
        self.require(Phase::Active)?;
        let role = party(caller)?;
        if base.nonce == Nonce::FINAL.get() {
            return Err(Revert::FinalNotAccepted);
        }
        self.check_held(base, role.other(), crypto)?;
        self.check_sum(a, b)?;
        let (had, has) = match role {
            Role::A => (base.a, a),
            Role::B => (base.b, b),
        };
        if has > had {
            return Err(Revert::ProposalDoesNotConcede);
        }
        // A proposes odd nonces, B even ones.
        let step = if base.nonce.is_multiple_of(2) == (role == Role::A) { 1 } else { 2 };
        let nonce = if self.fault == Some(Fault::FreeNonce) { free } else { base.nonce + step };
        if nonce >= Nonce::FINAL.get() {
            return Err(Revert::ProposalNonceTooLarge);
        }
        (self.nonce, self.a, self.b, self.closing_block) = (nonce, a, b, self.block);
        self.begin(role, base.nonce, true);
        Ok(())
    }

    fn challenge(&mut self, shown: &Shown, crypto: &dyn Crypto) -> Result<(), Revert> {
        let Phase::Closing(closer) = self.phase else { return Err(Revert::WrongState) };
        if self.block >= self.closing_block + CHALLENGE_PERIOD {
            return Err(Revert::ChallengePeriodOver);
        }
        if shown.nonce == Nonce::FINAL.get() {
            return Err(Revert::FinalNotAccepted);
        }
        self.check_receipt(shown)?;
        if shown.nonce < self.nonce {
            return Err(Revert::ReceiptNotNewer);
        }
        if shown.nonce == self.nonce && shown.a == self.a {
            return Err(Revert::SameReceipt);
        }
        self.check_signer(shown, closer, crypto)?;
        let total = self.a + self.b;
        (self.a, self.b) = if closer == Role::A { (0, total) } else { (total, 0) };
        self.pay_out(Ending::Challenged);
        Ok(())
    }

    fn withdraw(&mut self) -> Result<(), Revert> {
        let Phase::Closing(_) = self.phase else { return Err(Revert::WrongState) };
        if self.block < self.closing_block + CHALLENGE_PERIOD {
            return Err(Revert::ChallengePeriodNotOver);
        }
        self.pay_out(Ending::Withdrawn);
        Ok(())
    }

    fn require(&self, phase: Phase) -> Result<(), Revert> {
        if self.phase == phase { Ok(()) } else { Err(Revert::WrongState) }
    }

    fn begin(&mut self, closer: Role, base_nonce: u64, by_proposal: bool) {
        self.phase = Phase::Closing(closer);
        self.closing = Some((closer, base_nonce, by_proposal, (self.a, self.b)));
    }

    fn pay_out(&mut self, how: Ending) {
        (self.phase, self.end, self.paid) = (Phase::Closed, Some(how), Some((self.a, self.b)));
    }

    fn check_sum(&self, a: u128, b: u128) -> Result<(), Revert> {
        if a.checked_add(b) == Some(self.a + self.b) { Ok(()) } else { Err(Revert::WrongSum) }
    }

    fn check_receipt(&self, shown: &Shown) -> Result<(), Revert> {
        if shown.nonce > Nonce::FINAL.get() {
            return Err(Revert::NonceTooLarge);
        }
        self.check_sum(shown.a, shown.b)
    }

    fn check_held(&self, shown: &Shown, other: Role, crypto: &dyn Crypto) -> Result<(), Revert> {
        self.check_receipt(shown)?;
        if shown.nonce != 0 {
            return self.check_signer(shown, other, crypto);
        }
        if shown.a != self.a && self.fault != Some(Fault::InventedBaseZero) {
            return Err(Revert::NotPaidIn);
        }
        if shown.signature.is_some() {
            return Err(Revert::UnexpectedSignature);
        }
        Ok(())
    }

    fn check_signer(&self, shown: &Shown, signer: Role, crypto: &dyn Crypto) -> Result<(), Revert> {
        let signature = shown.signature.ok_or(Revert::Signature)?;
        let Some(receipt) = receipt(shown) else { return Err(Revert::Signature) };
        let address = self.parties[signer as usize];
        let valid = crypto.verify(&self.domain.digest(&receipt), &signature, &address);
        if valid { Ok(()) } else { Err(Revert::Signature) }
    }

    /// What each party has paid in.
    pub const fn deposits(&self) -> (u128, u128) {
        self.deposits
    }

    /// What a node reads of it.
    pub fn view(&self) -> ChainView {
        let tx = |block: u64| B256::with_last_byte(block as u8);
        let shares = balances(self.a, self.b);
        let closing = || {
            let (closer, base, by_proposal, (a, b)) = self.closing?;
            Some(ChainClosing {
                closer,
                nonce: Nonce::new(self.nonce)?,
                balances: balances(a, b),
                block: self.closing_block,
                paid_in: Some(balances(self.deposits.0, self.deposits.1)),
                event: Some(ClosingEvent {
                    base_nonce: Nonce::new(base)?,
                    by_proposal,
                    tx: tx(self.closing_block),
                }),
            })
        };
        let status = match self.phase {
            Phase::Missing => OnChain::Missing,
            Phase::Empty => OnChain::Empty { paid_in: shares },
            Phase::Active => OnChain::Active { paid_in: shares },
            Phase::Closing(_) => closing().map_or(OnChain::Missing, OnChain::Closing),
            Phase::Closed => {
                let kind = match self.end {
                    Some(Ending::Cancelled) => EndKind::Cancelled,
                    Some(Ending::Final) => EndKind::Final,
                    Some(Ending::Challenged) => EndKind::Challenged,
                    Some(Ending::Withdrawn) | None => EndKind::Withdrawn,
                };
                OnChain::Closed { closing: closing(), end: ChannelEnd { kind, paid_out: shares } }
            }
        };
        let newest = self.event.map(|block| EventPosition { block, tx: Some(tx(block)) });
        ChainView { head: self.block, newest, status }
    }
}

fn party(caller: Caller) -> Result<Role, Revert> {
    match caller {
        Caller::Party(role) => Ok(role),
        Caller::Stranger => Err(Revert::NotParty),
    }
}

fn receipt(shown: &Shown) -> Option<Receipt> {
    let balances = Balances { a: Amount::from_base_units(shown.a)?, b: Amount::from_base_units(shown.b)? };
    Some(Receipt { nonce: Nonce::new(shown.nonce)?, balances })
}

fn balances(a: u128, b: u128) -> Balances {
    let amount = |units| Amount::from_base_units(units).unwrap_or(Amount::MAX);
    Balances { a: amount(a), b: amount(b) }
}
