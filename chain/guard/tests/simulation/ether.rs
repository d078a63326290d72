//! A chain: blocks, a mempool, and as much of the channel contract as the guard deals with.

use std::collections::BTreeMap;

use ethers_core::types::transaction::eip2718::TypedTransaction;
use ethers_core::types::{NameOrAddress, U256};
use ethers_core::utils::{id, keccak256, rlp::Rlp};
use thunder_guard::state::StorageState;
use thunder_guard::{Head, from_ethers};
use thunder_protocol::{Address, Amount, B256, Balances, Nonce, Role};

use crate::random::Random;

pub(crate) const CHAIN_ID: u64 = 5;
/// The first block has this number.
pub(crate) const FIRST: u64 = 1_000;
/// The receipt that the node has: newer than what a cheat closes on.
pub(crate) const NEWEST: u64 = 7;

/// geth guarantees an account as many places (`--txpool.accountslots`), Reth gives no more.
pub(crate) const ACCOUNT_SLOTS: u64 = 16;

/// A transaction that waits or is mined.
#[derive(Debug, Clone)]
pub(crate) struct Transaction {
    pub(crate) hash: B256,
    pub(crate) nonce: u64,
    pub(crate) to: Address,
    pub(crate) data: Vec<u8>,
    pub(crate) gas: u64,
    pub(crate) max_fee: u128,
    pub(crate) tip: u128,
}

impl Transaction {
    fn decode(raw: &[u8]) -> Self {
        let (tx, _) = TypedTransaction::decode_signed(&Rlp::new(raw)).expect("a signed transaction");
        assert_eq!(tx.chain_id().map(|id| id.as_u64()), Some(CHAIN_ID));
        let number = |value: Option<U256>| u128::try_from(value.expect("a number")).expect("a number");
        let Some(NameOrAddress::Address(to)) = tx.to() else { panic!("a receiver") };
        let (max_fee, tip) = match &tx {
            TypedTransaction::Eip1559(tx) => (tx.max_fee_per_gas, tx.max_priority_fee_per_gas),
            // Without EIP-1559 all of the price beyond the base fee is the tip.
            TypedTransaction::Legacy(tx) => (tx.gas_price, tx.gas_price),
            TypedTransaction::Eip2930(_) => panic!("nobody makes these"),
        };
        Self {
            hash: B256::new(keccak256(raw)),
            nonce: number(tx.nonce().copied()) as u64,
            to: from_ethers(*to),
            data: tx.data().map(|data| data.to_vec()).unwrap_or_default(),
            gas: number(tx.gas().copied()) as u64,
            max_fee: number(max_fee),
            tip: number(tip),
        }
    }
}

/// What was mined.
#[derive(Debug, Clone)]
pub(crate) struct Mined {
    pub(crate) transaction: Transaction,
    pub(crate) succeeded: bool,
    /// Whether another program made it.
    pub(crate) is_foreign: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) head: Head,
    pub(crate) states: BTreeMap<Address, StorageState>,
    pub(crate) count: u64,
    pub(crate) mined: Vec<Mined>,
}

/// The chain.
pub(crate) struct Ether {
    pub(crate) blocks: Vec<Block>,
    pub(crate) pool: Vec<Transaction>,
    /// Another program's transactions on the same account.
    pub(crate) foreign: Vec<Transaction>,
    pub(crate) balance: u128,
    /// The least tip that a block takes.
    pub(crate) least_tip: u128,
    marks: u64,
    /// The time between two blocks.
    pub(crate) block_seconds: u64,
    /// Gas is paid for, and a mempool takes no more than the account can pay for in all.
    pub(crate) is_paid: bool,
    /// How many transactions of one account a mempool takes.
    pub(crate) account_slots: u64,
}

pub(crate) fn thd(whole: u64) -> Amount {
    Amount::from_base_units(u128::from(whole) * Amount::ONE_THD.base_units()).unwrap()
}

pub(crate) fn shares(a: u64, b: u64) -> Balances {
    Balances { a: thd(a), b: thd(b) }
}

/// Why a mempool does not take a transaction, in the words of geth.
pub(crate) type Refused = &'static str;

