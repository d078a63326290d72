//! The contract's model against the contract: random calls go to both, and after each the results,
//! the public variables and everybody's THD are the same. The bytecode is the committed artifact,
//! run in memory by `revm`.
//!
//! A failing run names its seed; `THUNDER_SEED=<seed>` repeats it alone, `THUNDER_RUNS=<n>` asks for
//! more runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Mutex;

use alloy_primitives::{Address, U256, hex, keccak256};
use revm::context::result::{ExecutionResult, Output};
use revm::context::{BlockEnv, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::primitives::TxKind;
use revm::{Context, ExecuteCommitEvm, MainBuilder, MainContext};
use serde_json::Value;
use thunder_protocol::{Amount, Balances, Crypto, Domain, Nonce, Receipt, Role, Signature, Signer};
use thunder_testing::contract::{Caller, Contract, Fault, Function, Phase, Revert, Shown};
use thunder_testing::values::CHAIN_ID;
use thunder_testing::{Random, for_each_seed};

const PAYMENT_CHANNEL: &str = include_str!("../../../contracts/artifacts/PaymentChannel.json");
const THD: &str = include_str!("../../../contracts/artifacts/THD.json");

fn signer(number: u8) -> Signer {
    Signer::new(&[0xa0 + number; 32], &[1; 32]).unwrap()
}

fn word(value: u128) -> Vec<u8> {
    U256::from(value).to_be_bytes::<32>().to_vec()
}

fn address_word(address: Address) -> Vec<u8> {
    address.into_word().to_vec()
}

fn selector(signature: &str) -> Vec<u8> {
    keccak256(signature)[..4].to_vec()
}

fn bytecode(artifact: &str) -> Vec<u8> {
    let artifact: Value = serde_json::from_str(artifact).unwrap();
    hex::decode(artifact["bytecode"].as_str().unwrap()).unwrap()
}

/// The names of the contract's errors, by selector.
fn errors() -> BTreeMap<Vec<u8>, String> {
    let artifact: Value = serde_json::from_str(PAYMENT_CHANNEL).unwrap();
    let all = artifact["abi"].as_array().unwrap().iter().filter(|entry| entry["type"] == "error");
    let named = all.map(|entry| {
        let types: Vec<_> =
            entry["inputs"].as_array().unwrap().iter().map(|input| input["type"].as_str().unwrap()).collect();
        let name = entry["name"].as_str().unwrap();
        (selector(&format!("{name}({})", types.join(","))), name.to_owned())
    });
    named.collect()
}

/// The calldata of a function, as the ABI has it.
fn calldata(function: &Function) -> Vec<u8> {
    let shown = |shown: &Shown| [word(shown.nonce.into()), word(shown.a), word(shown.b)].concat();
    let bytes = |signature: &Option<Signature>| match signature {
        None => word(0),
        Some(signature) => {
            let mut padded = signature.as_bytes().to_vec();
            padded.resize(96, 0);
            [word(65), padded].concat()
        }
    };
    match function {
        Function::Fund(value) => [selector("fund(uint256)"), word(*value)].concat(),
        Function::Cancel => selector("cancel()"),
        Function::Withdraw => selector("withdraw()"),
        Function::Closing(receipt) => {
            let name = selector("closing(uint256,uint256,uint256,bytes)");
            [name, shown(receipt), word(128), bytes(&receipt.signature)].concat()
        }
        Function::Challenge(receipt) => {
            let name = selector("challenge(uint256,uint256,uint256,bytes)");
            [name, shown(receipt), word(128), bytes(&receipt.signature)].concat()
        }
        Function::ClosingProposal { base, a, b, .. } => {
            let name = selector("closingProposal(uint256,uint256,uint256,bytes,uint256,uint256)");
            [name, shown(base), word(192), word(*a), word(*b), bytes(&base.signature)].concat()
        }
    }
}

/// The contract itself.
struct Real {
    db: CacheDB<EmptyDB>,
    block: u64,
    token: Address,
    channel: Address,
    errors: BTreeMap<Vec<u8>, String>,
}

impl Real {
    fn new(amount: u128, parties: [Address; 2]) -> Self {
        let (token, channel) = (Address::ZERO, Address::ZERO);
        let mut real =
            Self { db: CacheDB::new(EmptyDB::default()), block: 10, token, channel, errors: errors() };
        let owner = Address::repeat_byte(0x99);
        real.token = real.deploy(owner, [bytecode(THD), address_word(owner)].concat());
        let arguments =
            [word(amount), address_word(parties[0]), address_word(parties[1]), address_word(real.token)];
        real.channel = real.deploy(owner, [bytecode(PAYMENT_CHANNEL), arguments.concat()].concat());
        for party in parties {
            let mint = [selector("mint(address,uint256)"), address_word(party), word(amount)].concat();
            real.call(owner, real.token, mint).unwrap();
            let approve =
                [selector("approve(address,uint256)"), address_word(real.channel), word(u128::MAX)].concat();
            real.call(party, real.token, approve).unwrap();
        }
        real
    }

    fn transact(&mut self, from: Address, kind: TxKind, data: Vec<u8>) -> ExecutionResult {
        let nonce = self.db.cache.accounts.get(&from).map_or(0, |account| account.info.nonce);
        let tx = TxEnv {
            caller: from,
            kind,
            data: data.into(),
            nonce,
            gas_limit: 10_000_000,
            chain_id: Some(CHAIN_ID),
            ..TxEnv::default()
        };
        let block = BlockEnv { number: U256::from(self.block), ..BlockEnv::default() };
        let context = Context::mainnet().with_db(&mut self.db).with_block(block);
        let mut evm = context.modify_cfg_chained(|cfg| cfg.chain_id = CHAIN_ID).build_mainnet();
        evm.transact_commit(tx).unwrap()
    }

    fn deploy(&mut self, from: Address, code: Vec<u8>) -> Address {
        match self.transact(from, TxKind::Create, code) {
            ExecutionResult::Success { output: Output::Create(_, Some(address)), .. } => address,
            other => panic!("{other:?}"),
        }
    }

    /// The output, or the name of the error.
    fn call(&mut self, from: Address, to: Address, data: Vec<u8>) -> Result<Vec<u8>, String> {
        match self.transact(from, TxKind::Call(to), data) {
            ExecutionResult::Success { output: Output::Call(bytes), .. } => Ok(bytes.to_vec()),
            ExecutionResult::Revert { output, .. } => {
                let name = output.get(..4).and_then(|selector| self.errors.get(selector));
                Err(name.cloned().unwrap_or_else(|| format!("{output}")))
            }
            other => panic!("{other:?}"),
        }
    }

    fn read(&mut self, to: Address, data: Vec<u8>) -> U256 {
        let output = self.call(Address::repeat_byte(0x77), to, data).unwrap();
        U256::from_be_slice(&output)
    }

    fn variable(&mut self, name: &str) -> U256 {
        self.read(self.channel, selector(&format!("{name}()")))
    }

    fn thd_of(&mut self, holder: Address) -> U256 {
        self.read(self.token, [selector("balanceOf(address)"), address_word(holder)].concat())
    }
}

/// The model's name for an error of the contract.
fn same_error(revert: Revert, name: &str) -> bool {
    let signature = name == "WrongSigner" || name.starts_with("ECDSA");
    if revert == Revert::Signature { signature } else { format!("{revert:?}") == name }
}

struct Run {
    random: Random,
    real: Real,
    model: Contract,
    keys: [Signer; 3],
    amount: u128,
    domain: Domain,
    /// Of each function, how often it succeeded.
    done: [u32; 7],
}

impl Run {
    fn new(seed: u64) -> Self {
        let random = Random::new(seed);
        let keys = [signer(1), signer(2), signer(3)];
        let parties = [keys[0].address(), keys[1].address()];
        let amount = 10;
        let real = Real::new(amount, parties);
        let domain = Domain::new(CHAIN_ID, real.channel);
        let mut model = Contract::missing(domain, parties, real.block, None);
        model.create(amount, 0);
        Self { random, real, model, keys, amount, domain, done: [0; 7] }
    }

    fn nonce(&mut self) -> u64 {
        let last = Nonce::FINAL.get();
        let near = self.model.nonce;
        let odd = [0, 1, last, last - 1, last - 2, last - 3, last + 1, u64::MAX, near, near + 1, near + 2];
        match self.random.below(6) {
            0 => self.random.pick(&odd),
            1 | 2 => near + self.random.below(3),
            3 => self.random.pick(&[0, last]),
            _ => self.random.below(8),
        }
    }

    fn shares(&mut self) -> (u128, u128) {
        let amount = self.amount;
        let a = u128::from(self.random.below(11));
        match self.random.below(12) {
            0 => (a, amount),
            1 => (u128::MAX, amount + 1),
            2 => (amount + 1, u128::MAX),
            3..=5 => (self.model.a, self.model.b),
            _ => (a, amount - a),
        }
    }

    /// A receipt: mostly signed by a party, sometimes by a stranger, over something else, in a form that
    /// the contract refuses, or by nobody.
    fn shown(&mut self) -> Shown {
        let ((a, b), nonce) = (self.shares(), self.nonce());
        let mut bytes = *self.sign(nonce, a, b).as_bytes();
        let signature = match self.random.below(16) {
            0 => None,
            1 => {
                bytes[64] = self.random.pick(&[0, 1, 26, 29]);
                Some(bytes)
            }
            2 => {
                bytes[self.random.below(64) as usize] ^= 1;
                Some(bytes)
            }
            3 => {
                // The twin with the high s.
                let order = U256::from_be_slice(
                    &hex::decode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").unwrap(),
                );
                let s = U256::from_be_slice(&bytes[32..64]);
                bytes[32..64].copy_from_slice(&(order - s).to_be_bytes::<32>());
                bytes[64] = 55 - bytes[64];
                Some(bytes)
            }
            _ if nonce == 0 && self.random.below(4) > 0 => None,
            _ => Some(bytes),
        };
        Shown { nonce, a, b, signature: signature.map(Signature::from_bytes) }
    }

    fn sign(&mut self, nonce: u64, a: u128, b: u128) -> Signature {
        let key = self.random.pick(&[0, 0, 0, 0, 1, 1, 1, 1, 2]);
        let amount = |units| Amount::from_base_units(units).unwrap_or(Amount::ZERO);
        let nonce = Nonce::new(nonce).unwrap_or(Nonce::ZERO);
        let receipt = Receipt { nonce, balances: Balances { a: amount(a), b: amount(b) } };
        self.keys[key].sign(&self.domain.digest(&receipt))
    }

    fn function(&mut self) -> (usize, Function) {
        let number = match self.model.phase {
            Phase::Empty => self.random.pick(&[0, 0, 0, 0, 1, 2, 3, 4, 5]),
            Phase::Active => self.random.pick(&[2, 2, 2, 3, 3, 3, 0, 1, 4, 5]),
            Phase::Missing | Phase::Closing(_) | Phase::Closed => {
                self.random.pick(&[4, 4, 4, 5, 5, 0, 1, 2, 3])
            }
        };
        let function = match number {
            0 => {
                let missing = self.model.unfunded;
                let values = [missing, missing, missing + 1, 0, 1, 3, u128::MAX];
                Function::Fund(self.random.pick(&values))
            }
            1 => Function::Cancel,
            2 => Function::Closing(self.shown()),
            3 => {
                let (base, (a, b)) = (self.shown(), self.shares());
                Function::ClosingProposal { base, a, b, nonce: 0 }
            }
            4 => Function::Challenge(self.shown()),
            _ => Function::Withdraw,
        };
        (number, function)
    }

    fn step(&mut self) {
        let (number, function) = self.function();
        let skipped = self.random.pick(&[0, 0, 0, 0, 0, 0, 0, 1, 22, 23, 24]);
        self.model.block += skipped;
        let who = self.random.pick(&[0, 0, 0, 1, 1, 1, 2]);
        let caller = [Caller::Party(Role::A), Caller::Party(Role::B), Caller::Stranger][who];
        self.real.block = self.model.block + 1;
        let was = self.model.phase;
        let expected = self.model.mine(caller, &function, &self.keys[0]);
        let from = self.keys[who].address();
        let result = self.real.call(from, self.real.channel, calldata(&function));
        match (&expected, &result) {
            (Ok(()), Ok(_)) => {
                let last = matches!(function, Function::Closing(_)) && self.model.phase == Phase::Closed;
                self.done[if last { 6 } else { number }] += 1;
            }
            (Err(revert), Err(name)) if same_error(*revert, name) => {}
            _ => panic!(
                "{function:?} by {caller:?} in {was:?}: the model {expected:?}, the contract {result:?}"
            ),
        }
        self.compare(&function);
    }

    fn compare(&mut self, function: &Function) {
        let model = self.model.clone();
        let state = match model.phase {
            Phase::Missing | Phase::Empty => 0,
            Phase::Active => 1,
            Phase::Closing(_) => 2,
            Phase::Closed => 3,
        };
        let closer = match model.phase {
            Phase::Closing(role) => U256::from_be_slice(self.keys[role as usize].address().as_slice()),
            Phase::Missing | Phase::Empty | Phase::Active | Phase::Closed => U256::ZERO,
        };
        let small = [
            ("state", state),
            ("Nonce", model.nonce.into()),
            ("balanceA", model.a),
            ("balanceB", model.b),
            ("closingBlock", model.closing_block.into()),
            ("amount", self.amount),
        ];
        for (name, value) in small {
            assert_eq!(self.real.variable(name), U256::from(value), "{name} after {function:?}");
        }
        assert_eq!(self.real.variable("closer"), closer, "closer after {function:?}");
        let (paid_a, paid_b) = model.paid.unwrap_or((0, 0));
        let (in_a, in_b) = model.deposits();
        let held = if model.paid.is_some() { 0 } else { in_a + in_b };
        let holders = [self.keys[0].address(), self.keys[1].address(), self.real.channel];
        let expected = [self.amount - in_a + paid_a, self.amount - in_b + paid_b, held];
        for (holder, value) in holders.into_iter().zip(expected) {
            assert_eq!(self.real.thd_of(holder), U256::from(value), "THD of {holder} after {function:?}");
        }
    }
}

#[test]
fn the_model_does_what_the_contract_does() {
    let done = Mutex::new([0; 7]);
    for_each_seed("thunder-model --test differential", 300, |seed| {
        let mut run = Run::new(seed);
        (0..24).for_each(|_| run.step());
        done.lock().unwrap().iter_mut().zip(run.done).for_each(|(sum, more)| *sum += more);
    });
    let (done, alone) = (done.into_inner().unwrap(), std::env::var_os("THUNDER_SEED").is_some());
    println!("fund, cancel, closing, closingProposal, challenge, withdraw, FINAL succeeded: {done:?} times");
    assert!(
        alone || done.iter().all(|count| *count > 0),
        "every function has to succeed now and then: {done:?}"
    );
}

/// With its faults the model is not the contract: so they would be found, were they the contract's.
#[test]
fn a_contract_with_a_fault_is_another() {
    let zero = Shown { nonce: 0, a: 10, b: 0, signature: None };
    let invented = Function::Closing(Shown { a: 1, b: 9, ..zero });
    let free = Function::ClosingProposal { base: zero, a: 9, b: 1, nonce: 700 };
    for (fault, function) in [(Fault::InventedBaseZero, invented), (Fault::FreeNonce, free)] {
        let mut run = Run::new(1);
        let parties = [run.keys[0].address(), run.keys[1].address()];
        let mut faulty = Contract::missing(run.domain, parties, 10, Some(fault));
        faulty.create(10, 0);
        let a = Caller::Party(Role::A);
        faulty.mine(a, &Function::Fund(10), &run.keys[0]).unwrap();
        let from = parties[0];
        run.real.call(from, run.real.channel, calldata(&Function::Fund(10))).unwrap();
        faulty.mine(a, &function, &run.keys[0]).unwrap();
        let same = run.real.call(from, run.real.channel, calldata(&function)).is_ok()
            && run.real.variable("Nonce") == U256::from(faulty.nonce);
        assert!(!same, "{fault:?}");
    }
}
