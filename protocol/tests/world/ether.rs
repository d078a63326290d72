//! The chain: blocks that are mined when their time comes, a pool of transactions that are mined
//! late when fees are high, and reorganisations that put the transactions of the newest blocks back
//! into the pool.

use thunder_protocol::onchain::{
    CHALLENGE_PERIOD, Call, CallKind, ChainView, ClosePlan, Closing, ClosingEvent, End, EndKind,
    EventPosition, Evidence, OnChain,
};
use thunder_protocol::{Amount, B256, Balances, Crypto, Domain, Nonce, Receipt, Role};

use crate::common::{CHAIN_ID, CHANNEL, signer};
use crate::random::Random;

/// A transaction that waits to be mined.
#[derive(Debug, Clone)]
pub(crate) struct Pooled {
    pub(crate) from: Role,
    pub(crate) call: Call,
    not_before: u64,
}

/// A transaction that was mined, and what became of it.
#[derive(Debug, Clone)]
pub(crate) struct Mined {
    pub(crate) from: Role,
    pub(crate) call: Call,
    pub(crate) result: Result<(), &'static str>,
}

/// The contract after one block.
#[derive(Debug, Clone)]
struct Block {
    status: OnChain,
    newest: Option<EventPosition>,
    mined: Vec<Mined>,
    /// Different for each block that ever was, also for two at one height.
    mark: u64,
}

pub(crate) struct Ether {
    amount: Amount,
    blocks: Vec<Block>,
    pool: Vec<Pooled>,
    marks: u64,
    /// How many blocks a transaction waits at the most.
    pub(crate) congestion: u64,
}

impl Ether {
    pub(crate) fn new(amount: Amount) -> Self {
        let genesis = Block { status: OnChain::Missing, newest: None, mined: Vec::new(), mark: 0 };
        Self { amount, blocks: vec![genesis; 10], pool: Vec::new(), marks: 0, congestion: 1 }
    }

    pub(crate) fn height(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }

    fn newest(&self) -> &Block {
        self.blocks.last().expect("there is a first block")
    }

    pub(crate) fn status(&self) -> OnChain {
        self.newest().status
    }

    pub(crate) fn view(&self) -> ChainView {
        ChainView { head: self.height(), newest: self.newest().newest, status: self.status() }
    }

    /// The name of the newest block.
    pub(crate) fn mark(&self) -> u64 {
        self.newest().mark
    }

    /// What was mined in the newest block.
    pub(crate) fn mined(&self) -> &[Mined] {
        &self.newest().mined
    }

    pub(crate) fn paid_out(&self) -> Option<Balances> {
        match self.status() {
            OnChain::Closed { end, .. } => Some(end.paid_out),
            _ => None,
        }
    }

    /// What each side has paid in.
    pub(crate) fn paid_in(&self) -> Balances {
        let nothing = Balances { a: Amount::ZERO, b: Amount::ZERO };
        let paid_in = |block: &Block| match block.status {
            OnChain::Empty { paid_in } | OnChain::Active { paid_in } => Some(paid_in),
            OnChain::Missing | OnChain::Closing(_) | OnChain::Closed { .. } => None,
        };
        self.blocks.iter().rev().find_map(paid_in).unwrap_or(nothing)
    }

    /// A transaction is broadcast; of each kind only one of a sender is under way.
    pub(crate) fn submit(&mut self, from: Role, call: Call, random: &mut Random) {
        let kind = call.kind();
        if self.pool.iter().any(|pooled| pooled.from == from && pooled.call.kind() == kind) {
            return;
        }
        let not_before = self.height() + 1 + random.below(self.congestion);
        self.pool.push(Pooled { from, call, not_before });
    }

    /// Mines a block with whatever is due, in any order.
    pub(crate) fn mine(&mut self, random: &mut Random) {
        let height = self.height() + 1;
        let (mut due, later) =
            self.pool.drain(..).partition::<Vec<_>, _>(|pooled| pooled.not_before <= height);
        self.pool = later;
        self.marks += 1;
        let before = self.newest();
        let mut block =
            Block { status: before.status, newest: before.newest, mined: Vec::new(), mark: self.marks };
        while let Some(Pooled { from, call, .. }) = random.take(&mut due) {
            let result = self.execute(block.status, height, from, &call).map(|status| {
                let tx = B256::left_padding_from(&(self.marks * 16 + block.mined.len() as u64).to_be_bytes());
                block.status = status;
                block.newest = Some(EventPosition { block: height, tx: Some(tx) });
            });
            block.mined.push(Mined { from, call, result });
        }
        self.blocks.push(block);
    }

    /// Takes the newest blocks back; what succeeded in them waits again.
    pub(crate) fn reorganise(&mut self, depth: u64, random: &mut Random) {
        for _ in 0..depth.min(self.height() - 9) {
            for Mined { from, call, result } in self.blocks.pop().expect("above the first").mined {
                if result.is_ok() {
                    self.submit(from, call, random);
                }
            }
        }
    }