impl Ether {
    pub(crate) fn new(channels: &[Address], base_fee: u128, block_seconds: u64) -> Self {
        let active = StorageState::Active { paid_in: shares(10, 0) };
        let head = Head {
            number: FIRST,
            hash: B256::repeat_byte(1),
            parent: B256::ZERO,
            timestamp: 1_000_000,
            base_fee: Some(base_fee),
        };
        let states = channels.iter().map(|channel| (*channel, active)).collect();
        Self {
            blocks: vec![Block { head, states, count: 3, mined: Vec::new() }],
            pool: Vec::new(),
            foreign: Vec::new(),
            balance: 10u128.pow(18),
            least_tip: 1,
            marks: 1,
            block_seconds,
            is_paid: false,
            account_slots: ACCOUNT_SLOTS,
        }
    }

    pub(crate) fn newest(&self) -> &Block {
        self.blocks.last().unwrap()
    }

    pub(crate) fn number(&self) -> u64 {
        self.newest().head.number
    }

    pub(crate) fn at(&self, number: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(number.checked_sub(FIRST)?).ok()?)
    }

    /// The channels that began to close in these blocks.
    pub(crate) fn closed_in(&self, from: u64, to: u64) -> impl Iterator<Item = (Address, u64)> + '_ {
        (from..=to).filter_map(|number| self.at(number)).flat_map(|block| {
            let number = block.head.number;
            block.states.iter().filter_map(move |(channel, state)| {
                matches!(state, StorageState::Closing { block, .. } if *block == number)
                    .then_some((*channel, number))
            })
        })
    }

    pub(crate) fn state(&self, channel: &Address) -> StorageState {
        self.newest().states.get(channel).copied().unwrap_or(StorageState::Missing)
    }

    pub(crate) fn receipt(&self, hash: B256) -> Option<(u64, bool)> {
        self.blocks.iter().find_map(|block| {
            let mined = block.mined.iter().find(|mined| mined.transaction.hash == hash)?;
            Some((block.head.number, mined.succeeded))
        })
    }

    /// A mempool gets a transaction.
    pub(crate) fn submit(&mut self, raw: &[u8]) -> Result<B256, Refused> {
        let new = Transaction::decode(raw);
        if self.pool.iter().any(|known| known.hash == new.hash) {
            return Err("already known");
        }
        if new.nonce < self.newest().count {
            return Err("nonce too low");
        }
        if new.nonce >= self.newest().count + self.account_slots {
            return Err("account limit exceeded");
        }
        if u128::from(new.gas) * new.max_fee > self.balance {
            return Err("insufficient funds for gas * price + value");
        }
        let replaces =
            |old: &Transaction| new.max_fee * 10 >= old.max_fee * 11 && new.tip * 10 >= old.tip * 11;
        for pool in [&mut self.pool, &mut self.foreign] {
            if let Some(index) = pool.iter().position(|old| old.nonce == new.nonce) {
                if !replaces(&pool[index]) {
                    return Err("replacement transaction underpriced");
                }
                pool.remove(index);
            }
        }
        let queued: u128 = self.pool.iter().map(|tx| u128::from(tx.gas) * tx.max_fee).sum();
        if self.is_paid && queued + u128::from(new.gas) * new.max_fee > self.balance {
            return Err("insufficient funds for gas * price + value: overshot");
        }
        let hash = new.hash;
        self.pool.push(new);
        Ok(hash)
    }

    /// Mines a block with `changes` and whatever the pool has that it takes.
    pub(crate) fn mine(&mut self, seconds: u64, base_fee: u128, changes: &[(Address, StorageState)]) {
        let before = self.newest().clone();
        self.marks += 1;
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&self.marks.to_be_bytes());
        let head = Head {
            number: before.head.number + 1,
            hash: B256::new(hash),
            parent: before.head.hash,
            timestamp: before.head.timestamp + seconds,
            base_fee: Some(base_fee),
        };
        let mut block = Block { head, mined: Vec::new(), ..before };
        for (channel, state) in changes {
            let state = match *state {
                StorageState::Closing { closer, nonce, balances, .. } => {
                    StorageState::Closing { closer, nonce, balances, block: head.number }
                }
                other => other,
            };
            block.states.insert(*channel, state);
        }
        loop {
            let takes = |tx: &Transaction| {
                tx.nonce == block.count
                    && tx.max_fee >= base_fee
                    && tx.tip.min(tx.max_fee - base_fee) >= self.least_tip
            };
            let (pool, is_foreign) = match self.pool.iter().position(takes) {
                Some(index) => (self.pool.remove(index), false),
                None => match self.foreign.iter().position(takes) {
                    Some(index) => (self.foreign.remove(index), true),
                    None => break,
                },
            };
            let succeeded = is_foreign || execute(&mut block, &pool);
            block.count += 1;
            if self.is_paid {
                self.balance =
                    self.balance.saturating_sub(55_000 * (base_fee + pool.tip.min(pool.max_fee - base_fee)));
            }
            block.mined.push(Mined { transaction: pool, succeeded, is_foreign });
        }
        let count = block.count;
        self.pool.retain(|tx| tx.nonce >= count);
        self.foreign.retain(|tx| tx.nonce >= count);
        self.blocks.push(block);
    }

    /// Takes blocks back; their transactions wait again.
    pub(crate) fn take_back(&mut self, depth: usize, random: &mut Random) {
        let depth = depth.min(self.blocks.len() - 1);
        for block in self.blocks.split_off(self.blocks.len() - depth) {
            for mined in block.mined.into_iter().filter(|_| !random.one_in(4)) {
                let pool = if mined.is_foreign { &mut self.foreign } else { &mut self.pool };
                if pool.iter().all(|other| other.nonce != mined.transaction.nonce) {
                    pool.push(mined.transaction);
                }
            }
        }
    }

    /// All that was mined, of the account's own.
    pub(crate) fn own_mined(&self) -> impl Iterator<Item = &Mined> {
        self.blocks.iter().flat_map(|block| &block.mined).filter(|mined| !mined.is_foreign)
    }
}