    fn execute(
        &self,
        status: OnChain,
        height: u64,
        from: Role,
        call: &Call,
    ) -> Result<OnChain, &'static str> {
        match (status, call) {
            (OnChain::Missing, Call::Open { deposit, .. }) => {
                Ok(self.with_paid_in(Balances { a: *deposit, b: Amount::ZERO }))
            }
            (OnChain::Empty { paid_in }, Call::Fund { value }) => {
                let mut paid_in = paid_in;
                let own = match from {
                    Role::A => &mut paid_in.a,
                    Role::B => &mut paid_in.b,
                };
                *own = own.checked_add(*value).ok_or("too much")?;
                paid_in.sum().filter(|sum| *sum <= self.amount).ok_or("too much")?;
                Ok(self.with_paid_in(paid_in))
            }
            (OnChain::Empty { paid_in }, Call::Cancel) => Ok(closed(None, EndKind::Cancelled, paid_in)),
            (OnChain::Active { paid_in }, Call::Close(plan)) => self.close(paid_in, height, from, plan),
            (OnChain::Closing(closing), Call::Challenge(evidence)) => {
                self.challenge(closing, height, evidence)
            }
            (OnChain::Closing(closing), Call::Withdraw) if height >= closing.withdrawable_at() => {
                Ok(closed(Some(closing), EndKind::Withdrawn, closing.balances))
            }
            _ => Err("wrong state"),
        }
    }

    fn with_paid_in(&self, paid_in: Balances) -> OnChain {
        if paid_in.sum() == Some(self.amount) {
            OnChain::Active { paid_in }
        } else {
            OnChain::Empty { paid_in }
        }
    }

    fn check(&self, evidence: &Evidence, by: Role) -> Result<Receipt, &'static str> {
        let receipt = evidence.receipt;
        let digest = Domain::new(CHAIN_ID, CHANNEL).digest(&receipt);
        let signature = evidence.signature.ok_or("no signature")?;
        if receipt.balances.sum() != Some(self.amount) {
            return Err("bad sum");
        }
        signer(by)
            .verify(&digest, &signature, &signer(by).address())
            .then_some(receipt)
            .ok_or("bad signature")
    }

    /// A receipt to close on: signed by the other party, or receipt 0 as the chain knows it.
    fn base(&self, paid_in: Balances, from: Role, evidence: &Evidence) -> Result<Receipt, &'static str> {
        let zero = Receipt { nonce: Nonce::ZERO, balances: paid_in };
        match evidence.signature {
            None if evidence.receipt == zero => Ok(zero),
            Some(_) if evidence.receipt.nonce > Nonce::ZERO => self.check(evidence, from.other()),
            _ => Err("not receipt 0"),
        }
    }

    fn close(
        &self,
        paid_in: Balances,
        block: u64,
        from: Role,
        plan: &ClosePlan,
    ) -> Result<OnChain, &'static str> {
        let tx = B256::left_padding_from(&(self.marks * 16).to_be_bytes());
        let (base, Receipt { nonce, balances }, by_proposal) = match plan {
            ClosePlan::Receipt(evidence) => {
                let base = self.base(paid_in, from, evidence)?;
                (base, base, false)
            }
            ClosePlan::Proposal { base, proposed, .. } => {
                let base = self.base(paid_in, from, base)?;
                let nonce = base.nonce.next_of(from).ok_or("nonce")?;
                if proposed.sum() != Some(self.amount) || proposed.of(from) > base.balances.of(from) {
                    return Err("no concession");
                }
                (base, Receipt { nonce, balances: *proposed }, true)
            }
            ClosePlan::Final { balances, signature, .. } => {
                let receipt = Receipt { nonce: Nonce::FINAL, balances: *balances };
                self.check(&Evidence { receipt, signature: Some(*signature) }, from.other())?;
                return Ok(closed(None, EndKind::Final, *balances));
            }
        };
        let base_nonce = base.nonce;
        Ok(OnChain::Closing(Closing {
            closer: from,
            nonce,
            balances,
            block,
            paid_in: Some(paid_in),
            event: Some(ClosingEvent { base_nonce, by_proposal, tx }),
        }))
    }

    fn challenge(&self, closing: Closing, height: u64, evidence: &Evidence) -> Result<OnChain, &'static str> {
        let receipt = self.check(evidence, closing.closer)?;
        let newer = receipt.nonce > closing.nonce
            || (receipt.nonce == closing.nonce && receipt.balances != closing.balances);
        if height >= closing.block + CHALLENGE_PERIOD || receipt.nonce == Nonce::FINAL || !newer {
            return Err("nothing to challenge");
        }
        let paid_out = match closing.closer {
            Role::A => Balances { a: Amount::ZERO, b: self.amount },
            Role::B => Balances { a: self.amount, b: Amount::ZERO },
        };
        Ok(closed(Some(closing), EndKind::Challenged, paid_out))
    }

    /// Whether a call of this kind of this sender waits.
    pub(crate) fn has_pending(&self, from: Role, kind: CallKind) -> bool {
        self.pool.iter().any(|pooled| pooled.from == from && pooled.call.kind() == kind)
    }
}

fn closed(closing: Option<Closing>, kind: EndKind, paid_out: Balances) -> OnChain {
    OnChain::Closed { closing, end: End { kind, paid_out } }
}