/// `challenge`, `closing`, `withdraw` and `open`, as far as states go.
fn execute(block: &mut Block, tx: &Transaction) -> bool {
    let is = |signature: &str| tx.data.get(..4) == Some(&id(signature)[..]);
    let number = block.head.number;
    if is("open(uint256,address,uint256,bytes32)") {
        return true;
    }
    let Some(state) = block.states.get_mut(&tx.to) else { return false };
    match *state {
        StorageState::Closing { closer, nonce, balances, block: at } => {
            let total = balances.sum().unwrap();
            let zero = Amount::ZERO;
            if is("challenge(uint256,uint256,uint256,bytes)") {
                let newer = tx.data.get(28..36).map(|word| u64::from_be_bytes(word.try_into().unwrap()));
                if number >= at + 24 || newer.is_none_or(|newer| newer <= nonce.get()) {
                    return false;
                }
                let balances = match closer {
                    Role::A => Balances { a: zero, b: total },
                    Role::B => Balances { a: total, b: zero },
                };
                *state = StorageState::Closed { nonce, balances, block: at };
                return true;
            }
            if is("withdraw()") && number >= at + 24 {
                *state = StorageState::Closed { nonce, balances, block: at };
                return true;
            }
            false
        }
        StorageState::Active { paid_in } if is("closing(uint256,uint256,uint256,bytes)") => {
            let nonce = tx.data.get(28..36).map(|word| u64::from_be_bytes(word.try_into().unwrap()));
            let Some(nonce) = nonce.and_then(Nonce::new) else { return false };
            *state = StorageState::Closing { closer: Role::B, nonce, balances: paid_in, block: number };
            true
        }
        _ => false,
    }
}

/// The states as the guard's endpoint answers them.
pub(crate) fn word(state: &StorageState) -> [u8; 32] {
    let mut word = [0; 32];
    let (phase, block, nonce, balances) = match *state {
        StorageState::Missing => return word,
        StorageState::Empty { paid_in } => (1, 0, 0, paid_in),
        StorageState::Active { paid_in } => (2, 0, 0, paid_in),
        StorageState::Closing { closer: Role::A, nonce, balances, block } => {
            (3, block, nonce.get(), balances)
        }
        StorageState::Closing { closer: Role::B, nonce, balances, block } => {
            (4, block, nonce.get(), balances)
        }
        StorageState::Closed { nonce, balances, block } => (5, block, nonce.get(), balances),
    };
    word[0] = phase;
    word[1..5].copy_from_slice(&(block as u32).to_be_bytes());
    word[5..10].copy_from_slice(&nonce.to_be_bytes()[3..]);
    word[10..21].copy_from_slice(&balances.b.base_units().to_be_bytes()[5..]);
    word[21..32].copy_from_slice(&balances.a.base_units().to_be_bytes()[5..]);
    word
}

/// The addresses of channels, by their number.
pub(crate) fn channels(count: usize) -> Vec<Address> {
    (1..=count as u64).map(|number| Address::left_padding_from(&(number << 8 | 0xc).to_be_bytes())).collect()
}
